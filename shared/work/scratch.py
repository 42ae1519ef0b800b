"""A folder for work in progress that is worth nothing once its process is gone."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_folder(data_dir: Path, name: str) -> Iterator[Path]:
    """A folder of this process, removed at the end. What processes that died left is removed first:
    their locks are free, whoever lives holds one.
    """
    home = data_dir / "scratch"
    home.mkdir(parents=True, exist_ok=True)
    for other in home.glob("*.lock"):
        _remove_if_dead(other)
    lock = _locked(home / f"{name}.lock")
    folder = home / name
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        (home / f"{name}.lock").unlink(missing_ok=True)
        os.close(lock)


def _locked(path: Path) -> int:
    """The lock in our hands, under its name: before we had it, somebody who tidies up may have
    taken it for one of the dead.
    """
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            return lock
        os.close(lock)


def _remove_if_dead(path: Path) -> None:
    try:
        lock = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return
    finally:
        os.close(lock)
