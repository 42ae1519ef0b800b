from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest

from shared.telemetry.logs import bind, bound, logging_to
from shared.telemetry.traces import new_tracer

log = logging.getLogger("test.logs")


@contextmanager
def lines(style: Literal["text", "json"], level: str = "info") -> Iterator[list[str]]:
    """What is logged inside the block, line by line, once it is closed."""
    stream, said = io.StringIO(), list[str]()
    with logging_to(level, style, stream):
        yield said
    said.extend(stream.getvalue().split("\n")[:-1])


def one_json(said: list[str]) -> dict[str, Any]:
    assert len(said) == 1
    record: dict[str, Any] = json.loads(said[0])
    return record


def test_json_has_time_level_message_action_and_what_is_bound() -> None:
    with lines("json") as said, bind(tenant="acme", job_id="j1", request_id=None):
        log.info("hello %s", "world", extra={"action": "started", "port": 80})
    record = one_json(said)
    assert record.pop("time").endswith("Z")
    assert record == {
        "level": "info",
        "message": "hello world",
        "action": "started",
        "tenant": "acme",
        "job_id": "j1",
        "port": "80",
        "logger": "test.logs",
    }


def test_bound_fields_end_with_their_block() -> None:
    with bind(tenant="acme"):
        with bind(tenant="other", job_id="j"):
            assert bound() == {"tenant": "other", "job_id": "j"}
        assert bound() == {"tenant": "acme"}
    assert bound() == {}


async def test_tasks_see_what_was_bound_when_they_were_started_and_nothing_of_each_other() -> None:
    async def see(tenant: str) -> dict[str, str]:
        with bind(tenant=tenant):
            await asyncio.sleep(0)
            return dict(bound())

    with bind(request_id="r"):
        seen = await asyncio.gather(see("a"), see("b"))
    assert list(seen) == [
        {"request_id": "r", "tenant": "a"},
        {"request_id": "r", "tenant": "b"},
    ]


HOSTILE = "x\n2026-01-01T00:00:00.000Z info    forged\r\x1b[2J\u2028\u202e\x85\udcff"


@pytest.mark.parametrize("style", ["text", "json"])
def test_nothing_a_client_sends_makes_a_second_line(style: Literal["text", "json"]) -> None:
    with lines(style) as said, bind(request_id=HOSTILE):
        log.warning("bad name %s", HOSTILE, extra={"kind": HOSTILE})
    assert len(said) == 1
    assert "\r" not in said[0]
    assert "\x1b" not in said[0]


def test_text_shows_dangerous_characters_as_escapes() -> None:
    with lines("text") as said:
        log.info("a\nb\x1b[31m\u202e")
    assert r"a\nb\x1b[31m\u202e" in said[0]


def test_text_quotes_values_so_that_fields_cannot_be_forged() -> None:
    with lines("text") as said:
        log.info("x", extra={"kind": 'a tenant=evil "quoted"'})
    assert r'kind="a tenant=evil \"quoted\""' in said[0]


def fail() -> None:
    try:
        int("boom\n2026-01-01T00:00:00.000Z info    forged")
    except ValueError:
        log.exception("failed")


def test_tracebacks_in_text_are_indented_under_their_line() -> None:
    with lines("text") as said:
        fail()
    assert " error   failed " in said[0]
    assert len(said) > 3
    assert all(line.startswith("    ") for line in said[1:])


def test_tracebacks_in_json_are_a_field() -> None:
    with lines("json") as said:
        fail()
    assert "ValueError: invalid literal" in one_json(said)["error"]


def test_the_trace_id_is_in_the_line_also_when_nothing_is_exported() -> None:
    tracer = new_tracer("off")
    with lines("json") as said, tracer.span("work") as span:
        log.info("inside")
    tracer.close()
    assert one_json(said)["trace_id"] == f"{span.get_span_context().trace_id:032x}"


def test_chatty_libraries_are_quiet_and_levels_come_back() -> None:
    before = logging.getLogger("aiormq").level
    with lines("text", "debug") as said:
        logging.getLogger("aiormq.connection").info("chatter")
        logging.getLogger("aio_pika").debug("chatter")
        log.debug("ours")
    assert len(said) == 1
    assert logging.getLogger("aiormq").level == before


def test_finished_spans_can_be_logged() -> None:
    tracer = new_tracer("log")
    with lines("json") as said:
        with tracer.span("process a.b.v1", "consumer"):
            pass
        tracer.close()
    record = one_json(said)
    assert record["action"] == "span"
    assert record["message"].startswith("process a.b.v1 took ")
