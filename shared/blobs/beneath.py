"""Reaching files below a folder that others may change at any time, and never anything outside.

Every name on the way is opened relative to the one before, without following a link: who swaps a
folder for a link between two looks gets an error, not another file.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, ParamSpec, TypeVar

from shared.contracts.library import Look

P = ParamSpec("P")
T = TypeVar("T")

DEEPEST = 64
"""How many folders below each other are looked into."""

# A network share that hangs shall not take the threads that everybody else uses with it.
_disks = ThreadPoolExecutor(8, thread_name_prefix="library")


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call what may wait for a disk, beside the event loop."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_disks, lambda: call(*args, **kwargs))


class Entry(NamedTuple):
    """A name in a folder. ``kind`` is ``file``, ``folder``, ``symlink`` or ``special``; only files
    have a look.
    """

    name: str
    kind: str
    look: Look | None = None


@contextmanager
def opened(root: str, path: str = "", *, folder: bool = False) -> Iterator[int]:
    """A descriptor of what lies at a path below ``root``; :class:`OSError` when there is no such
    plain file (or folder), or a link on the way.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        parts = _parts(path)
        for number, part in enumerate(parts):
            is_last = number == len(parts) - 1
            flags = os.O_DIRECTORY if folder or not is_last else os.O_NONBLOCK
            descriptor = _next(descriptor, part, flags)
        mode = os.fstat(descriptor).st_mode
        if not (stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode)):
            raise OSError(errno.EINVAL, "it is no plain file")
        yield descriptor
    finally:
        os.close(descriptor)


def _parts(path: str) -> list[str]:
    parts = path.split("/") if path else []
    if any(part in {"", ".", ".."} or "\0" in part for part in parts):
        raise OSError(errno.EINVAL, "it is no path below a folder")
    return parts


def _next(descriptor: int, part: str, flags: int) -> int:
    """What lies one name further; the descriptor that led there is closed if that is there."""
    found = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, dir_fd=descriptor)
    os.close(descriptor)
    return found


def look_at(descriptor: int) -> Look:
    """What an open file looks like."""
    return _look(os.fstat(descriptor))


def entries(root: str, path: str) -> list[Entry]:
    """What is in a folder, by name. What goes while it is looked at is left out."""
    with opened(root, path, folder=True) as descriptor, os.scandir(descriptor) as found:
        kept = [entry for each in found if (entry := _entry(each)) is not None]
    return sorted(kept, key=lambda entry: entry.name)


def _entry(found: os.DirEntry[str]) -> Entry | None:
    try:
        told = found.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISREG(told.st_mode):
        return Entry(found.name, "file", _look(told))
    if stat.S_ISDIR(told.st_mode):
        return Entry(found.name, "folder")
    return Entry(found.name, "symlink" if stat.S_ISLNK(told.st_mode) else "special")


def _look(told: os.stat_result) -> Look:
    return Look(
        size=told.st_size,
        mtime_ns=told.st_mtime_ns,
        ctime_ns=told.st_ctime_ns,
        inode=told.st_ino,
    )
