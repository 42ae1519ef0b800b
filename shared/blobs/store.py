"""The blob store: a thin layer over obstore, with what the transport leaves to us.

A blob appears whole or not at all. Local blobs are flushed to the disk before they count.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import LocalStore, MemoryStore, ObjectStore

from shared.blobs import remote, s3
from shared.blobs.disk import flush_to_disk, free_bytes, prune
from shared.blobs.failures import checked, translated
from shared.blobs.info import BlobInfo, info_of
from shared.blobs.s3_calls import NOTHING, S3Calls
from shared.blobs.streams import gathered, hashed, settled
from shared.errors import NotFound
from shared.faults import through

T = TypeVar("T")
_WALKS = 100
PIECE = 1024 * 1024
"""How much is read or written at a time, in bytes."""
PORTION = PIECE // 4
"""How much is on its way to a disk at a time: more is not faster, and there may be many ways."""


class Blobs:
    """Bytes by key. Open one with :func:`open_blobs`."""

    def __init__(
        self,
        store: ObjectStore,
        folder: Path | None,
        around: remote.Around = remote.unguarded,
        s3_calls: S3Calls | None = None,
    ) -> None:
        self._store = store
        self._folder = folder
        self._around = around
        self._s3 = s3_calls

    def behind(self, around: remote.Around) -> Blobs:
        """The same store with each access inside ``around(key)``, but for :meth:`ping`. A folder of
        this machine stays as it is.
        """
        return self if self._folder else Blobs(self._store, None, around, self._s3)

    def local_path(self, key: str) -> Path | None:
        """Where the blob lies on this machine's disk, if it does."""
        return self._folder / checked(key) if self._folder else None

    @property
    def s3(self) -> S3Calls | None:
        """What the store can do beyond the rest, where it is S3."""
        return self._s3

    async def presigned(
        self, key: str, seconds: int, method: str = "GET", shown: Mapping[str, str] = NOTHING
    ) -> str | None:
        """Where anybody may GET (or HEAD) the blob for so long, answered with the headers in
        ``shown`` (see :meth:`S3Calls.address`); None where the store cannot say so.
        """
        return await self._s3.address(key, seconds, method, shown) if self._s3 else None

    async def on_disk(self, location: str) -> Path | None:
        """Like :meth:`local_path`, for any location that can be read."""
        return self.local_path(location)

    @asynccontextmanager
    async def held(self, location: str) -> AsyncIterator[Path | None]:
        """A local file with the bytes, if there is one, for as long as the block is open."""
        yield await self.on_disk(location)

    async def put(
        self, key: str, chunks: AsyncIterator[bytes], at_most: int = remote.USUAL_MOST
    ) -> None:
        """Store a stream of chunks under the key. When the stream raises, nothing is kept. A remote
        store takes it in parts, whose size follows from how many bytes there are ``at_most``.
        """
        async with self._reaching(key):
            if self._folder:
                await self._put(key, gathered(chunks, PORTION), at_most)
                await self._flush(key)
            else:
                await settled(chunks, lambda source: self._put(key, source, at_most))

    async def _put(self, key: str, chunks: AsyncIterator[bytes], at_most: int) -> None:
        await obstore.put_async(
            self._store,
            key,
            chunks,
            use_multipart=True,
            chunk_size=PORTION if self._folder else remote.part_bytes(at_most),
            max_concurrency=1 if self._folder else 2,  # many write to a disk at a time as it is
        )

    async def put_file(self, key: str, path: Path) -> str:
        """Store a local file under the key; answers its SHA-256 in hex."""
        return await through("blob:put", lambda: self._put_file(key, path))

    async def _put_file(self, key: str, path: Path) -> str:
        digest = hashlib.sha256()
        with path.open("rb") as file:  # here, so that a missing file is no missing blob
            await self.put(key, hashed(file, digest, PIECE), path.stat().st_size)
        return digest.hexdigest()

    async def head(self, key: str) -> BlobInfo:
        """What is known of a blob; :class:`NotFound` when there is none."""
        async with self._reaching(key):
            meta = await obstore.head_async(self._store, key)
        return info_of(meta)

    async def exists(self, key: str) -> bool:
        """Whether there is such a blob."""
        with suppress(NotFound):
            await self.head(key)
            return True
        return False

    async def read(
        self, key: str, start: int = 0, stop: int | None = None, at_once: int = PIECE
    ) -> AsyncIterator[bytes]:
        """The bytes from ``start`` up to, not including, ``stop``, in pieces of at most 1 MiB. Who
        reads on without a pause has a remote store asked for more ``at_once``.
        """
        end = (await self.head(key)).size if stop is None else stop
        step = PIECE if self._folder else at_once
        for begin in range(start, end, step):
            async with self._reaching(key):
                found = await obstore.get_range_async(
                    self._store, key, start=begin, end=min(begin + step, end)
                )
            with memoryview(found) as view:
                for at in range(0, len(view), PIECE):
                    yield bytes(view[at : at + PIECE])

    async def read_all(self, key: str) -> bytes:
        """A small blob, whole."""
        async with self._reaching(key):
            return bytes(await (await obstore.get_async(self._store, key)).bytes_async())

    async def fetch(self, key: str, path: Path) -> None:
        """Copy a blob to a local file."""
        with path.open("wb") as file:
            async for piece in self.read(key, at_once=remote.AHEAD):
                await asyncio.to_thread(file.write, piece)

    async def move(self, source: str, target: str) -> None:
        """Give a blob another key, replacing what was there."""
        checked(target)
        if await self._copied_in_parts(source, target):
            await self.delete(source)
            return
        async with self._reaching(source):
            await obstore.rename_async(self._store, source, target)
            await self._flush(target)

    async def copy(self, source: str, target: str) -> None:
        """Store the same bytes under another key as well."""
        checked(target)
        if await self._copied_in_parts(source, target):
            return
        async with self._reaching(source):
            await obstore.copy_async(self._store, source, target)
            await self._flush(target)

    async def _copied_in_parts(self, source: str, target: str) -> bool:
        """Copy a blob that is too large for one request; False when it is not."""
        if self._s3 is None:
            return False
        size = (await self.head(source)).size
        if not self._s3.is_large(size):
            return False
        async with self._reaching(source):
            await self._s3.copy(source, target, size)
        return True

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
            await asyncio.to_thread(prune, self._folder / prefix)
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
                found |= {str(meta["path"]): info_of(meta) for meta in some}
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
            await asyncio.to_thread(prune, self._folder / prefix)

    async def free_bytes(self) -> int | None:
        """Room left on the disk that holds the blobs, where that can be told."""
        return free_bytes(self._folder) if self._folder else None

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
            await asyncio.to_thread(flush_to_disk, self._folder / key)


def open_blobs(url: str, patience: remote.Patience | None = None) -> Blobs:
    """The store at a URL: ``file:///folder``, ``memory:`` (tests), ``s3://bucket/prefix?…`` (see
    :mod:`shared.blobs.s3`), ``gs://…``, ``az://…``. Nothing is asked of a server yet.
    :class:`shared.settings.SettingsError` when the URL is none.
    """
    patience = patience or remote.Patience()
    parts = urlsplit(url)
    if parts.scheme == "memory":
        return Blobs(MemoryStore(), None)
    if parts.scheme == "file":
        folder = Path(unquote(parts.path))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Blobs(LocalStore(folder), folder)
    if parts.scheme in s3.SCHEMES:
        bucket = s3.bucket_of(url)
        return Blobs(bucket.store(patience), None, s3_calls=S3Calls(bucket, patience))
    return Blobs(remote.other_store(url, patience), None)
