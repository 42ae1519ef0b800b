"""Bytes that are read where they lie, in folders that are not ours.

Their location is ``library:<tenant>/<library>/<file>``: an id, not a path, so that moving or
renaming the file changes nothing for whoever holds the location. Only reading is possible: every
method of the store that writes or removes refuses such a location, as it is no blob key.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from shared.blobs.beneath import in_thread, look_at, opened
from shared.blobs.roots import Root, read_marker
from shared.contracts.library import LibraryFile, Look
from shared.errors import Conflict, NotFound
from shared.tenancy import TenantId, blob_key, tenant_id

SCHEME: Final = "library:"
_PIECE = 1024 * 1024


class FileMissing(NotFound):
    """The file is not in its folder at the moment."""

    default_code = "file_missing"


class FileChanged(Conflict):
    """The file is not what it was when it was indexed; the next scan will see to it."""

    default_code = "file_changed"


class Located(NamedTuple):
    """The parts of a location."""

    tenant: TenantId
    library: str
    file_id: str


def library_location(tenant: TenantId, library: str, file_id: str) -> str:
    """The location of a file in a library."""
    return SCHEME + blob_key(tenant, library, file_id)


def is_in_library(location: str) -> bool:
    """Whether these bytes lie in a folder that is not ours."""
    return location.startswith(SCHEME)


def located(location: str) -> Located:
    """What a location says; :class:`FileMissing` when it is none."""
    parts = location.removeprefix(SCHEME).split("/")
    if not is_in_library(location) or len(parts) != len(Located._fields):
        raise FileMissing(f"{location[:80]!r} is no location in a library")
    return Located(tenant_id(parts[0]), parts[1], parts[2])


Find = Callable[[TenantId, str], Awaitable[LibraryFile | None]]
"""Finds a file of a tenant by its id."""


class InPlace:
    """Reads files of libraries. Each time the folder's marker is looked at first, so that another
    folder at the same place, or none, is never mistaken for it.
    """

    def __init__(self, roots: Sequence[Root], find: Find) -> None:
        self._roots = tuple(roots)
        self._find = find

    async def look(self, location: str) -> Look:
        """What the file looks like, if that is what was indexed."""
        file, place = await self._located(location)
        return await in_thread(_looked, place, file)

    async def read(self, location: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """The bytes from ``start`` up to ``stop``, in pieces."""
        file, place = await self._located(location)
        with ExitStack() as stack:
            descriptor = await in_thread(_enter, stack, place, file)
            for begin in range(start, stop, _PIECE):
                length = min(_PIECE, stop - begin)
                piece = await in_thread(os.pread, descriptor, length, begin)
                if len(piece) != length:
                    raise FileChanged(f"the file ends at {begin + len(piece)}")
                yield piece

    async def path(self, location: str) -> Path:
        """Where the file lies on this machine, for a process of ours."""
        file, place = await self._located(location)
        await in_thread(_looked, place, file)
        return Path(place, file.path)

    @asynccontextmanager
    async def held(self, location: str) -> AsyncIterator[Path]:
        """A path that leads to this very file while the block is open, whatever happens to its
        name meanwhile.
        """
        file, place = await self._located(location)
        with ExitStack() as stack:
            descriptor = await in_thread(_enter, stack, place, file)
            yield Path(f"/dev/fd/{descriptor}")

    async def _located(self, location: str) -> tuple[LibraryFile, str]:
        """The file and the folder it is in, which is there and the right one."""
        where = located(location)
        file = await self._find(where.tenant, where.file_id)
        if file is None or file.library != where.library or file.state == "missing":
            raise FileMissing(hint="it is here again when a scan has found it")
        return file, await in_thread(self._place, where)

    def _place(self, where: Located) -> str:
        for root in self._roots:
            if root.tenant == where.tenant and _holds(root.place, where):
                return root.place
        raise FileMissing(
            "the folder of this file is away",
            hint="see GET /v1/libraries for what is wrong with it",
        )


def _holds(place: str, where: Located) -> bool:
    """Whether this is the folder of that library."""
    try:
        marker = read_marker(place)
    except (OSError, ValueError):
        return False
    return marker is not None and (marker.library, marker.tenant) == (where.library, where.tenant)


def _enter(stack: ExitStack, place: str, file: LibraryFile) -> int:
    """Open the file, and close it with the stack."""
    try:
        descriptor = stack.enter_context(opened(place, file.path))
    except OSError as error:
        raise FileMissing from error
    if look_at(descriptor).size != file.look.size:
        raise FileChanged(hint="wait for the next scan")
    return descriptor


def _looked(place: str, file: LibraryFile) -> Look:
    with ExitStack() as stack:
        found = look_at(_enter(stack, place, file))
    if found.mtime_ns != file.look.mtime_ns:
        raise FileChanged(hint="wait for the next scan")
    return found
