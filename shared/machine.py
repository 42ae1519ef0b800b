"""What this process may use of the machine. In a container that is less than the machine has, and
neither Python nor the C library knows (Linux: admin-guide/cgroup-v2, cgroup-v1/memory and
scheduler/sched-bwc; other systems have no such limits).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path("/")


def memory_bytes(root: Path = ROOT) -> int:
    """Bytes of memory that all processes in this container may use, the machine's if none limits
    them.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    files = (
        *(folder / "memory.max" for folder in _unified(root)),
        *(folder / "memory.limit_in_bytes" for folder in _of_controller(root, "memory")),
    )
    return min([machine, *(int(word) for file in files for word in _words(file) if word != "max")])


def processors(root: Path = ROOT) -> int:
    """How many processors the container may keep busy, at least one; a share counts as a whole."""
    machine = os.cpu_count() or 1
    shares = [float(machine)]
    for folder in _unified(root):
        shares += _share(_words(folder / "cpu.max"))
    for folder in _of_controller(root, "cpu"):
        quota, period = folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"
        shares += _share([*_words(quota), *_words(period)])
    return max(1, math.ceil(min(shares)))


def _share(words: list[str]) -> Iterator[float]:
    """Processors in a quota and a period of microseconds; a quota of "max" or -1 is none."""
    with suppress(ValueError):
        quota, period = (int(word) for word in words)
        if quota > 0 and period > 0:
            yield quota / period


def _unified(root: Path) -> Iterator[Path]:
    return _folders(root, "", root / "sys/fs/cgroup")


def _of_controller(root: Path, name: str) -> Iterator[Path]:
    return _folders(root, name, root / "sys/fs/cgroup" / name)


def _folders(root: Path, controllers: str, mounted: Path) -> Iterator[Path]:
    """Where limits of this process may lie: its own group and all above it, as each limits those
    below. A container may see its own group as the top one.
    """
    yield mounted
    for line in _lines(root / "proc/self/cgroup"):
        _, names, path = line.split(":", 2)
        if controllers in names.split(","):
            own = mounted / path.strip().lstrip("/")
            yield from (each for each in (own, *own.parents) if mounted in each.parents)


def _words(file: Path) -> list[str]:
    return [word for line in _lines(file) for word in line.split()]


def _lines(file: Path) -> list[str]:
    with suppress(OSError):
        return file.read_text().splitlines()
    return []
