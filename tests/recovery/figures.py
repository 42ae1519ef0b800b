"""How long it takes until a job whose worker was killed is in other hands."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.support.history import History, Hold

WARM_UP_MS = 2000
"""How long a process is up before it surely takes jobs."""


@dataclass
class Life:
    """A process that works: since when, until when and with how many slots, per pool. Times are
    milliseconds since the epoch.
    """

    pid: int
    role: str
    slots: dict[str, int]
    since: int
    until: float = math.inf
    was_killed: bool = False


@dataclass(frozen=True)
class Span:
    """Something was so from then to then: a process stood still, a server was away."""

    what: str
    since: int
    until: int


@dataclass(frozen=True)
class End:
    """A process ended that nobody had killed, with a code that is not 0. ``said`` is its log."""

    life: Life
    code: int
    said: str


@dataclass
class Log:
    """What was done to processes and servers."""

    lives: list[Life] = field(default_factory=list)
    stalls: list[Span] = field(default_factory=list)
    """By the id of the process."""
    outages: list[Span] = field(default_factory=list)
    """By the name of the server."""
    ends: list[End] = field(default_factory=list)


def gave_up_waiting(end: End, log: Log) -> bool:
    """Whether a process ended because a server that was away did not come back in time: then who
    supervises it starts it again, as the soak does.
    """
    was_away = any(
        outage.since <= end.life.until and outage.until >= end.life.since for outage in log.outages
    )
    return end.code == 1 and "cannot be reached" in end.said and was_away


@dataclass(frozen=True)
class Recovery:
    """A job was held by a worker that was killed, and claimed again ``ms`` later; it was in line
    for ``line_ms`` of that. ``was_free`` says that all this time some worker could have taken it;
    ``outage`` names a server that was away meanwhile.
    """

    job: str
    ms: int
    line_ms: int
    was_free: bool
    outage: str


def recoveries(history: History, log: Log) -> list[Recovery]:
    """All of them, in the order of the kills."""
    return [
        _recovery(history, log, life, held, following)
        for life in log.lives
        if life.was_killed
        for held in history.holds
        if pid_of(held) == life.pid and held.was_taken and held.since < life.until
        for following in _following(history, held)
    ]


def pid_of(hold: Hold) -> int:
    """The process of a worker that is called ``<pool>-p<pid>``."""
    return int(hold.worker.rpartition("-p")[2] or 0)


def _following(history: History, held: Hold) -> Sequence[Hold]:
    """The next claim of the same job, if nothing else came in between."""
    later = [hold for hold in history.holds if hold.job == held.job and hold.fence > held.fence]
    ended = [
        move
        for move in history.moves
        if move.job == held.job and move.fence > held.fence and move.state != "ready"
    ]
    is_claim = bool(ended) and ended[0].state == "running"
    return later[:1] if is_claim else []


def _recovery(history: History, log: Log, life: Life, held: Hold, following: Hold) -> Recovery:
    back = held.ended or 0
    away = [
        outage.what
        for outage in log.outages
        if outage.since <= following.since and outage.until >= life.until
    ]
    return Recovery(
        job=held.job,
        ms=following.since - int(life.until),
        line_ms=following.since - back,
        was_free=_free(history, log, held.pool, back, following.since) > 0,
        outage=away[0] if away else "",
    )


def _free(history: History, log: Log, pool: str, since: int, until: int) -> int:
    """How many slots of a pool were there and free for all of a time."""
    still = {int(s.what) for s in log.stalls if s.since <= until and s.until >= since}
    there = {
        life.pid: life.slots.get(pool, 0)
        for life in log.lives
        if life.since + WARM_UP_MS <= since and life.until >= until and life.pid not in still
    }
    taken = [
        hold
        for hold in history.holds
        if hold.pool == pool and pid_of(hold) in there and _is_there(hold, since, until)
    ]
    return sum(there.values()) - len(taken)


def _is_there(hold: Hold, since: int, until: int) -> bool:
    return hold.since < until and (hold.ended is None or hold.ended > since)


def percentile(values: Iterable[int], share: float) -> int:
    """The smallest value that this share of all do not exceed; 0 when there are none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)] if ordered else 0
