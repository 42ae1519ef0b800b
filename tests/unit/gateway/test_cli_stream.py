from __future__ import annotations

import pytest

from services.gateway.cli.stream import Sent, StreamReader
from shared.http.sse import frame

WIRE = (
    b"retry: 500\n\n: welcome\n\n"
    + frame("state", '{"state":"running"}', "1-2")
    + b":\n\n"
    + frame("progress", '{"message":"über"}', "1-3")
    + frame("end", '{\n"state":"succeeded"}', "1-4")
)
EVENTS = [
    Sent("state", "1-2", {"state": "running"}),
    Sent("progress", "1-3", {"message": "über"}),
    Sent("end", "1-4", {"state": "succeeded"}),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_the_same_however_the_stream_is_cut(size: int) -> None:
    reader = StreamReader()
    found: list[Sent] = []
    for at in range(0, len(WIRE), size):
        found += reader.feed(WIRE[at : at + size])
    assert found == EVENTS
    assert reader.retry_seconds == 0.5


def test_half_an_event_of_a_broken_connection_is_forgotten() -> None:
    reader = StreamReader()
    assert reader.feed(b'event: end\nid: 1-9\ndata: {"state":"fail') == []
    reader.restart()
    assert reader.feed(WIRE) == EVENTS


def test_an_id_without_an_event_is_where_to_go_on() -> None:
    reader = StreamReader()
    assert reader.feed(b"id: 1-7\n\n" + frame("progress", '{"state":"running"}')) == [
        Sent("progress", "", {"state": "running"})
    ]
    assert (reader.last_id, reader.is_heard) == ("1-7", True)


def test_carriage_returns_are_ends_of_line_too() -> None:
    assert StreamReader().feed(WIRE.replace(b"\n", b"\r\n")) == EVENTS
