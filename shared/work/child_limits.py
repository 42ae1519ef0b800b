"""What a child process gets from its parent: limits, a bare environment, and nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

import shared

_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TZ", "SYSTEMROOT", "LD_LIBRARY_PATH")


class ChildLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a child may use. ``silence`` is how many seconds it may report nothing; the whole step
    may take ``total`` seconds plus ``total_per_second`` for every second of video.
    """

    memory_mb: int = 2048
    silence: float = 60.0
    total: float = 600.0
    total_per_second: float = 30.0
    grace: float = 5.0


def environment(limits: ChildLimits) -> dict[str, str]:
    """A bare environment: no credentials, one thread per library."""
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": str(Path(next(iter(shared.__path__))).parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "REELWAY_CHILD_MEMORY_MB": str(limits.memory_mb),
    }


def python_module(name: str) -> tuple[str, ...]:
    """The command that runs a module in this interpreter."""
    return (sys.executable, "-m", name)
