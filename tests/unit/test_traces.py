from __future__ import annotations

import asyncio

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id

from shared.bus.envelope import Envelope
from shared.settings import SettingsError
from shared.telemetry.logs import bound
from shared.telemetry.traces import extract, inject, new_tracer

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01"


def test_what_is_injected_is_extracted() -> None:
    tracer = new_tracer("log")
    with tracer.span("outer") as span:
        carrier = inject()
    found = extract(carrier)
    assert found is not None
    assert found.trace_id == span.get_span_context().trace_id
    assert found.span_id == span.get_span_context().span_id
    assert found.trace_flags.sampled
    assert found.is_remote


def test_outside_of_any_span_nothing_is_injected() -> None:
    assert inject() == {}


def test_a_span_goes_on_where_the_carrier_left_off_with_its_state() -> None:
    tracer = new_tracer("log")
    parent = {"traceparent": VALID, "tracestate": "vendor=abc"}
    with tracer.span("inner", "server", parent) as span:
        carrier = inject()
    assert format_trace_id(span.get_span_context().trace_id) == TRACE
    assert carrier["traceparent"].startswith(f"00-{TRACE}-")
    assert SPAN not in carrier["traceparent"]
    assert carrier["tracestate"] == "vendor=abc"


def test_trace_ids_travel_though_nothing_is_exported() -> None:
    tracer = new_tracer("off")
    with tracer.span("inner", parent={"traceparent": VALID}) as span:
        carrier = inject()
    assert not span.is_recording()
    assert carrier["traceparent"].startswith(f"00-{TRACE}-")
    assert carrier["traceparent"].endswith("-00")


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        "00",
        VALID.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"{VALID}-extra",
        f"{VALID}\n",
        f" {VALID}",
        f"00-{TRACE}-{SPAN}-zz",
        "00-" + "a" * 100_000,
        f"00-{TRACE}é-{SPAN}-01",
    ],
)
def test_a_hostile_traceparent_is_ignored(hostile: str) -> None:
    assert extract({"traceparent": hostile}) is None
    tracer = new_tracer("log")
    with tracer.span("inner", parent={"traceparent": hostile}) as span:
        assert span.get_span_context().is_valid


def test_a_later_version_with_more_fields_is_understood() -> None:
    found = extract({"traceparent": f"01-{TRACE}-{SPAN}-01-more"})
    assert found is not None
    assert format_trace_id(found.trace_id) == TRACE


@pytest.mark.parametrize("state", ["x" * 513, "not a member", "a=b\r\nX: y", "=," * 100])
def test_a_hostile_tracestate_never_comes_out_again(state: str) -> None:
    found = extract({"traceparent": VALID, "tracestate": state})
    assert found is not None
    header = found.trace_state.to_header()
    assert len(header) <= 512
    assert "\n" not in header


def envelope(trace: dict[str, str]) -> Envelope:
    return Envelope(
        id="m1",
        kind="jobs.submit.v1",
        sort="command",
        tenant="acme",
        correlation="c1",
        sent_at=0,
        body=msgspec.Raw(b"{}"),
        trace=trace,
    )


def test_a_message_in_hand_is_in_logs_and_in_a_consumer_span_of_its_senders_trace() -> None:
    tracer = new_tracer("log")
    with tracer.around(envelope({"traceparent": VALID})):
        assert bound() == {"tenant": "acme", "correlation_id": "c1", "message_id": "m1"}
        carrier = inject()
    assert carrier["traceparent"].startswith(f"00-{TRACE}-")
    assert bound() == {}


def test_a_handlers_error_marks_the_span_and_passes() -> None:
    tracer = new_tracer("log")
    with pytest.raises(KeyError), tracer.span("process", "consumer") as span:
        raise KeyError("x")
    assert isinstance(span, ReadableSpan)
    assert span.status.status_code is StatusCode.ERROR
    assert span.kind is SpanKind.CONSUMER


async def test_spans_of_tasks_do_not_mix() -> None:
    tracer = new_tracer("log")

    async def work() -> tuple[str, str]:
        with tracer.span("work"):
            first = inject()["traceparent"]
            await asyncio.sleep(0)
            return first, inject()["traceparent"]

    seen = await asyncio.gather(work(), work(), work())
    assert all(first == second for first, second in seen)
    assert len({first for first, _ in seen}) == 3


def test_otlp_without_its_package_is_one_line_that_names_it() -> None:
    with pytest.raises(SettingsError, match="pip install opentelemetry-exporter-otlp"):
        new_tracer("otlp")
