"""What a container may use, as its control groups say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared.machine import memory_bytes, processors

GIB = 1 << 30
MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
HALF = MACHINE // 2
GROUPS = "sys/fs/cgroup"


def machine(root: Path, groups: str, **files: str) -> Path:
    """A file system with these control groups; ``__`` in a name is a folder's end."""
    for name, text in {"proc__self__cgroup": groups, **files}.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_without_control_groups_it_is_the_whole_machine(tmp_path: Path) -> None:
    assert memory_bytes(tmp_path) == MACHINE
    assert processors(tmp_path) == os.cpu_count()


@pytest.mark.parametrize(
    ("groups", "file"),
    [
        ("0::/", "memory.max"),
        ("0::/", "memory/memory.limit_in_bytes"),
        ("0::/a/b", "a/b/memory.max"),
        ("0::/a/b", "a/memory.max"),
        ("4:cpu,memory:/a\n0::/", "memory/a/memory.limit_in_bytes"),
    ],
)
def test_the_limit_of_any_group_above_counts(tmp_path: Path, groups: str, file: str) -> None:
    root = machine(tmp_path, groups, **{f"{GROUPS}/{file}": str(HALF)})
    assert memory_bytes(root) == HALF


def test_the_least_of_several_limits_counts(tmp_path: Path) -> None:
    limits = {f"{GROUPS}/a/memory.max": "max", f"{GROUPS}/a/b/memory.max": str(HALF)}
    root = machine(tmp_path, "0::/a/b/c", **limits, **{f"{GROUPS}/a/b/c/memory.max": str(HALF - 1)})
    assert memory_bytes(root) == HALF - 1


def test_no_limit_is_more_than_the_machine(tmp_path: Path) -> None:
    file = f"{GROUPS}/memory/memory.limit_in_bytes"
    assert memory_bytes(machine(tmp_path, "0::/", **{file: str(1 << 63)})) == MACHINE


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({"cpu.max": "100000 100000"}, 1),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "max 100000"}, os.cpu_count()),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, os.cpu_count()),
        ({"cpu.max": "nonsense"}, os.cpu_count()),
    ],
)
def test_a_share_of_processors_counts_as_whole_ones(
    tmp_path: Path, files: dict[str, str], count: int
) -> None:
    root = machine(tmp_path, "0::/", **{f"{GROUPS}/{name}": text for name, text in files.items()})
    assert processors(root) == count
