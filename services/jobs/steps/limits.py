"""What a child may use: memory, file size, no core dumps, and only what time others leave."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping

MEMORY_VARIABLE = "REELWAY_CHILD_MEMORY_MB"
_DEFAULT_MEMORY_MB = 2048
_FILE_BYTES = 2 << 30
_NICE = 5


def apply(environment: Mapping[str, str]) -> None:
    """Set the limits of this process for good."""
    megabytes = int(environment.get(MEMORY_VARIABLE, "") or _DEFAULT_MEMORY_MB)
    _limit(resource.RLIMIT_AS, megabytes << 20)
    _limit(resource.RLIMIT_FSIZE, _FILE_BYTES)
    _limit(resource.RLIMIT_CORE, 0)
    os.nice(_NICE)


def lowered(most: int, hard: int) -> int:
    """The limit to set where ``most`` is wanted: one that is lower already stays."""
    return most if hard == resource.RLIM_INFINITY else min(most, hard)


def _limit(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    allowed = lowered(most, hard)
    resource.setrlimit(kind, (allowed, allowed))
