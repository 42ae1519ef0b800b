"""The simulation finds what is known of the law of priority and of queues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from itertools import islice
from statistics import mean

import pytest

from services.jobs.priority import SHARES, Share, Shares
from services.jobs.simulation import (
    DAY_MS,
    MINUTE_MS,
    Arrival,
    Backlog,
    Demand,
    Rules,
    arrivals,
    is_too_much,
    replay,
)
from services.jobs.simulation_report import Row, report
from shared.contracts.records import Tier

HOUR = 60 * MINUTE_MS
TIERS: tuple[Tier, ...] = ("enterprise", "premium", "free")


def demand(mix: str, days: float = 8, tenants: int = 3, seed: int = 1) -> Demand:
    parts = dict(zip(TIERS, (float(part) / 100 for part in mix.split("/")), strict=True))
    return Demand(parts=parts, slots=4, days=days, tenants=tenants, seed=seed, is_fixed=True)


BARE = Rules(guard_every=0, has_limits=False, has_admission=False)
GUARDED = Rules(has_limits=False, has_admission=False)
CAREFUL = Rules(longest_wait_seconds=2 * 3600)
RULES = {"bare": BARE, "guarded": GUARDED, "careful": CAREFUL}


def outcome_of(coming: Demand, rules: Rules) -> Mapping[Tier, Row]:
    outcome = replay(arrivals(coming), rules, coming.slots, coming.until)
    return {row.tier: row for row in report(coming, rules, outcome).rows}


@cache
def rows(mix: str, rules: str, days: float = 8) -> Mapping[Tier, Row]:
    """The figures per tier; the same comes whatever the rules."""
    return outcome_of(demand(mix, days), RULES[rules])


def longest(row: Row) -> float:
    return max(row.wait_max_hours or 0, row.oldest_hours)


def test_below_capacity_every_tier_is_served_and_waits_modestly() -> None:
    found = rows("52/28/14", "bare")
    assert all(row.served > 0.9 * row.jobs for row in found.values())
    assert longest(found["enterprise"]) < longest(found["premium"]) < longest(found["free"]) < 20


def test_below_capacity_the_guard_changes_little() -> None:
    bare, guarded = rows("52/28/14", "bare"), rows("52/28/14", "guarded")
    for tier in TIERS:
        before, after = bare[tier].wait_p95_hours, guarded[tier].wait_p95_hours
        assert before is not None
        assert after == pytest.approx(before, abs=0.5, rel=0.2)
    assert bare != guarded


def test_above_capacity_without_a_guard_the_lowest_tier_starves() -> None:
    free = rows("80/25/5", "bare")["free"]
    assert free.silent_hours > 4 * 24
    assert free.served < 0.2 * free.jobs


def test_the_guard_serves_the_lowest_tier_at_little_cost_for_the_highest() -> None:
    bare, guarded = rows("80/25/5", "bare"), rows("80/25/5", "guarded")
    assert guarded["free"].served > 4 * bare["free"].served
    assert guarded["free"].silent_hours < 2
    before, after = (found["enterprise"].wait_p95_hours for found in (bare, guarded))
    assert before
    assert after
    assert after < before + 1


def test_the_guard_is_paid_for_by_the_tier_between() -> None:
    bare, guarded = rows("80/25/5", "bare")["premium"], rows("80/25/5", "guarded")["premium"]
    assert guarded.served < bare.served
    assert longest(guarded) > longest(bare)


def test_without_admission_waits_grow_as_long_as_the_overload_lasts() -> None:
    early, late = rows("58/32/20", "guarded", 6)["free"], rows("58/32/20", "guarded", 12)["free"]
    assert longest(late) > 1.6 * longest(early)


def test_admission_bounds_the_wait() -> None:
    early, late = rows("58/32/20", "careful", 6)["free"], rows("58/32/20", "careful", 12)["free"]
    assert early.refused > 0
    assert longest(late) < 1.6 * longest(early)
    assert longest(late) < 0.4 * longest(rows("58/32/20", "guarded", 12)["free"])
    assert rows("58/32/20", "careful", 12)["enterprise"].refused == 0


def test_a_tenant_runs_no_more_than_its_limit() -> None:
    alone = demand("0/0/200", days=0.5, tenants=1)
    few = Rules(shares={**SHARES, "free": Share(base=50, running=2, queued=10_000)})
    held = outcome_of(alone, few)["free"]
    assert held.capacity == pytest.approx(2 / alone.slots, abs=0.01)
    assert held.may_run == 2
    assert outcome_of(alone, BARE)["free"].capacity > 0.95


@pytest.mark.parametrize(("is_fixed", "minutes"), [(False, 6.0), (True, 3.0)])
def test_one_slot_at_half_load_waits_as_queueing_theory_says(
    is_fixed: bool, minutes: float
) -> None:
    # Pollaczek and Khinchine: load / (1 - load) service times for exponential, half for fixed ones.
    half = Demand(parts={"enterprise": 0.5}, slots=1, days=60, is_fixed=is_fixed)
    outcome = replay(arrivals(half), BARE, half.slots, half.until)
    waited = mean(begun - job.at for job, begun in outcome.served) / MINUTE_MS
    assert waited == pytest.approx(minutes, rel=0.1)


def test_as_much_comes_as_was_asked_for() -> None:
    coming = list(arrivals(demand("80/25/5", days=21)))
    work = Counter[Tier]()
    for job in coming:
        work[job.tier] += job.work_ms
    capacity = 4 * 21 * DAY_MS
    assert work["enterprise"] / capacity == pytest.approx(0.80, rel=0.05)
    assert work["premium"] / capacity == pytest.approx(0.25, rel=0.05)
    assert work["free"] / capacity == pytest.approx(0.05, rel=0.1)
    assert len({job.tenant for job in coming}) == 9
    assert [job.at for job in coming] == sorted(job.at for job in coming)


def test_admission_is_asked_only_where_it_is_on() -> None:
    rush = [Arrival(0, "free", "free-0", HOUR)] * 5
    few: Shares = {**SHARES, "free": Share(base=50, running=1, queued=3)}
    kept = replay(rush, Rules(shares=few), 1, HOUR)
    assert (len(kept.waiting), len(kept.served), len(kept.refused)) == (2, 1, 2)
    assert not replay(rush, Rules(shares=few, has_admission=False), 1, HOUR).refused


def test_a_tier_that_was_never_served_is_silent_since_its_first_came() -> None:
    coming = Demand(parts={"enterprise": 0.0, "free": 1.0}, slots=1, days=1)
    rush = [Arrival(0, "enterprise", "enterprise-0", DAY_MS), Arrival(HOUR, "free", "free-0", 1)]
    found = report(coming, Rules(), replay(rush, Rules(), 1, coming.until)).rows
    assert (found[0].silent_hours, found[0].oldest_hours, found[0].capacity) == (0, 0, 1)
    assert (found[1].silent_hours, found[1].oldest_hours, found[1].wait_max_hours) == (23, 23, None)


def test_one_seed_is_one_course_of_events_on_every_machine() -> None:
    first = next(arrivals(Demand(parts={"enterprise": 0.8, "premium": 0.25, "free": 0.05})))
    assert first == Arrival(26_780, "free", "free-0", 105_336)
    one, same, other = (list(arrivals(demand("80/25/5", days=1, seed=n))) for n in (7, 7, 8))
    assert one == same != other
    assert replay(one, Rules(), 4, DAY_MS) == replay(same, Rules(), 4, DAY_MS)


def test_what_a_tier_brings_does_not_depend_on_the_others() -> None:
    def brought(mix: str) -> list[Arrival]:
        coming = arrivals(demand(mix))
        return list(islice((job for job in coming if job.tier == "premium"), 50))

    assert brought("80/25/5") == brought("0/25/90")


@pytest.mark.parametrize(
    ("backlog", "is_refused"),
    [
        (Backlog(queued=9, ahead=100, average_ms=HOUR, busy=50), False),
        (Backlog(queued=10, ahead=0, average_ms=0, busy=0), True),
        (Backlog(queued=0, ahead=101, average_ms=HOUR, busy=50), True),
        (Backlog(queued=0, ahead=3, average_ms=HOUR, busy=0), True),
        (Backlog(queued=0, ahead=2, average_ms=HOUR, busy=0), False),
        (Backlog(queued=0, ahead=10**6, average_ms=0, busy=1), False),
    ],
)
def test_too_much_is_a_full_queue_or_too_long_a_wait(backlog: Backlog, is_refused: bool) -> None:
    share = Share(base=50, running=1, queued=10)
    assert is_too_much(backlog, share, 2 * 3600) is is_refused
