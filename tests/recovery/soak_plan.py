"""How much is done to whom in a soak."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.recovery.audit import AUDIT


@dataclass(frozen=True)
class Plan:
    """How much is done to them; times in seconds."""

    seconds: float
    kills: int
    stalls: int
    broker_kills: int
    store_kills: int
    seed: int
    is_timed: bool
    """Whether it is also judged how fast jobs come back."""
    lease: float = 2.0
    uploads_open: int = 10


@dataclass(frozen=True)
class Post:
    """What one process is for; whoever ends is replaced."""

    role: str
    settings: Mapping[str, str] = field(default_factory=dict)
    slots: Mapping[str, int] = field(default_factory=dict)


_OWN = {"jobs_result_days": "0"}  # all uploads have one content, and each is to be worked on
_WORKER = Post("jobs", {"worker_role": "worker", "jobs_slots": "4", **_OWN}, {"media": 4})
_JOBS = Post("jobs", {"jobs_slots": "2", **_OWN}, {"media": 2})
_DRIVE, _CATALOG = Post("drive", {}, {"drive": 2}), Post("catalog", {}, {"catalog": 2})
POSTS = (Post("door"), *[_JOBS, _DRIVE, _CATALOG] * 2, *[_WORKER] * 3, Post(AUDIT))
SLACK_MS = 1500
"""How long after its lease a job may wait for another worker, if one is free."""


def planned(seconds: float, *, seed: int = 1, is_timed: bool = False) -> Plan:
    """As much as fits into that time: ten minutes are over 500 kills, three of each server."""
    minutes = seconds / 60
    return Plan(
        seconds=seconds,
        kills=math.ceil(66 * minutes),
        stalls=math.ceil(6 * minutes),
        broker_kills=math.ceil(0.3 * minutes),
        store_kills=math.ceil(0.3 * minutes),
        seed=seed,
        is_timed=is_timed,
    )
