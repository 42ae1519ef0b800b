"""Making pieces one blob.

On a disk that takes no more room than they have: each is copied behind the first, to where it
belongs, and then removed. Whoever died meanwhile, or is slow and does not know that another goes
on, has written the same bytes to the same places.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from shared.blobs.disk import flush_to_disk
from shared.blobs.failures import translated
from shared.blobs.remote import AHEAD
from shared.blobs.store import PIECE, Blobs

Told = Callable[[float], Awaitable[None]]
"""Is told how far it is, from 0 to 1."""

_NO_COPYING = frozenset({errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})


async def join(blobs: Blobs, keys: Sequence[str], target: str, size: int, told: Told) -> None:
    """Make the blobs ``keys`` one, in their order, which has ``size`` bytes. On a disk they are
    used up; elsewhere they stay. May be repeated after a death.
    """
    paths = [path for key in keys if (path := blobs.local_path(key))]
    goal = blobs.local_path(target)
    if goal is None:
        await blobs.put(target, _bytes_of(blobs, keys, told), size)
        return
    with translated(target):
        await _join_files(paths, goal, size, told)


async def _bytes_of(blobs: Blobs, keys: Sequence[str], told: Told) -> AsyncIterator[bytes]:
    for number, key in enumerate(keys):
        async for chunk in blobs.read(key, at_once=AHEAD):
            yield chunk
        await told((number + 1) / len(keys))


async def _join_files(paths: Sequence[Path], goal: Path, size: int, told: Told) -> None:
    first, *others = paths
    left = await asyncio.to_thread(_places, others, size)
    for path, offset in left:
        await asyncio.to_thread(_put_behind, first, path, offset)
        await told(offset / size)
    await asyncio.to_thread(_finish, first, goal, size)


def _places(paths: Sequence[Path], size: int) -> list[tuple[Path, int]]:
    """The files that are still there and where each belongs. Files go one after the other, so those
    that are there are the last ones: their places follow from the end.
    """
    found: list[tuple[Path, int]] = []
    end = size
    for path in reversed(paths):
        with suppress(FileNotFoundError):
            end -= path.stat().st_size
            found.append((path, end))
    return found[::-1]


def _put_behind(first: Path, path: Path, offset: int) -> None:
    """Copy a file to its place in the first one, then remove it. Where either is gone, another has
    done so.
    """
    with suppress(FileNotFoundError), path.open("rb") as source:
        descriptor = os.open(first, os.O_WRONLY)
        with os.fdopen(descriptor, "wb") as target:
            _copy(source, target, offset)
            os.fsync(target.fileno())
        path.unlink()


def _copy(source: BinaryIO, target: BinaryIO, offset: int) -> None:
    try:
        done = _copy_inside(source.fileno(), target.fileno(), offset)
    except OSError as error:
        if error.errno not in _NO_COPYING:
            raise
        done = 0
    source.seek(done)
    while data := source.read(PIECE):
        done += os.pwrite(target.fileno(), data, offset + done)
        source.seek(done)


def _copy_inside(source: int, target: int, offset: int) -> int:
    """Have the file system copy, where it can: some only note that both have the same blocks."""
    copy = getattr(os, "copy_file_range", None)
    done = 0
    while copy and (some := copy(source, target, 1 << 30, done, offset + done)):
        done += some
    return done


def _finish(first: Path, goal: Path, size: int) -> None:
    """Give the whole its name, unless it has it."""
    if not first.exists() and goal.exists():
        return
    found = first.stat().st_size
    if found != size:
        raise FileNotFoundError(f"{found} of {size} bytes are there")
    first.replace(goal)
    flush_to_disk(goal)
