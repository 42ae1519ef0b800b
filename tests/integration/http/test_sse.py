"""Streams over real sockets: begun at once, alive, at the client's pace, ended in time."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from shared.http.routes import Route, register
from shared.http.server import edge_app, listening
from shared.http.sse import EVENT_STREAM, STREAMS, EventStream

ASK = b"GET /events HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"
WELCOME = b"retry: 2000\n\n: welcome\n\n"
SPREAD = re.compile(rb"retry: ([0-9]+)\n\n")
LARGE = "x" * 60000

Event = tuple[str, str, str]
Source = Callable[[asyncio.Event], AsyncIterator[Event | None]]
"""Told of the server's end, gives events; None where a heartbeat is due."""


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(12_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise TimeoutError


class Hub:
    """A door that follows a source as the gateway's does, and keeps how each stream ended."""

    def __init__(
        self, source: Source, write_timeout: float = 10.0, longest: float = 3600.0
    ) -> None:
        self.source = source
        self.options = {"write_timeout": write_timeout, "longest": longest}
        self.begun = 0
        self.ends: list[str] = []
        self.reasons: list[str] = []
        self.stream: EventStream | None = None

    async def events(self, request: web.Request) -> web.StreamResponse:
        end = "left"
        async with EventStream(request, **self.options) as stream:
            self.begun += 1
            self.stream = stream
            async for event in self.source(request.app[STREAMS].ending):
                if event is None:
                    await stream.comment()
                else:
                    await stream.send(*event)
            end = "done"
        self.reasons.append(stream.reason)
        self.ends.append(end)
        return stream.response

    def route(self) -> Route:
        return Route(
            method="GET", path="/events", handler=self.events, summary="", media=(EVENT_STREAM,)
        )

    def app(self) -> web.Application:
        app = edge_app(lambda *_: None)
        register(app, [self.route()])
        return app

    async def ended(self) -> str:
        await until(lambda: bool(self.ends))
        return self.ends[0]


async def waiting(ending: asyncio.Event) -> AsyncIterator[Event | None]:
    """Nothing happens until the server ends, and no heartbeat is due meanwhile."""
    while not ending.is_set():
        try:
            async with asyncio.timeout(60):
                await ending.wait()
        except TimeoutError:
            yield None


async def silent(_: asyncio.Event) -> AsyncIterator[Event | None]:
    """Heartbeats, for ever, whether the server ends or not."""
    while True:
        await asyncio.sleep(0.05)
        yield None


class Flood:
    """Has large events as fast as they are taken."""

    def __init__(self, most: int = 1_000_000) -> None:
        self.most = most
        self.given = 0

    async def __call__(self, ending: asyncio.Event) -> AsyncIterator[Event | None]:
        while self.given < self.most and not ending.is_set():
            self.given += 1
            yield "state", f"e-{self.given}", LARGE

    async def held(self) -> None:
        """Come back when nothing more has been taken for a while."""
        before = -1
        while before != self.given:
            before = self.given
            await asyncio.sleep(0.1)


async def next_chunk(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(60):
        size = int(await reader.readline(), 16)
        return (await reader.readexactly(size + 2))[:-2]


async def opened(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The head; the welcome has been read, too."""
    writer.write(ASK)
    head = await reader.readuntil(b"\r\n\r\n")
    assert await next_chunk(reader) == WELCOME
    return head


def unread(port: int) -> socket.socket:
    """A client that asks and never reads."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(ASK)
    return client


async def test_stream_begins_before_the_first_event(serve: Any) -> None:
    door = await serve(Hub(waiting).route())
    async with door.wire() as (reader, writer):
        head = (await opened(reader, writer)).decode()
    assert "Content-Type: text/event-stream; charset=utf-8" in head
    assert "Cache-Control: no-cache, no-transform" in head
    assert "X-Accel-Buffering: no" in head
    assert "X-Request-Id: " in head
    assert "nosniff" in head
    assert "Content-Encoding" not in head


async def test_events_arrive_one_by_one_and_the_end_ends(serve: Any) -> None:
    go_on = asyncio.Event()

    async def two(_: asyncio.Event) -> AsyncIterator[Event | None]:
        yield "state", "e-1", '{"a":\n1}'
        await go_on.wait()
        yield "end", "e-2", ""

    hub = Hub(two)
    door = await serve(hub.route())
    async with door.wire() as (reader, writer):
        await opened(reader, writer)
        expected = b'id: e-1\nevent: state\ndata: {"a":\ndata: 1}\n\n'
        assert await next_chunk(reader) == expected
        go_on.set()
        assert await next_chunk(reader) == b"id: e-2\nevent: end\ndata: \n\n"
        assert await next_chunk(reader) == b""
    assert await hub.ended() == "done"


async def test_comments_keep_a_silent_stream_alive(serve: Any) -> None:
    door = await serve(Hub(silent).route())
    async with door.wire() as (reader, writer):
        await opened(reader, writer)
        assert [await next_chunk(reader) for _ in range(3)] == [b":\n\n"] * 3


async def test_gone_client_is_noticed_by_a_comment(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    hub = Hub(silent)
    door = await serve(hub.route())
    async with door.wire() as (reader, writer):
        await opened(reader, writer)
    assert await hub.ended() == "left"
    assert len(door.app[STREAMS].open) == 0
    assert caplog.records == []


async def test_slow_client_is_waited_for_and_misses_nothing(serve: Any) -> None:
    flood = Flood(most=200)
    hub = Hub(flood)
    door = await serve(hub.route())
    async with door.wire() as (reader, writer):
        await opened(reader, writer)
        await flood.held()
        assert flood.given < 100
        for seq in range(1, 201):
            assert (await next_chunk(reader)).startswith(f"id: e-{seq}\n".encode())
        assert await next_chunk(reader) == b""
    assert await hub.ended() == "done"


async def test_client_that_stops_reading_is_let_go(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    flood = Flood()
    hub = Hub(flood, write_timeout=0.2)
    door = await serve(hub.route())
    with unread(door.port):
        assert await hub.ended() == "left"
    assert len(door.app[STREAMS].open) == 0
    # Buffers hold a little: megabytes are never swallowed.
    assert flood.given * len(LARGE) < 1_000_000
    assert caplog.records == []


async def test_source_that_fails_breaks_the_stream_and_is_logged_once(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def failing(_: asyncio.Event) -> AsyncIterator[Event | None]:
        yield "state", "e-1", ""
        raise RuntimeError("the store is gone")

    door = await serve(Hub(failing).route())
    async with door.wire() as (reader, writer):
        await opened(reader, writer)
        await next_chunk(reader)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await reader.readexactly(1)
    assert await door.until_seen() == ("GET", "/events", 500)
    assert len(door.app[STREAMS].open) == 0
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_shutdown_ends_all_streams_at_once_and_spreads_their_return() -> None:
    hub = Hub(waiting)
    retries = []
    async with AsyncExitStack() as wires:
        app = hub.app()
        async with listening(app, "127.0.0.1", 0) as port:
            readers = []
            for _ in range(50):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                wires.callback(writer.close)
                await opened(reader, writer)
                readers.append(reader)
            await app[STREAMS].end(60)  # none is cut for being late
            assert not app[STREAMS].open
        for reader in readers:
            found = SPREAD.fullmatch(await next_chunk(reader))
            assert found
            retries.append(int(found[1]))
            assert await reader.read() == b"0\r\n\r\n"
    assert len(set(retries)) > 20
    assert 1000 <= min(retries) <= max(retries) <= 5000
    assert hub.ends == ["done"] * 50


async def test_shutdown_does_not_wait_for_a_client_that_stopped_reading() -> None:
    flood = Flood()
    hub = Hub(flood, write_timeout=120)
    async with AsyncExitStack() as clients:
        async with listening(hub.app(), "127.0.0.1", 0) as port:
            clients.enter_context(unread(port))
            await until(lambda: hub.begun == 1)
            await flood.held()
            began = time.monotonic()
        assert time.monotonic() - began < 60
    assert hub.ends == ["left"]


async def test_source_that_does_not_see_the_end_is_cut_after_its_time(serve: Any) -> None:
    hub = Hub(silent)
    door = await serve(hub.route())
    async with door.wire() as (reader, writer):
        await opened(reader, writer)
        await door.app[STREAMS].end(0.2)
        with pytest.raises(ConnectionResetError):
            await reader.read()
    assert await hub.ended() == "left"


async def test_no_stream_begins_while_the_server_ends(serve: Any) -> None:
    door = await serve(Hub(waiting).route())
    door.app[STREAMS].ending.set()
    async with door.get("/events") as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "5")
        assert (await response.json(content_type=None))["code"] == "draining"


async def test_a_stream_ends_in_order_when_it_is_old_and_its_client_is_asked_back(
    serve: Any,
) -> None:
    async def until_over(_: asyncio.Event) -> AsyncIterator[Event | None]:
        assert hub.stream is not None
        yield "state", "e-1", ""
        while not hub.stream.is_over:
            await hub.stream.bell.wait()

    hub = Hub(until_over, longest=0.2)
    door = await serve(hub.route())
    async with door.wire() as (reader, writer):
        await opened(reader, writer)
        assert await next_chunk(reader) == b"id: e-1\nevent: state\ndata: \n\n"
        assert SPREAD.fullmatch(await next_chunk(reader))
        assert await next_chunk(reader) == b""
    assert await hub.ended() == "done"
    assert hub.reasons == ["over"]


async def test_streams_that_were_opened_together_do_not_grow_old_together(serve: Any) -> None:
    hub = Hub(waiting, longest=1000)
    door = await serve(hub.route())
    ages = []
    async with AsyncExitStack() as wires:
        for _ in range(20):
            await opened(*await wires.enter_async_context(door.wire()))
            assert hub.stream is not None
            assert hub.stream._aging is not None
            ages.append(hub.stream._aging.when() - asyncio.get_running_loop().time())
        await door.app[STREAMS].end(0.1)
    assert 890 < min(ages) < max(ages) <= 1000
    assert max(ages) - min(ages) > 20


async def test_that_the_server_ends_rings_the_bell_of_every_stream(serve: Any) -> None:
    async def by_bell(_: asyncio.Event) -> AsyncIterator[Event | None]:
        stream = hub.stream
        assert stream is not None
        while not stream.is_over:
            await stream.bell.wait()
            yield None

    hub = Hub(by_bell)
    door = await serve(hub.route())
    async with door.wire() as (reader, writer):
        await opened(reader, writer)
        await door.app[STREAMS].end()
        assert await next_chunk(reader) == b":\n\n"
        assert SPREAD.fullmatch(await next_chunk(reader))
    assert await hub.ended() == "done"


async def test_how_a_stream_ended_is_known(serve: Any) -> None:
    async def nothing(_: asyncio.Event) -> AsyncIterator[Event | None]:
        return
        yield

    done, left, stalled = Hub(nothing), Hub(silent), Hub(Flood(), write_timeout=0.2)
    for hub in (done, left):
        door = await serve(hub.route())
        async with door.wire() as (reader, writer):
            await opened(reader, writer)
        await hub.ended()
    door = await serve(stalled.route())
    with unread(door.port):
        await stalled.ended()
    assert (done.reasons, left.reasons, stalled.reasons) == (["done"], ["left"], ["stalled"])


async def test_a_client_that_stops_reading_costs_little_of_our_own_memory(serve: Any) -> None:
    flood = Flood()
    hub = Hub(flood)
    door = await serve(hub.route())
    with unread(door.port):
        await until(lambda: hub.begun == 1)
        await flood.held()
        assert hub.stream is not None
        transport = hub.stream._request.transport
        assert transport is not None
        assert 0 < transport.get_write_buffer_size() < 16 * 1024 + 2 * len(LARGE)
    await hub.ended()
