"""Receiving the bytes of an upload, piece by piece: what has arrived is kept, come what may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

from services.gateway.tus import HASHES, Checksum, ChecksumMismatch
from shared.blobs import locations
from shared.blobs.store import Blobs
from shared.errors import ReelwayError, Unavailable
from shared.store.records import Change
from shared.store.uploads import Hold, Piece, Taken, Upload
from shared.tenancy import tenant_id

PIECE_BYTES = 32 * 1024 * 1024
"""A piece is kept when it has so many bytes, or no more come. Who is killed loses what it has of
one."""


@dataclass
class Arrival:
    """The bytes of one request on their way into an upload. ``ended`` is why no more came;
    ``expecting`` is called with how far the bytes reach before more are kept, ``completing`` before
    the last of all bytes count; ``said`` goes out with these.
    """

    upload: Upload
    hold: Hold
    blobs: Blobs
    said: Change
    leaving: asyncio.Event
    expecting: Callable[[int], Awaitable[None]]
    completing: Callable[[], Awaitable[None]]
    length: int | None = None
    checksum: Checksum | None = None
    piece_bytes: int = PIECE_BYTES
    ended: ReelwayError | None = None
    _next: bytes = b""
    _reader: asyncio.Task[Any] | None = None
    _was_interrupted: bool = False
    _kept: list[Piece] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.offset = self.upload.offset
        self._received = 0
        self._hash = HASHES[self.checksum.algorithm]() if self.checksum else None

    @property
    def received(self) -> int:
        """How many bytes came, kept or not."""
        return self._received

    async def take(self, body: AsyncGenerator[bytes, None]) -> int:
        """Keep what comes until the end, or until it breaks off; answers the new offset.

        With a checksum all of it is kept or nothing. Raises why it broke off, and
        :class:`ChecksumMismatch`.
        """
        waits = (self.hold.stop.wait(), self.leaving.wait())
        ends = [asyncio.ensure_future(each) for each in waits]
        for end in ends:
            end.add_done_callback(self._interrupt)
        try:
            async with aclosing(body):
                while await self._look(body):
                    await self._keep_piece(body)
            await self._settle()
        finally:
            await _over(*ends)
            await self._drop()
        if self.ended:
            raise self.ended
        return self.offset

    async def _look(self, body: AsyncIterator[bytes]) -> bool:
        """Whether more has come."""
        if not self._next and not self.ended:
            self._next = await self._read(body)
        return bool(self._next)

    async def _read(self, body: AsyncIterator[bytes]) -> bytes:
        """The next bytes; none at the end, and none when it broke off or another shall go on."""
        if self._is_stopped():  # also while more is there at once, for ever
            self.ended = self._why_stopped()
            return b""
        self._reader = asyncio.current_task()
        try:
            chunk = await anext(body, b"")
        except ReelwayError as error:
            self.ended = error
            return b""
        except asyncio.CancelledError:
            if not self._was_interrupted or self._reader is None or self._reader.uncancel():
                raise
            self.ended = self._why_stopped()
            return b""
        finally:
            self._reader = None
        self._received += len(chunk)
        if self._hash:
            self._hash.update(chunk)
        return chunk

    def _interrupt(self, ending: asyncio.Future[Any]) -> None:
        """Who waits for the next bytes waits no longer."""
        if not ending.cancelled() and self._reader is not None:
            self._was_interrupted = True
            self._reader.cancel()

    def _is_stopped(self) -> bool:
        return self.hold.stop.is_set() or self.leaving.is_set()

    def _why_stopped(self) -> ReelwayError:
        if self.hold.stop.is_set():
            return Taken("another request goes on with this upload")
        return Unavailable("this gateway is leaving", hint="go on with another one")

    async def _keep_piece(self, body: AsyncIterator[bytes]) -> None:
        tenant, start = tenant_id(self.upload.tenant), self.offset
        key = locations.piece(tenant, self.upload.id, start, self.hold.owner)
        size = 0

        async def chunks() -> AsyncIterator[bytes]:
            nonlocal size
            while size < self.piece_bytes and await self._look(body):
                chunk, self._next = self._next, b""
                size += len(chunk)
                if not await self._has_room(start + size):
                    size -= len(chunk)
                    return
                yield chunk

        self._kept.append(Piece(key, 0))
        await self.blobs.put(key, chunks())
        self._kept[-1] = Piece(key, size)
        self.offset += size
        if self.checksum is None:
            await self._add(start)

    async def _has_room(self, offset: int) -> bool:
        """Whether so many bytes may be here; if not, what came before stays."""
        try:
            await self.expecting(offset)
        except ReelwayError as error:
            self.ended = error
            return False
        return True

    async def _settle(self) -> None:
        """Add what waited for its checksum, or that there is nothing more to come."""
        if self.checksum and self._hash and not self.ended:
            if self._hash.digest() != self.checksum.digest:
                raise ChecksumMismatch("they were not kept", hint="send them again")
            if self._kept:
                await self._add(self.upload.offset)
        if not self._received and not self.ended and self._has_news():
            await self._add(self.upload.offset)

    def _has_news(self) -> bool:
        """Whether a request without bytes says how long the upload is, or that it is complete."""
        if self.upload.state != "open" or self.length is None:
            return False
        return self.upload.length is None or self.upload.offset == self.length

    async def _add(self, start: int) -> None:
        """It counts from here on. When the store is away that is unknown, and so it stays."""
        if self.offset == self.length:
            await self.completing()
        kept, self._kept = self._kept, []
        try:
            await self.hold.add(start, kept, self.said, self.length)
        except Unavailable:
            raise
        except ReelwayError:
            self._kept = kept
            raise

    async def _drop(self) -> None:
        """Remove what was not added."""
        for piece in self._kept:
            with suppress(Unavailable):  # it goes with the upload
                await self.blobs.delete(piece.key)
        if self._kept:
            self.offset = self.upload.offset


async def _over(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
