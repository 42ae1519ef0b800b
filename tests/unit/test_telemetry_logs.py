"""What a line says that is written while little is known, and what the short form leaves out."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest

from shared.telemetry.logs import bind, bound, logging_to
from shared.telemetry.traces import new_tracer

log = logging.getLogger("test.telemetry")
DONE = {"action": "request"}


@contextmanager
def lines(style: Literal["text", "json"] = "text") -> Iterator[list[str]]:
    stream, said = io.StringIO(), list[str]()
    with logging_to("info", style, stream):
        yield said
    said.extend(stream.getvalue().splitlines())


def test_a_field_that_becomes_known_later_is_in_the_lines_from_then_on() -> None:
    known: list[str] = []
    with lines("json") as said, bind(request_id="r", tenant=lambda: "".join(known)):
        log.info("before")
        known.append("acme")
        with bind(job_id="j"):
            log.info("after")
    before, after = (json.loads(line) for line in said)
    assert "tenant" not in before
    assert (after["tenant"], after["request_id"], after["job_id"]) == ("acme", "r", "j")
    assert bound() == {}


def test_a_field_bound_further_in_wins_over_one_that_is_asked_for() -> None:
    with bind(tenant=lambda: "outer"), bind(tenant="inner"):
        assert bound() == {"tenant": "inner"}


def test_text_says_an_id_once() -> None:
    with lines() as said, bind(request_id="r1", correlation_id="r1"):
        log.info("answered", extra=DONE)
    assert said[0].endswith(" info    answered action=request request_id=r1")


def test_text_keeps_a_correlation_that_is_another_request() -> None:
    with lines() as said, bind(request_id="r1", correlation_id="r0"):
        log.info("answered", extra=DONE)
    assert "correlation_id=r0" in said[0]


@pytest.mark.parametrize(("export", "is_shown"), [("off", False), ("log", True)])
def test_text_shows_trace_ids_where_there_are_traces_to_look_at(
    export: Literal["off", "log"], is_shown: bool
) -> None:
    tracer = new_tracer(export)
    with lines() as said, bind(request_id="r1"), tracer.span("work"):
        log.info("answered", extra=DONE)
    tracer.close()
    assert ("trace_id=" in said[0]) is is_shown


def test_text_names_the_logger_where_nothing_else_says_what_a_line_is_about() -> None:
    with lines() as said:
        log.info("chatter")
        log.warning("held", extra={"action": "outbox_held"})
        log.error("broken", extra={"action": "handler_failed"})
    assert ["logger=" in line for line in said] == [True, False, True]


def test_json_leaves_nothing_out() -> None:
    tracer = new_tracer("off")
    with lines("json") as said, bind(request_id="r", correlation_id="r"), tracer.span("work"):
        log.info("answered", extra=DONE)
    tracer.close()
    assert {"request_id", "correlation_id", "trace_id", "logger"} <= json.loads(said[0]).keys()
