"""The data folder: who owns it, and what it tells others about its server."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import ReelwayError


class StoreNotStarted(ReelwayError):
    """The embedded store could not be started."""

    default_code = "store_not_started"


class DataFolderInUse(StoreNotStarted):
    """Another process owns the data folder."""

    default_code = "data_folder_in_use"


def data_folder(path: str | Path) -> Path:
    """The folder, absolute, made for our eyes only when it does not exist."""
    folder = Path(path).expanduser().absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreNotStarted(f"data folder {folder} cannot be made: {error.strerror}") from error
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Own the folder while the block is open, and say so by process id.

    The system releases it when this process ends, however it ends. :class:`DataFolderInUse` names
    the process that owns it now.
    """
    lock = _open(folder / "lock")
    try:
        if not taken(lock):
            owner = _lines(folder)[:1] or ["?"]
            raise DataFolderInUse(f"data folder {folder} is in use by process {owner[0]}")
        announce(lock, "")
        yield lock
        os.ftruncate(lock, 0)
    finally:
        os.close(lock)


def announce(lock: int, url: str) -> None:
    """Write our process id, and where our server is, into the lock for others to read."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n{url}\n".encode(), 0)


def announced(folder: Path) -> str:
    """The URL of the server that the folder's owner has announced, or ``""``."""
    return "".join(_lines(folder)[1:2])


@contextmanager
def server_lock(folder: Path) -> Iterator[int]:
    """A lock to hand down to a server: whoever inherits the descriptor holds on to it."""
    lock = _open(folder / "server.lock")
    try:
        yield lock
    finally:
        os.close(lock)


def taken(lock: int) -> bool:
    """Whether the lock is ours now; it does not wait."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            return False
        raise StoreNotStarted(
            f"the data folder's file system cannot lock files: {error.strerror}"
        ) from error
    return True


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreNotStarted(f"{path} cannot be written: {error.strerror}") from error


def _lines(folder: Path) -> list[str]:
    try:
        return (folder / "lock").read_text("utf-8").splitlines()
    except OSError:
        return []
