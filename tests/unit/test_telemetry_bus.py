"""What is told about messages on their way: counts, spans, and how far the relay is behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from shared.bus.envelope import Envelope
from shared.bus.memory import MemoryTransport
from shared.bus.outbox import TELL_EVERY, Relay
from shared.bus.outbox_entries import Entry
from shared.bus.publisher import Bus
from shared.bus.transport import Disconnected, Full, PublishTimeout, Unroutable
from shared.health import Health
from shared.host import Runtime
from shared.serving import sending
from shared.settings import HostSettings
from shared.store.redis import Store
from shared.telemetry.logs import bound
from shared.telemetry.metrics import new_metrics
from shared.telemetry.traces import extract, inject, new_tracer
from shared.tenancy import tenant_id
from tests.support.bus import Paint, a_message

SUBMIT = "jobs.submit.v1"


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    made = Runtime(
        settings=HostSettings(),
        transport=MemoryTransport(),
        store=Store.__new__(Store),  # nothing here asks the store
        blobs_url="memory:",
        data_dir=Path(),
        health=Health(),
        metrics=new_metrics(),
        tracer=new_tracer("log"),
        instance="here",
        stopping=asyncio.Event(),
    )
    yield made
    made.tracer.close()
    made.metrics.close()


@pytest.fixture
def spans(runtime: Runtime) -> InMemorySpanExporter:
    kept = InMemorySpanExporter()
    runtime.tracer.provider.add_span_processor(SimpleSpanProcessor(kept))
    return kept


def published(runtime: Runtime, outcome: str) -> bool:
    wanted = f'reelway_bus_published_total{{kind="{SUBMIT}",outcome="{outcome}"}} 1.0'
    return wanted in runtime.metrics.render().decode()


def test_a_message_is_sent_in_the_trace_of_whoever_caused_it(
    runtime: Runtime, spans: InMemorySpanExporter
) -> None:
    with runtime.tracer.span("handler"):
        caused = a_message(SUBMIT, trace=inject())
    with sending(runtime)(caused) as sent:
        assert bound() == {"tenant": "alice", "correlation_id": "c"}
    _, span = spans.get_finished_spans()
    assert (span.name, span.kind) == (f"publish {SUBMIT}", SpanKind.PRODUCER)
    assert sent.id == caused.id
    carried, cause = extract(sent.trace), extract(caused.trace)
    assert carried
    assert cause
    assert span.context
    assert span.parent
    assert (carried.trace_id, carried.span_id) == (cause.trace_id, span.context.span_id)
    assert span.parent.span_id == cause.span_id
    assert published(runtime, "confirmed")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (PublishTimeout(), "timeout"),
        (Unroutable(), "unroutable"),
        (Full(), "full"),
        (Disconnected(), "unavailable"),
        (asyncio.CancelledError(), "cancelled"),
        (ValueError("too large"), "refused"),
    ],
)
def test_every_try_counts_by_how_it_ended(
    runtime: Runtime, error: BaseException, outcome: str
) -> None:
    with pytest.raises(type(error)), sending(runtime)(a_message(SUBMIT)):
        raise error
    assert published(runtime, outcome)


@pytest.mark.parametrize(("kind", "sort"), [("work.ring.v1", "ring"), ("jobs.changed.v2", "event")])
def test_bells_and_what_watchers_hear_are_counted_without_spans(
    runtime: Runtime, spans: InMemorySpanExporter, kind: str, sort: str
) -> None:
    bell = msgspec.structs.replace(a_message(kind), sort=sort)
    with sending(runtime)(bell) as sent:
        assert sent is bell
    assert not spans.get_finished_spans()
    assert f'reelway_bus_published_total{{kind="{kind}"' in runtime.metrics.render().decode()


class Carrier(MemoryTransport):
    """Raises its faults one after the other, then takes everything."""

    def __init__(self, *faults: Exception) -> None:
        super().__init__()
        self.faults = list(faults)
        self.taken: list[Envelope] = []

    async def publish(self, envelope: Envelope) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.taken.append(envelope)


async def test_a_door_tells_of_every_try_to_send(
    runtime: Runtime, spans: InMemorySpanExporter
) -> None:
    carrier = Carrier(Disconnected("away"))
    async with Bus(carrier, "gateway", trace=inject, around=sending(runtime)) as bus:
        with runtime.tracer.span("request", "server"):
            await bus.send(Paint(), tenant=tenant_id("alice"))
    failed, took, request = spans.get_finished_spans()
    assert [span.name for span in (failed, took)] == ["publish demo.paint.v1"] * 2
    assert failed.status.status_code is StatusCode.ERROR
    assert request.context
    assert {parent_of(failed), parent_of(took)} == {request.context.span_id}
    sent = extract(carrier.taken[0].trace)
    assert sent
    assert took.context
    assert sent.span_id == took.context.span_id


def parent_of(span: ReadableSpan) -> int:
    assert span.parent
    return span.parent.span_id


class Stream:
    """An outbox in memory."""

    def __init__(self, *positions: str, is_ours: bool = True) -> None:
        body = '{"kind":"demo.paint.v1"}'
        fields = {"kind": "demo.paint.v1", "sort": "event", "body": body, "tenant": "alice"}
        self.entries = [Entry(place, {**fields, "id": place, "key": "k"}) for place in positions]
        self.removed: list[str] = []
        self.is_ours = is_ours

    async def hold(self, seconds: float) -> bool:
        return self.is_ours

    async def release(self) -> None:
        """It is nobody's now."""

    async def read(self, after: str, count: int, wait: float) -> list[Entry]:
        found, self.entries = self.entries, []
        if not found:
            await asyncio.sleep(wait)
        return found

    async def done(self, positions: Sequence[str]) -> None:
        self.removed += positions

    async def set_aside(self, entry: Entry, reason: str) -> None:
        """It is gone."""

    async def length(self) -> int:
        return len(self.entries)


@asynccontextmanager
async def relaying(relay: Relay) -> AsyncIterator[None]:
    task = asyncio.create_task(relay.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_relay_tells_how_long_the_oldest_entry_has_waited() -> None:
    heard: list[float] = []
    carrier = Carrier(*[Disconnected("away")] * 3)
    relay = Relay(
        carrier, Stream("5000-0", "7000-0"), "demo", lagging=heard.append, clock=lambda: 9000
    )
    async with relaying(relay):
        await asyncio.sleep(10)
    assert heard[0] == 0.0
    assert 4.0 in heard
    assert heard[-1] == 0.0
    assert len(heard) >= 10


async def test_a_relay_that_has_no_lease_is_behind_nothing() -> None:
    heard: list[float] = []
    stream = Stream("5000-0", is_ours=False)
    async with relaying(Relay(Carrier(), stream, "demo", lagging=heard.append)):
        await asyncio.sleep(3)
    assert set(heard) == {0.0}


async def test_a_relay_tells_of_what_it_has_removed_in_order_and_of_nothing_else() -> None:
    stream, told = Stream("1-0", "2-0"), list[tuple[str, int]]()

    async def relayed(envelope: Envelope) -> None:
        told.append((envelope.id, len(stream.removed)))

    async with relaying(Relay(Carrier(Disconnected("away")), stream, "demo", relayed=relayed)):
        await asyncio.sleep(5)
    assert [name for name, _ in told] == ["1-0", "2-0"]
    assert all(removed >= number for number, (_, removed) in enumerate(told, 1))


async def test_an_outage_is_told_once_in_a_while_and_not_per_entry(
    caplog: pytest.LogCaptureFixture,
) -> None:
    carrier = Carrier(*[Disconnected("away")] * 1000)
    stream = Stream("1-0", "2-0", "3-0")
    stream.entries = [
        msgspec.structs.replace(entry, fields={**entry.fields, "key": entry.position})
        for entry in stream.entries
    ]
    with caplog.at_level("INFO", "shared.bus"):
        async with relaying(Relay(carrier, stream, "demo")):
            await asyncio.sleep(2 * TELL_EVERY - 10)
    assert caplog.messages == ["the outbox of demo waits: away"] * 2


async def test_a_relay_sends_what_its_surroundings_make_of_an_envelope() -> None:
    carrier = Carrier()

    @contextmanager
    def around(envelope: Envelope) -> Iterator[Envelope]:
        with nullcontext(msgspec.structs.replace(envelope, trace={"traceparent": "t"})) as changed:
            yield changed

    async with relaying(Relay(carrier, Stream("1-0"), "demo", around=around)):
        await asyncio.sleep(1)
    assert [envelope.trace for envelope in carrier.taken] == [{"traceparent": "t"}]
