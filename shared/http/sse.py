"""Server-sent events (WHATWG HTML section 9.2): framing, resuming, sending, an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Literal, Self

from aiohttp import hdrs, web

from shared.errors import Unavailable
from shared.http.context import reset
from shared.http.errors import ClientGone, Stalled, has_left

EVENT_STREAM: Final = "text/event-stream"
RETRY_MS: Final = 2000
WRITE_TIMEOUT: Final = 10.0
ENDING_SECONDS: Final = 2.5
"""How long streams get to end themselves at shutdown before they are cut."""

LONGEST_SECONDS: Final = 3600.0
"""How long a stream may be open before its client is asked to come back: who may read what, and
which server is the right one, is then looked at anew."""

COMMENT: Final = b":\n\n"
Reason = Literal["done", "over", "left", "stalled"]
"""How a stream ended: all was said, it was its time, the client left or stopped reading."""

_SPREAD_MS = (1000, 5000)
_AGE_SPREAD = 0.1
_HEADERS = {
    hdrs.CONTENT_TYPE: f"{EVENT_STREAM}; charset=utf-8",
    hdrs.CACHE_CONTROL: "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
_SEND_BUFFER = 64 * 1024
_WRITE_BUFFER = 16 * 1024
_USER_TIMEOUT_MS = 30_000
# The only ends of line that the standard knows; str.splitlines() knows more.
_LINE_END = re.compile(r"\r\n|\r|\n")
_UNFIT = re.compile(r"[\x00\r\n]")
_EVENT_ID = re.compile(r"(?P<epoch>[A-Za-z0-9]{1,64})-(?P<seq>[0-9]{1,15})")


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """The last event that a client has seen: ``<epoch>-<seq>``."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"


def parse_event_id(text: str) -> ResumePoint | None:
    """An event id of ours; None where it is none.

    >>> parse_event_id("7f3a-12")
    ResumePoint(epoch='7f3a', seq=12)
    """
    found = _EVENT_ID.fullmatch(text)
    return ResumePoint(found["epoch"], int(found["seq"])) if found else None


def resume_point(request: web.Request) -> ResumePoint | None:
    """Where the client wants to go on: the header before the query, which ``EventSource`` cannot
    leave out when it reconnects.
    """
    given = request.headers.get("Last-Event-ID") or request.query.get("last_event_id", "")
    return parse_event_id(given)


def frame(event: str, data: str, event_id: str = "") -> bytes:
    """One event as it is sent; every line of the data becomes a ``data:`` line."""
    if _UNFIT.search(event) or _UNFIT.search(event_id):
        raise ValueError("an event's name and id are one line each")
    lines = [f"id: {event_id}"] if event_id else []
    lines += [f"event: {event}"] if event else []
    lines += [f"data: {line}" for line in _LINE_END.split(data)]
    return ("\n".join(lines) + "\n\n").encode()


def mark(event_id: str) -> bytes:
    """An id without an event: where a client resumes moves on, and it is told of nothing."""
    if _UNFIT.search(event_id):
        raise ValueError("an event's id is one line")
    return f"id: {event_id}\n\n".encode()


def nothing_more() -> web.Response:
    """204: tells an ``EventSource`` that reconnects after the end to stop."""
    return web.Response(status=204)


@dataclass(eq=False, slots=True)
class Streams:
    """All open streams of one application, so that they can be ended before it is."""

    open: set[EventStream] = field(default_factory=set)
    ending: asyncio.Event = field(default_factory=asyncio.Event)

    async def end(self, seconds: float = ENDING_SECONDS) -> None:
        """Let every source of events see :attr:`ending`; cut what is open after ``seconds``."""
        self.ending.set()
        for stream in tuple(self.open):
            stream.bell.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.open:
                    await next(iter(self.open)).ended.wait()
        for stream in tuple(self.open):
            stream.cut()


STREAMS: Final = web.AppKey("streams", Streams)


class EventStream:
    """One open stream: enter it to send the head, leave it to end the response.

    Sending waits for the client: what it has yet to take stays where the events come from, but for
    a buffer. A client that leaves or stalls ends the ``async with`` block without an error at the
    next send, so a silent stream needs a :meth:`comment` now and then. That the stream is to end,
    because the server does or because it is ``longest`` seconds old, does not interrupt the block:
    its source of events has to look at :attr:`is_over` whenever :attr:`bell` is set. The source may
    set the bell for reasons of its own.
    """

    def __init__(
        self,
        request: web.Request,
        *,
        write_timeout: float = WRITE_TIMEOUT,
        longest: float = LONGEST_SECONDS,
    ) -> None:
        self.response = web.StreamResponse(headers=_HEADERS)
        self.ended = asyncio.Event()
        self.bell = asyncio.Event()
        self.reason: Reason = "done"
        self._request = request
        self._streams = request.app[STREAMS]
        self._write_timeout = write_timeout
        # Streams that were opened together shall not come back together.
        self._longest = longest * random.uniform(1 - _AGE_SPREAD, 1)
        self._is_old = False
        self._aging: asyncio.TimerHandle | None = None

    @property
    def is_over(self) -> bool:
        """Whether the stream is to end."""
        return self._is_old or self._streams.ending.is_set()

    async def __aenter__(self) -> Self:
        if self._streams.ending.is_set():
            raise Unavailable("this server is shutting down", code="draining")
        self._tune()
        await self.response.prepare(self._request)
        self._streams.open.add(self)
        self._aging = asyncio.get_running_loop().call_later(self._longest, self._grow_old)
        # A client that is gone already shows itself at the first write of the block.
        with contextlib.suppress(ClientGone):
            await self._write(f"retry: {RETRY_MS}\n\n: welcome\n\n".encode())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        gone = error if isinstance(error, ClientGone) else None
        try:
            if error is None:
                await self._farewell()
        except ClientGone as left:
            gone = left
        finally:
            if self._aging is not None:
                self._aging.cancel()
            self._streams.open.discard(self)
            self.ended.set()
        if gone is not None:
            self.reason = "stalled" if isinstance(gone, Stalled) else "left"
            self.cut()
        return isinstance(error, ClientGone)

    async def send(self, event: str, event_id: str, data: str) -> None:
        """Send one event; :class:`ClientGone` when nobody takes it within the write timeout."""
        await self._write(frame(event, data, event_id))

    async def write(self, frames: bytes) -> None:
        """Send what :func:`frame` and :func:`mark` have made, one after the other."""
        await self._write(frames)

    async def comment(self) -> None:
        """Send a line that clients ignore, which shows proxies life and us a gone client."""
        await self._write(COMMENT)

    def cut(self) -> None:
        """End the connection at once."""
        reset(self._request)

    def _grow_old(self) -> None:
        self._is_old = True
        self.bell.set()

    async def _farewell(self) -> None:
        if self.is_over:
            self.reason = "over"
            # Clients come back at different times, or the next server gets them all at once.
            await self._write(f"retry: {random.randint(*_SPREAD_MS)}\n\n".encode())
        with contextlib.suppress(ConnectionError):
            await self.response.write_eof()

    async def _write(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(self._write_timeout):
                await self.response.write(data)
                # write() alone waits for no one until 64 KiB have gathered.
                await self._request.writer.drain()
        except TimeoutError as error:
            self.cut()
            raise Stalled from error
        except ConnectionError as error:
            raise ClientGone from error
        # A drain that is interrupted by our own cut ends without an error.
        if has_left(self._request):
            raise ClientGone

    def _tune(self) -> None:
        """Small buffers: a client that stopped reading is noticed after 64 KiB, not 4 MB."""
        transport = self._request.transport
        if transport is not None:
            transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        wire = transport.get_extra_info("socket") if transport is not None else None
        if wire is None or wire.family not in {socket.AF_INET, socket.AF_INET6}:
            return
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
