"""What a folder of this machine needs besides being written to."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def flush_to_disk(path: Path) -> None:
    """Make a new file and its name survive a power cut."""
    for place in (path, path.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def prune(folder: Path) -> None:
    """Remove the folders that a deletion has emptied. Folders above stay: another blob may be on
    its way into them.
    """
    for name, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            Path(name).rmdir()


def free_bytes(folder: Path) -> int:
    """Room left on the disk that holds the folder."""
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize
