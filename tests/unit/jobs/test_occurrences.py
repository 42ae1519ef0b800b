"""When recurring jobs recur: every time once, none left out, in every zone."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.jobs.occurrences import check_times, next_time
from shared.contracts.schedules import Schedule
from shared.errors import Invalid

PLAIN = Schedule(tenant="acme", name="n", flow="caption_video", subject="v")
ZONES = (
    *("Europe/Berlin", "America/New_York", "America/St_Johns", "Australia/Lord_Howe"),
    *("Asia/Kolkata", "Pacific/Apia", "America/Sao_Paulo", "Africa/Casablanca", "Asia/Gaza"),
)
MINUTE = 60_000
BEGIN = int(datetime(2005, 1, 1, tzinfo=UTC).timestamp() * 1000)
moments = st.integers(BEGIN, BEGIN + 30 * 366 * 24 * 3600 * 1000)


def of(cron: str = "", zone: str = "UTC", every: int = 0, next_at: int = 0) -> Schedule:
    return msgspec.structs.replace(PLAIN, cron=cron, timezone=zone, every=every, next_at=next_at)


def ms(*parts: int, zone: str = "UTC", fold: int = 0) -> int:
    moment = datetime(*parts, tzinfo=ZoneInfo(zone), fold=fold)  # type: ignore[arg-type,misc] # a date
    return int(moment.timestamp() * 1000)


def times(schedule: Schedule, begin: int, count: int) -> list[int]:
    """As a service that is never late would come by them."""
    found = [begin]
    for _ in range(count):
        following = next_time(schedule, found[-1])
        assert following is not None
        found.append(following)
    return found[1:]


class Field(NamedTuple):
    """One field of an expression and the numbers it means, by a reading of its own."""

    text: str
    numbers: set[int]


def fields(low: int, high: int) -> st.SearchStrategy[Field]:
    numbers = st.integers(low, high)
    lists = st.lists(numbers, min_size=1, max_size=3).map(
        lambda some: Field(",".join(map(str, some)), set(some))
    )
    ranges = st.tuples(numbers, numbers).map(
        lambda two: Field(f"{min(two)}-{max(two)}", set(range(min(two), max(two) + 1)))
    )
    steps = st.integers(1, high - low).map(
        lambda step: Field(f"*/{step}", set(range(low, high + 1, step)))
    )
    return st.one_of(st.just(Field("*", set(range(low, high + 1)))), lists, ranges, steps)


@settings(deadline=None)
@given(fields(0, 59), fields(0, 23), fields(0, 6), moments)
def test_in_utc_exactly_the_minutes_that_match_are_found(
    minute: Field, hour: Field, weekday: Field, begin: int
) -> None:
    schedule = of(f"{minute.text} {hour.text} * * {weekday.text}")
    found = set(times(schedule, begin, 5))
    end, at = max(found), begin - begin % MINUTE + MINUTE
    while at <= end:
        moment = datetime.fromtimestamp(at / 1000, UTC)
        matches = moment.minute in minute.numbers and moment.hour in hour.numbers
        matches = matches and (moment.weekday() + 1) % 7 in weekday.numbers
        assert matches == (at in found), moment
        at += MINUTE


@settings(deadline=None)
@given(
    st.sampled_from(ZONES),
    fields(0, 59).map(lambda field: field.text),
    fields(0, 23).map(lambda field: field.text),
    moments,
)
def test_times_only_grow_and_looking_in_between_finds_the_same(
    zone: str, minute: str, hour: str, begin: int
) -> None:
    schedule = of(f"{minute} {hour} * * *", zone)
    found = times(schedule, begin, 8)
    for before, after in pairwise([begin, *found]):
        assert before < after
        assert after % MINUTE == 0 or zone == "Africa/Casablanca"
        assert next_time(schedule, after - 1) == after
        assert next_time(schedule, (before + after) // 2) == after


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(ZONES), st.integers(0, 23), st.integers(0, 59), moments)
def test_a_time_of_day_comes_once_each_day_whatever_the_clock_does(
    zone: str, hour: int, minute: int, begin: int
) -> None:
    found = times(of(f"{minute} {hour} * * *", zone), begin, 400)
    days = [datetime.fromtimestamp(at / 1000, ZoneInfo(zone)).date() for at in found]
    for one, other in pairwise(days):
        lost = zone == "Pacific/Apia" and other == date(2011, 12, 31)  # it had no 30th
        assert other - one == timedelta(days=1) or lost, (one, other)


def test_a_time_that_is_jumped_over_comes_after_the_jump() -> None:
    berlin = of("30 2 * * *", "Europe/Berlin")
    before = ms(2026, 3, 28, 2, 30, zone="Europe/Berlin")
    after = next_time(berlin, before)
    assert after == ms(2026, 3, 29, 3, 0, zone="Europe/Berlin") == ms(2026, 3, 29, 1, 0)
    assert next_time(berlin, after) == ms(2026, 3, 30, 2, 30, zone="Europe/Berlin")


def test_a_time_that_comes_twice_counts_once() -> None:
    berlin = of("30 2 * * *", "Europe/Berlin")
    first = next_time(berlin, ms(2026, 10, 24, 2, 30, zone="Europe/Berlin"))
    assert first == ms(2026, 10, 25, 0, 30)
    tomorrow = ms(2026, 10, 26, 1, 30)
    assert next_time(berlin, first) == tomorrow
    in_the_second_hour = ms(2026, 10, 25, 1, 10)
    assert next_time(berlin, in_the_second_hour) == tomorrow


def test_an_hourly_job_comes_each_hour_that_passes() -> None:
    hourly = times(of("0 * * * *", "Europe/Berlin"), ms(2026, 10, 24, 22, 30), 6)
    assert [(b - a) // MINUTE for a, b in pairwise(hourly)] == [60] * 5


def test_a_cron_that_was_missed_goes_on_with_what_is_to_come() -> None:
    due = of("0 3 * * *", next_at=ms(2026, 1, 1, 3))
    assert next_time(due, ms(2026, 1, 9, 12)) == ms(2026, 1, 10, 3)


@settings(deadline=None)
@given(st.integers(60, 366 * 24 * 3600), moments, st.integers(0, 10**9))
def test_an_interval_keeps_its_beat_and_passes_over_what_was_missed(
    every: int, begin: int, late: int
) -> None:
    following = next_time(of(every=every, next_at=begin), begin + late)
    assert following is not None
    assert begin + late < following <= begin + late + every * 1000
    assert (following - begin) % (every * 1000) == 0


def test_an_interval_begins_with_a_whole_one() -> None:
    assert next_time(of(every=60), BEGIN) == BEGIN + MINUTE
    assert next_time(of(every=60, next_at=BEGIN), BEGIN) == BEGIN + MINUTE
    assert next_time(of(every=60, next_at=BEGIN + 5), BEGIN) == BEGIN + 5 + MINUTE


@pytest.mark.parametrize(
    ("cron", "zone", "every", "code"),
    [
        ("", "UTC", 0, "invalid_schedule"),
        ("* * * * *", "UTC", 60, "invalid_schedule"),
        ("", "UTC", 59, "invalid_schedule"),
        ("", "UTC", -60, "invalid_schedule"),
        ("", "UTC", 366 * 24 * 3600 + 1, "invalid_schedule"),
        ("* * * *", "UTC", 0, "invalid_cron"),
        ("*/5 * * * * *", "UTC", 0, "invalid_cron"),  # seconds
        ("@daily", "UTC", 0, "invalid_cron"),
        ("61 * * * *", "UTC", 0, "invalid_cron"),
        ("*/0 * * * *", "UTC", 0, "invalid_cron"),
        ("\u00b2 * * * *", "UTC", 0, "invalid_cron"),
        ("0 0 30 2 *", "UTC", 0, "invalid_cron"),
        ("0 0 */31 * MON#3", "UTC", 0, "invalid_cron"),  # the first, when it is the third Monday
        ("0" * 200 + " 0 1 1 *", "UTC", 0, "invalid_cron"),
        ("0 0 * * *", "Europe/Atlantis", 0, "unknown_timezone"),
        ("0 0 * * *", "Europe", 0, "unknown_timezone"),
        ("0 0 * * *", "../../etc/passwd", 0, "unknown_timezone"),
        ("0 0 * * *", "/etc/localtime", 0, "unknown_timezone"),
        ("0 0 * * *", "localtime", 0, "unknown_timezone"),
        ("0 0 * * *", "", 0, "unknown_timezone"),
        ("0 0 * * *", "x" * 5000, 0, "unknown_timezone"),
        ("0 0 * * *", "UTC\0", 0, "unknown_timezone"),
    ],
)
def test_what_is_no_time_is_refused(cron: str, zone: str, every: int, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_times(of(cron, zone, every))
    assert caught.value.code == code


@pytest.mark.parametrize("cron", ["0 0 29 2 *", "0 0 L * *", "0 9 * * MON-FRI", "5 4 1,15 JAN 7"])
def test_what_is_a_time_is_taken(cron: str) -> None:
    check_times(of(cron, "America/New_York"))


@settings(deadline=None)
@given(st.text(alphabet="0123456789*/,-LW#MONJAN ?", max_size=40))
def test_no_text_does_more_than_being_refused(cron: str) -> None:
    with suppress(Invalid):
        check_times(of(cron, "Europe/Berlin"))
