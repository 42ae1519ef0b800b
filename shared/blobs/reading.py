"""A blob store that also reads what lies in libraries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from shared.blobs.info import BlobInfo
from shared.blobs.library import InPlace, is_in_library
from shared.blobs.remote import Around
from shared.blobs.s3_calls import NOTHING
from shared.blobs.store import PIECE, Blobs


class BlobsAndLibraries(Blobs):
    """The same store, where locations in libraries can be read as well. Nothing else is changed, so
    whatever writes or removes refuses them: they are no keys.
    """

    def __init__(self, kept: Blobs, in_place: InPlace) -> None:  # the rest is that of ``kept``
        vars(self).update(vars(kept))
        self._kept = kept
        self._in_place = in_place

    def behind(self, around: Around) -> Blobs:
        """The same with each access to the store itself inside ``around(key)``."""
        return BlobsAndLibraries(self._kept.behind(around), self._in_place)

    async def presigned(
        self, key: str, seconds: int, method: str = "GET", shown: Mapping[str, str] = NOTHING
    ) -> str | None:
        """Where anybody may GET the blob for so long; no store knows what lies in a library."""
        if is_in_library(key):
            return None
        return await super().presigned(key, seconds, method, shown)

    async def on_disk(self, location: str) -> Path | None:
        """Where the bytes lie on this machine's disk, if they do."""
        if is_in_library(location):
            return await self._in_place.path(location)
        return self.local_path(location)

    @asynccontextmanager
    async def held(self, location: str) -> AsyncIterator[Path | None]:
        """A local file with the bytes; one in a library stays this very file, whatever becomes of
        its name meanwhile.
        """
        if not is_in_library(location):
            yield self.local_path(location)
            return
        async with self._in_place.held(location) as path:
            yield path

    async def head(self, key: str) -> BlobInfo:
        """What is known of the bytes; :class:`NotFound` when there are none."""
        if not is_in_library(key):
            return await super().head(key)
        found = await self._in_place.look(key)
        return BlobInfo(size=found.size, modified=found.mtime_ns / 1e9)

    async def read(
        self, key: str, start: int = 0, stop: int | None = None, at_once: int = PIECE
    ) -> AsyncIterator[bytes]:
        """The bytes from ``start`` up to, not including, ``stop``, in pieces of at most 1 MiB."""
        if not is_in_library(key):
            pieces = super().read(key, start, stop, at_once)
        else:
            end = (await self.head(key)).size if stop is None else stop
            pieces = self._in_place.read(key, start, end)
        async for piece in pieces:
            yield piece
