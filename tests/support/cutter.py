"""A proxy on a bad line: it ends every connection after so many bytes that went up."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

_CHUNK = 256 * 1024
_AT_ONCE = struct.pack("ii", 1, 0)


class Cutter:
    """Passes connections on to each of ``targets`` in turn. The client of one that has sent
    ``most`` bytes is reset; the server behind has got all of them, and sees the end.
    """

    def __init__(self, targets: Sequence[str], most: int) -> None:
        self.most = most
        self.url = ""
        self.cuts = 0
        self.carried = 0
        self._targets = itertools.cycle(targets)
        self._running: set[asyncio.Task[None]] = set()

    async def serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """One connection from its begin to its end."""
        task = asyncio.current_task()
        assert task
        self._running.add(task)
        parts = urlsplit(next(self._targets))
        up = down = None
        with suppress(ConnectionError, asyncio.CancelledError):
            server, upward = await asyncio.open_connection(parts.hostname, parts.port)
            up = asyncio.create_task(self._upward(client, upward))
            down = asyncio.create_task(_pass(server, answers))
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            if up.done() and not up.exception() and up.result():
                self.cuts += 1
                answers.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE
                )
                answers.transport.abort()
            upward.close()
        answers.close()
        await _over(up, down)
        self._running.discard(task)

    async def _upward(self, client: asyncio.StreamReader, upward: asyncio.StreamWriter) -> bool:
        """Whether the connection is to be cut, rather than that its client has ended it."""
        left = self.most
        while left and (chunk := await client.read(min(left, _CHUNK))):
            upward.write(chunk)
            await upward.drain()
            left -= len(chunk)
            self.carried += len(chunk)
        return not left

    async def end(self) -> None:
        """Let nothing of it run on."""
        await _over(*self._running)


async def _pass(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while chunk := await source.read(_CHUNK):
        target.write(chunk)
        await target.drain()


async def _over(*tasks: asyncio.Task[bool] | asyncio.Task[None] | None) -> None:
    """They have ended, one way or another."""
    known = [task for task in tasks if task]
    for task in known:
        task.cancel()
    await asyncio.gather(*known, return_exceptions=True)


@asynccontextmanager
async def cutting(targets: Sequence[str], most: int) -> AsyncIterator[Cutter]:
    """Such a proxy, on a free port of the loopback."""
    made = Cutter(targets, most)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, limit=4 * _CHUNK)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        await made.end()
        await server.wait_closed()
