"""The law of priority. The ledger's scripts follow it (``lua/include/law.lua`` and ``choice.lua``);
this is its definition, against which they are tested.

What waits in one pool stands in lines: jobs of one tenant that age alike. Only the head of a line
is ever served, as it has waited longest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from shared.errors import Invalid

HIGHEST = 110
GUARD_EVERY = 20
"""Every so many claims the longest wait of all is served, so that no line starves."""

STRIDE = 10_000
"""How far one turn moves a tenant of weight 1 back."""


class Boost(msgspec.Struct, frozen=True, kw_only=True):
    """How waiting raises priority: ``rate`` for every whole ``step_seconds``, at most ``cap``."""

    rate: int = 1
    step_seconds: int = 3600
    cap: int = 20

    def __post_init__(self) -> None:
        if self.rate < 0 or self.step_seconds < 1 or self.cap < 0:
            raise Invalid("waiting cannot lower a priority")

    def __str__(self) -> str:
        return f"{self.rate}/{self.step_seconds}/{self.cap}"

    @property
    def is_on(self) -> bool:
        """Whether waiting changes anything."""
        return self.rate > 0 and self.cap > 0

    @classmethod
    def parse(cls, text: str) -> Boost:
        """The boost that :meth:`__str__` wrote."""
        rate, step_seconds, cap = (int(part) for part in text.split("/"))
        return cls(rate=rate, step_seconds=step_seconds, cap=cap)


NO_BOOST = Boost(rate=0, cap=0)


def boost_after(waited_ms: int, boost: Boost) -> int:
    """What so much waiting adds: whole steps only, up to the cap."""
    return min(boost.cap, max(0, waited_ms) // (boost.step_seconds * 1000) * boost.rate)


def effective_priority(base: int, waiting_since: int, now: int, boost: Boost) -> int:
    """``clamp(base + min(cap, whole steps waited * rate), 0, 110)``; times in milliseconds."""
    return max(0, min(HIGHEST, base + boost_after(now - waiting_since, boost)))


def next_boost_at(base: int, waiting_since: int, now: int, boost: Boost) -> int | None:
    """When the priority rises next, in milliseconds; None when it will not any more."""
    priority = effective_priority(base, waiting_since, now, boost)
    if not boost.is_on or priority >= min(HIGHEST, base + boost.cap):
        return None
    step = boost.step_seconds * 1000
    return waiting_since + (max(0, now - waiting_since) // step + 1) * step


@dataclass(frozen=True, kw_only=True)
class Head:
    """The first of a line. ``line`` tells lines of one tenant apart."""

    tenant: str
    base: int
    since: int
    boost: Boost = field(default_factory=Boost)
    line: str = ""

    def level(self, now: int) -> int:
        """Its effective priority."""
        return effective_priority(self.base, self.since, now, self.boost)


@dataclass
class Turns:
    """Whose turn it is among equals, by virtual time (stride scheduling, Waldspurger 1995).

    Being served moves a tenant back by a stride, the shorter the greater its weight. One that was
    away is lifted to the pool's time, so turns cannot be saved up.
    """

    weights: Mapping[str, int] = field(default_factory=dict)
    clock: int = 0
    _turns: dict[str, int] = field(default_factory=dict)

    def of(self, tenant: str) -> int:
        """A tenant's virtual time; the smallest is served next."""
        return max(self.clock, self._turns.get(tenant, 0))

    def charge(self, tenant: str) -> None:
        """A tenant was served."""
        self.clock = self.of(tenant)
        self._turns[tenant] = self.clock + STRIDE // self.weights.get(tenant, 1)


def choose(
    heads: Iterable[Head], turns: Turns, now: int, served: int, guard_every: int = GUARD_EVERY
) -> Head | None:
    """Which head a free slot serves, when ``served`` claims got a job before.

    The highest effective priority; among those the tenant whose turn is next; of its lines the one
    that waits longest. Every ``guard_every`` th time the longest wait of all; 0 is never, to see
    what that would do.
    """
    waiting = list(heads)
    if not waiting:
        return None
    if guard_every and (served + 1) % guard_every == 0:
        return min(waiting, key=_age)
    level = max(head.level(now) for head in waiting)
    equals = [head for head in waiting if head.level(now) == level]
    return min(equals, key=lambda head: (turns.of(head.tenant), *_age(head)))


def _age(head: Head) -> tuple[int, str, str]:
    return head.since, head.tenant, head.line


def waited_for(level: int, base: int, boost: Boost) -> float:
    """How many milliseconds of waiting reach a level; infinity when none does."""
    missing = level - base
    if missing <= 0:
        return 0
    if level > HIGHEST or missing > boost.cap or boost.rate == 0:
        return math.inf
    return -(-missing // boost.rate) * boost.step_seconds * 1000
