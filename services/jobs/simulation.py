"""Replays arrivals through the priority law in one pool, in virtual time.

The decisions are those of production: :func:`shared.work.priority.choose` with its turns and
guard, the shares of the tiers, and admission as ``shared/work/lua/admit.lua`` decides it. Nothing
here reads a clock or a store: the same arrivals and rules give the same outcome.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from services.jobs.priority import LONGEST_WAIT_SECONDS, SHARES, Share
from shared.contracts.records import Tier
from shared.work.priority import GUARD_EVERY, Boost, Head, Turns, choose

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
_SMOOTHING = 0.1  # of the mean duration in a pool, as in shared/work/lua/include/steps.lua


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Who brings how much: per tier as a part of what all slots can do, 1.0 for all of it.

    Arrivals are Poisson, spread evenly over the tenants of a tier. Work takes ``minutes`` of one
    slot: always, or on average with an exponential distribution.
    """

    parts: Mapping[Tier, float]
    slots: int = 10
    minutes: float = 6
    days: float = 21
    tenants: int = 3
    is_fixed: bool = False
    seed: int = 1

    @property
    def until(self) -> int:
        """When it ends, in milliseconds from its begin."""
        return round(self.days * DAY_MS)

    @property
    def expected_jobs(self) -> float:
        """How many jobs come, on average."""
        return sum(self.parts.values()) * self.slots * self.days * DAY_MS / self.mean_ms

    @property
    def mean_ms(self) -> float:
        """What a job takes on average."""
        return self.minutes * MINUTE_MS


class Arrival(NamedTuple):
    """A job that is submitted; times in milliseconds."""

    at: int
    tier: Tier
    tenant: str
    work_ms: int


def arrivals(demand: Demand) -> Iterator[Arrival]:
    """The jobs that come, in order of time. Each tier has chances of its own, so what one brings
    does not depend on the others.
    """
    return heapq.merge(*(_of_tier(demand, tier) for tier in demand.parts))


def _of_tier(demand: Demand, tier: Tier) -> Iterator[Arrival]:
    rate = demand.parts[tier] * demand.slots / demand.mean_ms
    chance = random.Random(f"{demand.seed} {tier}")
    at = 0.0
    while rate > 0:
        at += chance.expovariate(rate)
        if at >= demand.until:
            return
        who = chance.randrange(demand.tenants)
        work = demand.mean_ms if demand.is_fixed else chance.expovariate(1 / demand.mean_ms)
        yield Arrival(int(at), tier, f"{tier}-{who}", max(1, round(work)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is decided by; the defaults are production's. ``guard_every`` 0 is no guard."""

    guard_every: int = GUARD_EVERY
    has_limits: bool = True
    has_admission: bool = True
    longest_wait_seconds: float = LONGEST_WAIT_SECONDS
    shares: Mapping[Tier, Share] = field(default_factory=lambda: SHARES)
    boost: Boost = field(default_factory=Boost)


class Backlog(NamedTuple):
    """What admission looks at: how many of the tenant wait, how many in the pool are at least as
    urgent, how long a job takes on average, how many are worked on, and how long the oldest of the
    tenant has waited.
    """

    queued: int
    ahead: int
    average_ms: int
    busy: int
    oldest_ms: int = 0


def is_too_much(backlog: Backlog, share: Share, longest_wait_seconds: float) -> bool:
    """Whether one more job is refused, as ``admit.lua`` says."""
    behind_ms = backlog.ahead * backlog.average_ms // max(1, backlog.busy)
    wait_ms = max(behind_ms, backlog.oldest_ms)
    return backlog.queued >= share.queued or wait_ms > int(longest_wait_seconds * 1000)


@dataclass(slots=True)
class Outcome:
    """What became of the arrivals; ``served`` in the order of decisions, with when each began."""

    served: list[tuple[Arrival, int]] = field(default_factory=list)
    refused: list[Arrival] = field(default_factory=list)
    waiting: list[Arrival] = field(default_factory=list)


def replay(coming: Iterable[Arrival], rules: Rules, slots: int, until: int) -> Outcome:
    """Serve arrivals, given in order of time, with so many slots until a time.

    What ends and what comes in one millisecond is seen before anything is begun in it.
    """
    pool = _Pool(rules, slots)
    for at, group in groupby(coming, lambda arrival: arrival.at):
        pool.advance(at)
        for arrival in group:
            pool.offer(arrival)
        pool.serve(at)
    pool.advance(until)
    return pool.outcome()


@dataclass(slots=True)
class _Line:
    """What waits of one tenant, first come first."""

    tenant: str
    tier: Tier
    share: Share
    boost: Boost
    jobs: deque[Arrival] = field(default_factory=deque)
    running: int = 0
    head: Head | None = None

    def refresh(self) -> None:
        """Look again at who stands first."""
        self.head = None
        if self.jobs:
            since, base = self.jobs[0].at, self.share.base
            self.head = Head(tenant=self.tenant, base=base, since=since, boost=self.boost)


class _Pool:
    """Slots and lines at one moment."""

    def __init__(self, rules: Rules, slots: int) -> None:
        self._rules, self._slots = rules, slots
        self._lines: dict[str, _Line] = {}
        self._weights: dict[str, int] = {}
        self._turns = Turns(self._weights)
        self._busy: list[tuple[int, int, Arrival]] = []  # by when it ends
        self._depth: Counter[int] = Counter()  # base -> how many wait
        self._average_ms = 0
        self._outcome = Outcome()

    def offer(self, arrival: Arrival) -> None:
        """Take a job on, or refuse it."""
        line = self._line(arrival)
        if self._rules.has_admission and self._is_too_much(line, arrival.at):
            self._outcome.refused.append(arrival)
            return
        line.jobs.append(arrival)
        self._depth[line.share.base] += 1
        if line.head is None:
            line.refresh()

    def advance(self, to: int) -> None:
        """Let time pass: what ends makes room, except at ``to``, when more may come first."""
        while self._busy and self._busy[0][0] <= to:
            now = self._busy[0][0]
            while self._busy and self._busy[0][0] == now:
                self._end(heapq.heappop(self._busy)[2])
            if now < to:
                self.serve(now)

    def serve(self, now: int) -> None:
        """Give every idle slot the job that it should take."""
        every, served = self._rules.guard_every, self._outcome.served
        while len(self._busy) < self._slots:
            head = choose(self._heads(), self._turns, now, len(served), every)
            if head is None:
                return
            self._begin(self._lines[head.tenant], now)

    def outcome(self) -> Outcome:
        """What became of everybody."""
        lines = self._lines.values()
        self._outcome.waiting = sorted(arrival for line in lines for arrival in line.jobs)
        return self._outcome

    def _heads(self) -> list[Head]:
        """Of the lines of those who may run more."""
        return [
            line.head
            for line in self._lines.values()
            if line.head and not (self._rules.has_limits and line.running >= line.share.running)
        ]

    def _begin(self, line: _Line, now: int) -> None:
        arrival = line.jobs.popleft()
        line.refresh()
        line.running += 1
        self._depth[line.share.base] -= 1
        self._turns.charge(line.tenant)
        number = len(self._outcome.served)
        heapq.heappush(self._busy, (now + arrival.work_ms, number, arrival))
        self._outcome.served.append((arrival, now))

    def _end(self, arrival: Arrival) -> None:
        self._lines[arrival.tenant].running -= 1
        took, average = arrival.work_ms, self._average_ms or arrival.work_ms
        self._average_ms = round(average * (1 - _SMOOTHING) + took * _SMOOTHING)

    def _is_too_much(self, line: _Line, now: int) -> bool:
        ahead = sum(count for base, count in self._depth.items() if base >= line.share.base)
        oldest = now - line.jobs[0].at if line.jobs else 0
        backlog = Backlog(len(line.jobs), ahead, self._average_ms, len(self._busy), oldest)
        return is_too_much(backlog, line.share, self._rules.longest_wait_seconds)

    def _line(self, arrival: Arrival) -> _Line:
        tenant, tier = arrival.tenant, arrival.tier
        if tenant not in self._lines:
            share = self._rules.shares[tier]
            self._lines[tenant] = _Line(tenant, tier, share, self._rules.boost)
            self._weights[tenant] = share.weight
        return self._lines[tenant]
