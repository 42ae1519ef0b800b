"""Handing a stream to a store so that whoever hands it over may be cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, BinaryIO, Protocol

_TIDY_SECONDS = 10.0
"""How long a store may take to remove what it has of a stream that was cut off."""


class Digest(Protocol):
    """Any hash of the standard library."""

    def update(self, data: bytes, /) -> None:
        """Go on with these bytes."""


async def hashed(file: BinaryIO, digest: Digest, at_once: int) -> AsyncIterator[bytes]:
    """What is in a file, in pieces, each of which the digest has seen."""
    while piece := await asyncio.to_thread(file.read, at_once):
        digest.update(piece)
        yield piece


async def gathered(chunks: AsyncIterator[bytes], least: int) -> AsyncIterator[bytes]:
    """The same bytes in chunks that are not small: handing one over to a store takes its time."""
    some: list[bytes] = []
    size = 0
    async for chunk in chunks:
        some.append(chunk)
        size += len(chunk)
        if size >= least:
            yield b"".join(some)
            some, size = [], 0
    if some:
        yield b"".join(some)


class CutOff(Exception):
    """The stream ends here, before its end."""


class Source:
    """A stream that can be made to fail from outside, also while its next chunk is waited for."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._reading: asyncio.Task[Any] | None = None
        self._is_cut = False

    def __aiter__(self) -> Source:
        return self

    async def __anext__(self) -> bytes:
        if self._is_cut:
            raise CutOff
        self._reading = asyncio.current_task()
        try:
            return await anext(self._chunks)
        except asyncio.CancelledError:
            if self._is_cut:
                raise CutOff from None
            raise
        finally:
            self._reading = None

    def cut(self) -> None:
        """Let it fail."""
        self._is_cut = True
        if self._reading is not None:
            self._reading.cancel()


async def settled(chunks: AsyncIterator[bytes], put: Callable[[Source], Awaitable[object]]) -> None:
    """Have a stream stored. When this is cancelled, the store is told that the stream has failed
    and is given time to remove what it has: a request that is merely dropped would leave the parts
    of an upload behind for ever.
    """
    source = Source(chunks)
    putting = asyncio.ensure_future(put(source))
    try:
        await asyncio.shield(putting)
    except asyncio.CancelledError:
        source.cut()
        await asyncio.wait({putting}, timeout=_TIDY_SECONDS)
        if putting.done() and not putting.cancelled():
            putting.exception()
        raise
