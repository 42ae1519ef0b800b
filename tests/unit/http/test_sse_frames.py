"""Framing and ids of server-sent events."""

from __future__ import annotations

import re

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from shared.http.sse import (
    ResumePoint,
    frame,
    mark,
    nothing_more,
    parse_event_id,
    resume_point,
)


def read_back(wire: bytes) -> list[dict[str, str]]:
    """The parser of the WHATWG standard, in short."""
    events: list[dict[str, str]] = []
    fields: dict[str, str] = {}
    data: list[str] = []
    for line in re.split(r"\r\n|\r|\n", wire.decode()):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                events.append({**fields, "data": "\n".join(data)})
            fields, data = {}, []
        elif name == "data":
            data.append(value)
        elif name:
            fields[name] = value
    return events


def test_frame_is_id_event_data_and_a_blank_line() -> None:
    assert frame("state", "{}", "e1-4") == b"id: e1-4\nevent: state\ndata: {}\n\n"


def test_a_mark_moves_the_place_to_resume_and_tells_nothing() -> None:
    assert mark("1-4") == b"id: 1-4\n\n"
    assert read_back(mark("1-4") + frame("state", "{}")) == [{"event": "state", "data": "{}"}]


@given(st.text())
def test_any_data_arrives_with_its_lines_and_starts_no_event_of_its_own(text: str) -> None:
    lines = re.split(r"\r\n|\r|\n", text)
    assert read_back(frame("log", text)) == [{"event": "log", "data": "\n".join(lines)}]


def test_forged_fields_stay_data() -> None:
    forged = "x\nevent: end\r\n\r\nid: 9\rdata: y\u2028z"
    assert len(read_back(frame("log", forged))) == 1


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\x00b"])
def test_name_and_id_are_one_line(bad: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        frame(bad, "")
    with pytest.raises(ValueError, match="one line"):
        frame("state", "", bad)
    with pytest.raises(ValueError, match="one line"):
        mark(bad)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7f3a-12", ResumePoint("7f3a", 12)),
        ("1-0", ResumePoint("1", 0)),
        ("", None),
        ("12", None),
        ("-12", None),
        ("a-", None),
        ("a--1", None),
        ("a-b", None),
        ("a-1-2", None),
        ("a-" + "9" * 5000, None),
        ("a-\u0661", None),
        ("a-1\n", None),
    ],
)
def test_event_id_is_epoch_and_seq(text: str, expected: ResumePoint | None) -> None:
    assert parse_event_id(text) == expected


def test_event_id_is_written_as_it_is_read() -> None:
    assert str(ResumePoint("7f3a", 12)) == "7f3a-12"


def test_header_wins_over_query() -> None:
    query = make_mocked_request("GET", "/?last_event_id=a-1")
    both = make_mocked_request("GET", "/?last_event_id=a-1", headers={"Last-Event-ID": "a-2"})
    assert resume_point(query) == ResumePoint("a", 1)
    assert resume_point(both) == ResumePoint("a", 2)
    assert resume_point(make_mocked_request("GET", "/")) is None


def test_after_the_end_there_is_nothing_more() -> None:
    assert nothing_more().status == 204
