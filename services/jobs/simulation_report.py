"""What a simulation found: figures per tier, as a table for people or as data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec

from services.jobs.simulation import DAY_MS, Demand, Outcome, Rules
from shared.contracts.records import Tier

HOUR_MS = DAY_MS // 24
_SILENCE_HOURS = 24  # without a begin although somebody waits: starving


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A tier's part. ``demand`` and ``capacity`` are parts of all slot time, ``may_run`` how many
    slots its running limits let it have. Waits are from submission to begin, of those served;
    ``oldest`` has waited longest at the end, ``silent`` is for how long nobody was served while
    somebody waited.
    """

    tier: Tier
    demand: float
    jobs: int
    served: int
    refused: int
    waiting: int
    wait_p50_hours: float | None
    wait_p95_hours: float | None
    wait_max_hours: float | None
    oldest_hours: float
    silent_hours: float
    capacity: float
    may_run: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was replayed, under which rules, and what came of it."""

    slots: int
    minutes: float
    days: float
    tenants: int
    seed: int
    guard_every: int
    limits: bool
    admission: bool
    longest_wait_hours: float
    rows: tuple[Row, ...]

    @property
    def demand(self) -> float:
        """All tiers' demand, 1.0 for all that the slots can do."""
        return round(sum(row.demand for row in self.rows), 6)


def report(demand: Demand, rules: Rules, outcome: Outcome) -> Report:
    """The figures of one replay."""
    return Report(
        slots=demand.slots,
        minutes=demand.minutes,
        days=demand.days,
        tenants=demand.tenants,
        seed=demand.seed,
        guard_every=rules.guard_every,
        limits=rules.has_limits,
        admission=rules.has_admission,
        longest_wait_hours=rules.longest_wait_seconds / 3600,
        rows=tuple(
            _row(demand, tier, outcome, _may_run(demand, rules, tier)) for tier in demand.parts
        ),
    )


def _may_run(demand: Demand, rules: Rules, tier: Tier) -> int:
    most = demand.tenants * rules.shares[tier].running
    return min(demand.slots, most) if rules.has_limits else demand.slots


def _row(demand: Demand, tier: Tier, outcome: Outcome, may_run: int) -> Row:
    served = [(job, begun) for job, begun in outcome.served if job.tier == tier]
    waiting = [job for job in outcome.waiting if job.tier == tier]
    refused = sum(job.tier == tier for job in outcome.refused)
    waits = sorted(begun - job.at for job, begun in served)
    used = sum(min(demand.until, begun + job.work_ms) - begun for job, begun in served)
    oldest = demand.until - waiting[0].at if waiting else 0
    since_begun = demand.until - served[-1][1] if served else oldest
    return Row(
        tier=tier,
        demand=demand.parts[tier],
        jobs=len(served) + len(waiting) + refused,
        served=len(served),
        refused=refused,
        waiting=len(waiting),
        wait_p50_hours=_quantile(waits, 0.50),
        wait_p95_hours=_quantile(waits, 0.95),
        wait_max_hours=_quantile(waits, 1.0),
        oldest_hours=_in_hours(oldest),
        silent_hours=_in_hours(min(oldest, since_begun)),
        capacity=round(used / (demand.slots * demand.until), 4),
        may_run=may_run,
    )


def _quantile(waits: Sequence[int], part: float) -> float | None:
    """The nearest rank, in hours."""
    return _in_hours(waits[math.ceil(part * len(waits)) - 1]) if waits else None


def _in_hours(ms: int) -> float:
    return round(ms / HOUR_MS, 3)


_HEAD = (
    "tier",
    "demand",
    "jobs",
    "served",
    "refused",
    "p50 h",
    "p95 h",
    "max h",
    "waiting",
    "oldest h",
    "capacity",
)


def table(found: Report) -> str:
    """The figures in aligned columns, between what was replayed and what they mean."""
    cells = [_HEAD, *(_cells(row) for row in found.rows), _total(found.rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join((row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:]))) for row in cells
    ]
    return "\n".join((_setting(found), "", *lines, "", *remarks(found), ""))


def _setting(found: Report) -> str:
    guard = f"1/{found.guard_every}" if found.guard_every else "off"
    limits, admission = ("on" if it else "off" for it in (found.limits, found.admission))
    return (
        f"{found.slots} slots, {found.minutes:g} minutes a job, {found.days:g} days, "
        f"{found.tenants} tenants a tier, seed {found.seed}; "
        f"guard {guard}, running limits {limits}, admission {admission}"
    )


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.tier,
        f"{row.demand:.0%}",
        str(row.jobs),
        str(row.served),
        str(row.refused),
        _hours(row.wait_p50_hours),
        _hours(row.wait_p95_hours),
        _hours(row.wait_max_hours),
        str(row.waiting),
        _hours(row.oldest_hours if row.waiting else None),
        f"{row.capacity:.1%}",
    )


def _total(rows: Sequence[Row]) -> tuple[str, ...]:
    jobs, served, refused, waiting = (
        str(sum(getattr(row, name) for row in rows))
        for name in ("jobs", "served", "refused", "waiting")
    )
    demand, capacity = sum(row.demand for row in rows), sum(row.capacity for row in rows)
    none = ("", "", "")
    return "all", f"{demand:.0%}", jobs, served, refused, *none, waiting, "", f"{capacity:.1%}"


def _hours(hours: float | None) -> str:
    if hours is None:
        return "-"
    return f"{hours:.2f}" if hours < 1 else f"{hours:.1f}"


def remarks(found: Report) -> Iterator[str]:
    """What the figures mean, a sentence a line."""
    yield (
        "p50, p95, max: hours from submission to begin, of the jobs that were served; "
        "refused jobs got 429 and do not come back."
    )
    if found.demand < 1:
        yield f"Demand is {found.demand:.0%} of capacity: there is time for all of it."
    else:
        yield (
            f"Demand is {found.demand:.0%} of capacity: what is too much is refused, "
            "or waits longer from day to day."
        )
    for row in found.rows:
        yield from _about(row, found)


def _about(row: Row, found: Report) -> Iterator[str]:
    if row.may_run < row.demand * found.slots:
        yield f"{row.tier} brings more than the {row.may_run} slots that its running limits allow."
    if row.silent_hours >= _SILENCE_HOURS:
        yield f"{row.tier} starves: nothing of it began in the last {row.silent_hours:.0f} hours."
    longest = max(row.wait_max_hours or 0, row.oldest_hours)
    if found.admission and longest > found.longest_wait_hours:
        yield (
            f"{row.tier} waits up to {longest:.0f} hours, past the {found.longest_wait_hours:g} "
            "that admission aims at: it counts who is ahead now, not more urgent work to come."
        )
