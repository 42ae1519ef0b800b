"""The blob store: a thin layer over obstore, with what the transport leaves to us.

A blob appears whole or not at all. Local blobs are flushed to the disk before they count.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import unquote, urlsplit

import msgspec
import obstore
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

from shared.blobs.failures import checked, translated
from shared.errors import NotFound
from shared.faults import through

T = TypeVar("T")
_WALKS = 100
PIECE = 1024 * 1024
"""How much is read or written at a time, in bytes."""


Around = Callable[[str], AbstractAsyncContextManager[object]]
"""What is around each access to a store, by the key that is accessed."""


def _nothing(_key: str) -> AbstractAsyncContextManager[object]:
    return nullcontext()


class BlobInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a blob: size in bytes, time of change in seconds since the epoch."""

    size: int
    modified: float


class Blobs:
    """Bytes by key. Open one with :func:`open_blobs`."""

    def __init__(self, store: ObjectStore, folder: Path | None, around: Around = _nothing) -> None:
        self._store = store
        self._folder = folder
        self._around = around

    def behind(self, around: Around) -> Blobs:
        """The same store with each access inside ``around(key)``, but for :meth:`ping`. A folder of
        this machine stays as it is.
        """
        return self if self._folder else Blobs(self._store, None, around)

    def local_path(self, key: str) -> Path | None:
        """Where the blob lies on this machine's disk, if it does."""
        return self._folder / checked(key) if self._folder else None

    async def on_disk(self, location: str) -> Path | None:
        """Like :meth:`local_path`, for any location that can be read."""
        return self.local_path(location)

    @asynccontextmanager
    async def held(self, location: str) -> AsyncIterator[Path | None]:
        """A local file with the bytes, if there is one, for as long as the block is open."""
        yield await self.on_disk(location)

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Store a stream of chunks under the key. When the stream raises, nothing is kept."""
        async with self._reaching(key):
            await obstore.put_async(
                self._store,
                key,
                chunks,
                use_multipart=True,
                chunk_size=5 * PIECE,
                max_concurrency=2,
            )
            await self._flush(key)

    async def put_file(self, key: str, path: Path) -> str:
        """Store a local file under the key; answers its SHA-256 in hex."""
        return await through("blob:put", lambda: self._put_file(key, path))

    async def _put_file(self, key: str, path: Path) -> str:
        digest = hashlib.sha256()

        async def pieces(file: BinaryIO) -> AsyncIterator[bytes]:
            while piece := await asyncio.to_thread(file.read, PIECE):
                digest.update(piece)
                yield piece

        with path.open("rb") as file:  # here, so that a missing file is no missing blob
            await self.put(key, pieces(file))
        return digest.hexdigest()

    async def head(self, key: str) -> BlobInfo:
        """What is known of a blob; :class:`NotFound` when there is none."""
        async with self._reaching(key):
            meta = await obstore.head_async(self._store, key)
        return _info(meta)

    async def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from ``start`` up to, not including, ``stop``, in pieces of at most 1 MiB."""
        end = (await self.head(key)).size if stop is None else stop
        for begin in range(start, end, PIECE):
            async with self._reaching(key):
                piece = await obstore.get_range_async(
                    self._store, key, start=begin, end=min(begin + PIECE, end)
                )
            yield bytes(piece)

    async def read_all(self, key: str) -> bytes:
        """A small blob, whole."""
        async with self._reaching(key):
            return bytes(await (await obstore.get_async(self._store, key)).bytes_async())

    async def fetch(self, key: str, path: Path) -> None:
        """Copy a blob to a local file."""
        with path.open("wb") as file:
            async for piece in self.read(key):
                await asyncio.to_thread(file.write, piece)

    async def move(self, source: str, target: str) -> None:
        """Give a blob another key, replacing what was there."""
        checked(target)
        async with self._reaching(source):
            await obstore.rename_async(self._store, source, target)
            await self._flush(target)

    async def copy(self, source: str, target: str) -> None:
        """Store the same bytes under another key as well."""
        checked(target)
        async with self._reaching(source):
            await obstore.copy_async(self._store, source, target)
            await self._flush(target)

    async def delete(self, key: str) -> None:
        """Remove a blob; it is fine when there is none."""
        try:
            async with self._reaching(key):
                await obstore.delete_async(self._store, key)
        except NotFound:
            return

    async def delete_prefix(self, prefix: str) -> int:
        """Remove every blob below ``prefix`` (which ends in a slash); answers how many."""
        removed = 0

        async def remove() -> None:
            nonlocal removed
            async for found in obstore.list(self._store, prefix):
                keys = [str(meta["path"]) for meta in found]
                await obstore.delete_async(self._store, keys)
                removed += len(keys)

        await self._walking(prefix, remove)
        if self._folder:
            await asyncio.to_thread(_prune, self._folder / prefix)
        return removed

    async def clear(self, prefix: str) -> None:
        """Remove everything below ``prefix`` where nobody writes any more: also what was half
        written by somebody who died.
        """
        await self.delete_prefix(prefix)
        if self._folder:
            await asyncio.to_thread(shutil.rmtree, self._folder / prefix, ignore_errors=True)

    async def listed(self, prefix: str) -> dict[str, BlobInfo]:
        """Every blob below ``prefix`` (which ends in a slash) by its key, in no order."""

        async def walk() -> dict[str, BlobInfo]:
            found: dict[str, BlobInfo] = {}
            async for some in obstore.list(self._store, prefix):
                found |= {str(meta["path"]): _info(meta) for meta in some}
            return found

        return await self._walking(prefix, walk)

    async def folders(self, prefix: str) -> list[str]:
        """The names one step below ``prefix`` (which ends in a slash) that have blobs below them,
        sorted; on a disk also those whose blobs have gone.
        """

        async def walk() -> Any:
            return await obstore.list_with_delimiter_async(self._store, prefix)

        found = await self._walking(prefix, walk)
        return sorted(str(path).rpartition("/")[2] for path in found["common_prefixes"])

    async def delete_listed(self, prefix: str, keys: Iterable[str]) -> None:
        """Remove these blobs, which lie below ``prefix``, and no others."""
        checked(prefix)
        for key in keys:
            await self.delete(key)
        if self._folder:
            await asyncio.to_thread(_prune, self._folder / prefix)

    async def free_bytes(self) -> int | None:
        """Room left on the disk that holds the blobs, where that can be told."""
        if not self._folder:
            return None
        stat = os.statvfs(self._folder)
        return stat.f_bavail * stat.f_frsize

    async def ping(self) -> None:
        """Raise :class:`Unavailable` when the store cannot be reached."""
        with translated("ping"):
            async for _ in obstore.list(self._store, "ping/", chunk_size=1):
                break

    async def _walking(self, prefix: str, walk: Callable[[], Awaitable[T]]) -> T:
        """Do what looks through a prefix. On a disk it breaks off when somebody else removes there
        at the same time: then from the beginning, as there is less to see each time.
        """
        for _ in range(_WALKS):
            with suppress(NotFound):
                async with self._reaching(prefix):
                    return await walk()
        async with self._reaching(prefix):
            return await walk()

    @asynccontextmanager
    async def _reaching(self, key: str) -> AsyncIterator[None]:
        checked(key)
        async with self._around(key):
            with translated(key):
                yield

    async def _flush(self, key: str) -> None:
        if self._folder:
            await asyncio.to_thread(_flush_to_disk, self._folder / key)


def _info(meta: Mapping[str, Any]) -> BlobInfo:
    return BlobInfo(size=meta["size"], modified=meta["last_modified"].timestamp())


def open_blobs(url: str) -> Blobs:
    """The store at a URL: ``file:///folder``, ``memory:`` (tests), ``s3://bucket/prefix``, …"""
    parts = urlsplit(url)
    if parts.scheme == "memory":
        return Blobs(MemoryStore(), None)
    if parts.scheme == "file":
        folder = Path(unquote(parts.path))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Blobs(LocalStore(folder), folder)
    return Blobs(from_url(url), None)


def _flush_to_disk(path: Path) -> None:
    """Make a new file and its name survive a power cut."""
    for place in (path, path.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _prune(folder: Path) -> None:
    """Remove the folders that a deletion has emptied. Folders above stay: another blob may be on
    its way into them.
    """
    for name, _, _ in os.walk(folder, topdown=False):
        _remove_empty(Path(name))


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
