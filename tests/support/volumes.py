"""A small disk of one's own, that can be filled to the brim."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_STEP = 1 << 20


class Volume:
    """A mounted disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    @property
    def free(self) -> int:
        """Bytes that may still be written."""
        stat = os.statvfs(self.folder)
        return stat.f_bavail * stat.f_frsize

    def fill(self) -> None:
        """Take every byte that is left."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (_STEP, 4096, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    continue

    def relieve(self) -> None:
        """Give them back."""
        self._filler.unlink()


@contextmanager
def volume(folder: Path, mib: int) -> Iterator[Volume]:
    """A disk of so many MiB, mounted below the folder: an ext4 file by a loop device."""
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("a disk of one's own needs root and mkfs.ext4: run `sudo make test`")
    image, place = folder / "disk.img", folder / "disk"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(mib << 20)
    _run("mkfs.ext4", "-q", "-m", "0", str(image))
    _run("mount", "-o", "loop", str(image), str(place))
    try:
        yield Volume(place)
    finally:
        _run("umount", str(place))


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
