"""What became of the times of recurring jobs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tests.support.aof import Group

_SCHEDULE = re.compile(r"rw:t:[^:]+:schedule:[^:]+")
_INDEX = re.compile(r"(rw:t:[^:]+):jobs")


@dataclass(frozen=True)
class Due:
    """A time of a schedule has come: ``jobs`` are the keys of those that were made in the same
    moment. ``life`` counts how often a schedule of this name was deleted before.
    """

    schedule: str
    life: int
    at: int
    outcome: str
    jobs: tuple[str, ...]


Check = Callable[[Iterable[Due]], list[str]]


def dues_in(writes: Iterable[Group]) -> list[Due]:
    """All of them, in their order."""
    lives: Counter[str] = Counter()
    return [due for group in writes for due in _dues(group, lives)]


def used_twice(dues: Iterable[Due]) -> list[str]:
    """Each time of a schedule is used once."""
    used = Counter((due.schedule, due.life, due.at) for due in dues)
    return [f"{name} used {at} {n} times" for (name, _, at), n in used.items() if n > 1]


def wrong_jobs(dues: Iterable[Due]) -> list[str]:
    """A time that is said to have made a job has made exactly one, and every other none."""
    return [
        f"{due.schedule} at {due.at}: {due.outcome}, with {len(due.jobs)} jobs"
        for due in dues
        if len(due.jobs) != (due.outcome == "fired")
    ]


def _dues(group: Group, lives: Counter[str]) -> Iterator[Due]:
    for name, key, *words in (command for command in group if len(command) > 1):
        if name.upper() in ("DEL", "UNLINK"):
            lives.update(gone for gone in (key, *words) if _SCHEDULE.fullmatch(gone))
        if name.upper() == "HSET" and _SCHEDULE.fullmatch(key) and "last_outcome" in words[::2]:
            told = dict(zip(words[::2], words[1::2], strict=True))
            at, outcome = int(told["last_at"]), told["last_outcome"]
            yield Due(key, lives[key], at, outcome, tuple(_made(group)))


def _made(group: Group) -> Iterator[str]:
    """The jobs that a group of writes puts into the index of their tenant."""
    for name, key, *words in (command for command in group if len(command) > 1):
        if name.upper() == "ZADD" and (found := _INDEX.fullmatch(key)):
            yield f"{found[1]}:job:{words[-1]}"
