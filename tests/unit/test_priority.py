from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.jobs.priority import SHARES
from shared.work.priority import (
    GUARD_EVERY,
    HIGHEST,
    NO_BOOST,
    STRIDE,
    Boost,
    Head,
    Turns,
    choose,
    effective_priority,
    next_boost_at,
    waited_for,
)

HOUR = 3_600_000
bases = st.integers(0, 90)
waits = st.integers(0, 100 * HOUR)
boosts = st.builds(
    Boost, rate=st.integers(0, 5), step_seconds=st.integers(1, 7200), cap=st.integers(0, 40)
)


def priority(base: int, waited: int, boost: Boost) -> int:
    return effective_priority(base, 1_000, 1_000 + waited, boost)


@pytest.mark.parametrize(
    ("base", "waited", "expected"),
    [
        (50, 0, 50),
        (50, HOUR - 1, 50),
        (50, HOUR, 51),
        (50, 20 * HOUR, 70),
        (50, 21 * HOUR, 70),
        (70, 3 * HOUR, 73),
        (90, 100 * HOUR, 110),
    ],
)
def test_each_whole_hour_of_waiting_counts_one_up_to_twenty(
    base: int, waited: int, expected: int
) -> None:
    assert priority(base, waited, Boost()) == expected


def test_in_a_week_of_waiting_priority_rises_for_twenty_hours_and_then_stays() -> None:
    hours = [priority(50, hour * HOUR, Boost()) for hour in range(7 * 24)]
    assert hours == [*range(50, 70), *[70] * (7 * 24 - 20)]


def test_tiers_are_twenty_apart_so_that_the_longest_wait_reaches_the_next_one() -> None:
    assert SHARES["free"].base + Boost().cap == SHARES["premium"].base
    assert SHARES["premium"].base + Boost().cap == SHARES["enterprise"].base
    assert SHARES["enterprise"].base + Boost().cap == HIGHEST


def test_ageing_can_be_switched_off() -> None:
    assert priority(50, 1000 * HOUR, Boost(rate=0)) == 50
    assert priority(50, 1000 * HOUR, Boost(cap=0)) == 50


def test_a_clock_that_went_back_takes_nothing_away() -> None:
    assert effective_priority(50, 5 * HOUR, 0, Boost()) == 50


def test_the_law_has_one_text_for_the_scripts() -> None:
    assert str(Boost(rate=2, step_seconds=60, cap=9)) == "2/60/9"


@given(bases, waits, boosts)
def test_priority_stays_between_0_and_110(base: int, waited: int, boost: Boost) -> None:
    assert 0 <= priority(base, waited, boost) <= HIGHEST


@given(bases, waits, waits, boosts)
def test_waiting_longer_never_lowers_it(base: int, one: int, more: int, boost: Boost) -> None:
    assert priority(base, one + more, boost) >= priority(base, one, boost)


@given(bases, waits, boosts)
def test_it_never_falls_below_the_base_nor_rises_past_the_cap(
    base: int, waited: int, boost: Boost
) -> None:
    assert base <= priority(base, waited, boost) <= min(HIGHEST, base + boost.cap)


@given(bases, waits, waits, boosts)
def test_of_two_of_one_class_the_older_is_never_behind(
    base: int, one: int, other: int, boost: Boost
) -> None:
    # This lets the ledger compare only the heads of its lines.
    older, younger = max(one, other), min(one, other)
    assert priority(base, older, boost) >= priority(base, younger, boost)


@given(bases, waits, boosts)
def test_the_next_rise_is_when_the_priority_changes(base: int, waited: int, boost: Boost) -> None:
    due = next_boost_at(base, 0, waited, boost)
    if due is None:
        assert priority(base, 10**12, boost) == priority(base, waited, boost)
    else:
        before = effective_priority(base, 0, due - 1, boost)
        assert due > waited
        assert before == effective_priority(base, 0, waited, boost)
        assert effective_priority(base, 0, due, boost) > before


@given(bases, boosts, st.integers(0, 115))
def test_a_level_is_reached_after_just_that_wait(base: int, boost: Boost, level: int) -> None:
    wait = waited_for(level, base, boost)
    if wait == float("inf"):
        assert priority(base, 10**12, boost) < level
    else:
        assert priority(base, int(wait), boost) >= level
        assert wait == 0 or priority(base, int(wait) - 1, boost) < level


def test_a_boost_is_read_as_it_was_written() -> None:
    boost = Boost(rate=2, step_seconds=60, cap=9)
    assert Boost.parse(str(boost)) == boost
    assert not NO_BOOST.is_on


def served(heads: list[Head], times: int, turns: Turns | None = None) -> list[str]:
    turns = turns or Turns()
    order = []
    for number in range(times):
        head = choose(heads, turns, 10_000, number)
        assert head
        turns.charge(head.tenant)
        order.append(head.tenant)
    return order


def test_a_flood_of_one_tenant_gets_every_other_turn() -> None:
    heads = [Head(tenant="flood", base=50, since=0), Head(tenant="quiet", base=50, since=9_000)]
    assert served(heads, 4) == ["flood", "quiet", "flood", "quiet"]


def test_weight_is_turns() -> None:
    heads = [Head(tenant="big", base=50, since=0), Head(tenant="small", base=50, since=0)]
    order = served(heads, 12, Turns(weights={"big": 3}))
    assert order.count("big") == 9


def test_who_was_away_saves_no_turns_up() -> None:
    turns = Turns()
    for _ in range(100):
        turns.charge("busy")
    heads = [Head(tenant="busy", base=50, since=0), Head(tenant="back", base=50, since=1)]
    assert served(heads, 4, turns) == ["back", "busy", "back", "busy"]
    assert turns.clock >= 99 * STRIDE


def test_priority_goes_before_turns() -> None:
    heads = [Head(tenant="a", base=50, since=0), Head(tenant="b", base=90, since=5_000)]
    assert served(heads, 5) == ["b"] * 5


def test_every_twentieth_time_the_longest_wait_is_served() -> None:
    heads = [Head(tenant="a", base=0, since=0), Head(tenant="b", base=90, since=5_000)]
    order = served(heads, 3 * GUARD_EVERY)
    assert [number + 1 for number, tenant in enumerate(order) if tenant == "a"] == [20, 40, 60]


def test_nobody_is_served_where_nobody_waits() -> None:
    assert choose([], Turns(), 0, 0) is None
