"""The desk for recurring jobs."""

from __future__ import annotations

from typing import Any

import pytest

from shared.errors import Conflict, Invalid, NotFound
from shared.ids import new_id
from shared.work.schedules import MOST_SCHEDULES
from tests.integration.work.bench import ACME, OTHER, Bench
from tests.integration.work.calendars import HOUR, VIDEO, Calendar


@pytest.fixture
async def calendar(bench: Bench) -> Calendar:
    made = Calendar(bench)
    await made.add_video()
    return made


async def test_what_was_put_is_found(calendar: Calendar) -> None:
    before = await calendar.bench.now()
    put = await calendar.put("nightly", cron="30 2 * * *", timezone="Europe/Berlin")
    assert put == await calendar.get("nightly")
    assert (put.tenant, put.flow, put.subject, put.overlap) == (
        *("acme", "caption_video", VIDEO),
        "skip",
    )
    assert (put.cron, put.timezone, put.every, put.enabled) == (
        *("30 2 * * *", "Europe/Berlin"),
        *(0, True),
    )
    assert before < put.next_at <= before + 25 * HOUR * 1000
    assert before <= put.created_at == put.updated_at
    assert (put.fired, put.skipped, put.last_at, put.last_job) == (0, 0, 0, "")


async def test_an_interval_begins_with_a_whole_one(calendar: Calendar) -> None:
    before = await calendar.bench.now()
    after = (await calendar.put(every=90)).next_at
    assert before + 90_000 <= after <= await calendar.bench.now() + 90_000


async def test_putting_it_again_changes_nothing_but_what_is_asked(calendar: Calendar) -> None:
    first = await calendar.put()
    at = await calendar.came(ago=5)
    again = await calendar.put(overlap="allow")
    assert (again.next_at, again.overlap, again.created_at) == (at, "allow", first.created_at)
    assert len(await calendar.schedules.all(ACME)) == 1


@pytest.mark.parametrize("times", [{"every": 60}, {"cron": "0 * * * *"}])
async def test_new_times_count_from_now(calendar: Calendar, times: dict[str, Any]) -> None:
    await calendar.put()
    at = await calendar.came(ago=5)
    assert (await calendar.put(**times)).next_at > at + 5000
    assert (await calendar.put(**times, timezone="Asia/Kolkata")).next_at > at + 5000


async def test_one_that_is_switched_off_does_not_recur_and_begins_anew(calendar: Calendar) -> None:
    await calendar.put()
    at = await calendar.came(ago=5)
    off = await calendar.put(enabled=False)
    assert (off.enabled, off.next_at) == (False, 0)
    await calendar.firing.look()
    assert await calendar.jobs() == []
    assert (await calendar.put()).next_at >= at + HOUR * 1000


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": "Nightly"}, "invalid_name"),
        ({"name": "a:b"}, "invalid_name"),
        ({"name": ""}, "invalid_name"),
        ({"name": "a" * 64}, "invalid_name"),
        ({"name": "-a"}, "invalid_name"),
        ({"flow": "dance"}, "unknown_flow"),
        ({"flow": "process_video"}, "flow_not_repeatable"),
        ({"params": {"location": "other/files/f/original"}}, "unknown_param"),
        ({"params": {"layout": {}}}, "unknown_param"),
        ({"params": {"chunk": 1}}, "unknown_param"),
        ({"subject": new_id()}, "unknown_video"),
        ({"subject": "v:1"}, "unknown_video"),
        ({"every": 59}, "invalid_schedule"),
        ({"cron": "* * * *"}, "invalid_cron"),
        ({"cron": "0 0 * * *", "every": 60}, "invalid_schedule"),
        ({"cron": "0 0 * * *", "timezone": "Mars"}, "unknown_timezone"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    calendar: Calendar, fields: dict[str, Any], code: str
) -> None:
    before = await calendar.bench.dump()
    with pytest.raises(Invalid) as caught:
        await calendar.put(**fields)
    assert caught.value.code == code
    assert await calendar.bench.dump() == before


async def test_another_tenants_video_is_none(calendar: Calendar) -> None:
    with pytest.raises(Invalid) as caught:
        await calendar.put(tenant=OTHER)
    assert caught.value.code == "unknown_video"


async def test_a_tenant_has_a_hundred_and_may_change_them(calendar: Calendar) -> None:
    await calendar.add_video(OTHER)
    for number in range(MOST_SCHEDULES):
        await calendar.put(f"n{number}")
    with pytest.raises(Conflict) as caught:
        await calendar.put("more")
    assert caught.value.code == "too_many_schedules"
    await calendar.put("n7", every=60)
    await calendar.put("more", tenant=OTHER)
    await calendar.delete("n7")
    await calendar.put("more")
    names = [each.name for each in await calendar.schedules.all(ACME)]
    assert (len(names), names) == (MOST_SCHEDULES, sorted(names))


async def test_what_is_deleted_leaves_nothing(calendar: Calendar) -> None:
    before = await calendar.bench.dump()
    await calendar.put()
    await calendar.delete()
    assert await calendar.bench.dump() == before
    with pytest.raises(NotFound):
        await calendar.delete()


async def test_tenants_do_not_see_or_touch_each_others(calendar: Calendar) -> None:
    await calendar.add_video(OTHER)
    mine = await calendar.put("n", every=60)
    with pytest.raises(NotFound):
        await calendar.delete(tenant=OTHER)
    assert await calendar.schedules.get(OTHER, "n") is None
    assert await calendar.schedules.all(OTHER) == []
    await calendar.put("n", tenant=OTHER, every=90)
    await calendar.delete("n", tenant=OTHER)
    assert await calendar.get() == mine


@pytest.mark.parametrize("name", ["", "a:b", "../a", "A", "n" * 64, "n\n", "n\udcff"])
async def test_a_name_that_is_none_is_not_found(calendar: Calendar, name: str) -> None:
    assert await calendar.schedules.get(ACME, name) is None
