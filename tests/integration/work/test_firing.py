"""Each time of a schedule makes one job, whoever looks and whoever dies."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from services.jobs.firing import Firing, fire_forever
from services.jobs.flows import FLOWS
from services.jobs.priority import SHARES
from shared.contracts.records import Job, Tier
from shared.contracts.schedules import Schedule
from shared.errors import Unavailable
from shared.ids import is_id
from shared.store.records import Records
from shared.store.redis import open_redis
from shared.work.resources import Capacity
from shared.work.schedules import Schedules, job_id_of
from tests.integration.work.bench import ACME, OTHER, Bench, clean_store, programs
from tests.integration.work.calendars import HOUR, PROPOSAL, VIDEO, Calendar
from tests.support.processes import private_redis

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module", params=programs())
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with private_redis(programs()[request.param]) as url:
        yield url


@pytest.fixture
async def calendar(redis_url: str) -> AsyncIterator[Calendar]:
    async with clean_store(redis_url) as store:
        made = Calendar(Bench(store))
        await made.add_video()
        yield made


async def test_when_its_time_has_come_there_is_a_job(calendar: Calendar) -> None:
    await calendar.put()
    await calendar.firing.look()
    assert await calendar.jobs() == []
    at = await calendar.came()
    await calendar.firing.look()
    (job,) = await calendar.jobs()
    assert is_id(job.id)
    assert (job.state, job.flow, job.subject, job.tenant) == (
        *("ready", "caption_video"),
        *(VIDEO, "acme"),
    )
    assert [step.name for step in job.steps] == [step.name for step in FLOWS["caption_video"]]
    assert job.params == {
        "location": "acme/files/f/original",
        "layout": PROPOSAL,
        "duration": 0.0,
    }
    after = await calendar.get()
    assert (after.last_at, after.last_job, after.last_outcome) == (at, job.id, "fired")
    assert (after.fired, after.skipped, after.next_at) == (1, 0, at + HOUR * 1000)
    assert calendar.outcomes == ["fired"]
    room = Capacity({"memory": 1 << 20, "disk": 1 << 20, "ocr": 1})
    claim = await calendar.bench.ledger.claim("media", "w1", "r1", room)
    assert claim
    assert (claim.job.id, claim.correlation) == (job.id, job.id)


@pytest.mark.parametrize("tier", SHARES)
async def test_its_job_is_like_any_other_of_the_tenant(calendar: Calendar, tier: Tier) -> None:
    await calendar.add_tenant(tier)
    await calendar.put()
    await calendar.came()
    await calendar.firing.look()
    (job,) = await calendar.jobs()
    share = SHARES[tier]
    assert (job.base, job.tier, job.lock) == (share.base, tier, VIDEO)
    rules = await calendar.bench.store.commands.hgetall("rw:jobs:tenant:acme")
    assert rules == {b"limit": b"%d" % share.running, b"weight": b"%d" % share.weight}


async def test_what_was_missed_is_made_up_for_once_and_the_beat_is_kept(
    calendar: Calendar,
) -> None:
    await calendar.put(every=60)
    at = await calendar.came(ago=5 * HOUR + 10)
    for _ in range(3):
        await calendar.firing.look()
    assert len(await calendar.jobs()) == 1
    after = await calendar.get()
    assert after.last_at == at
    assert (after.next_at - at) % 60_000 == 0
    assert 0 < after.next_at - await calendar.bench.now() <= 60_000


async def test_while_the_job_before_has_not_ended_a_time_is_passed_over(
    calendar: Calendar,
) -> None:
    await calendar.put()
    await calendar.came()
    await calendar.firing.look()
    (first,) = await calendar.jobs()
    at = await calendar.came()
    await calendar.firing.look()
    assert await calendar.jobs() == [first]
    after = await calendar.get()
    assert (after.last_outcome, after.last_at, after.last_job) == ("overlap", at, first.id)
    assert (after.fired, after.skipped, after.next_at > at) == (1, 1, True)
    await calendar.bench.ledger.cancel(ACME, first.id, "")
    await calendar.came()
    await calendar.firing.look()
    assert len(await calendar.jobs()) == 2
    assert calendar.outcomes == ["fired", "overlap", "fired"]


async def test_a_job_that_rests_has_not_ended(calendar: Calendar) -> None:
    await calendar.put()
    await calendar.came()
    await calendar.firing.look()
    (first,) = await calendar.jobs()
    await calendar.bench.ledger.pause(ACME, first.id)
    await calendar.came()
    await calendar.firing.look()
    assert calendar.outcomes == ["fired", "overlap"]


async def test_where_that_is_allowed_jobs_overlap(calendar: Calendar) -> None:
    await calendar.put(overlap="allow")
    for _ in range(3):
        await calendar.came()
        await calendar.firing.look()
    assert len(await calendar.jobs()) == 3


async def test_where_too_much_waits_already_a_time_is_passed_over(calendar: Calendar) -> None:
    await calendar.put(overlap="allow")
    shares = {tier: SHARES[tier].__class__(base=50, running=4, queued=2) for tier in SHARES}
    firing = Firing(calendar.schedules, calendar.records, calendar.outcomes.append, shares)
    for _ in range(4):
        await calendar.came()
        await firing.look()
    assert calendar.outcomes == ["fired", "fired", "queue_full", "queue_full"]
    assert len(await calendar.jobs()) == 2


async def test_a_layout_that_is_not_approved_lets_a_time_pass(calendar: Calendar) -> None:
    await calendar.put()
    await calendar.add_video(layout="proposed")
    await calendar.came()
    await calendar.firing.look()
    after = await calendar.get()
    assert (after.last_outcome, after.enabled, after.skipped) == ("layout_not_approved", True, 1)
    await calendar.add_video()
    await calendar.came()
    await calendar.firing.look()
    assert (await calendar.get()).fired == 1


async def test_without_its_video_a_schedule_is_switched_off(calendar: Calendar) -> None:
    await calendar.put()
    await calendar.bench.store.commands.delete(f"rw:t:acme:video:{VIDEO}")
    await calendar.came()
    await calendar.firing.look()
    after = await calendar.get()
    assert (after.last_outcome, after.enabled, after.next_at) == ("subject_gone", False, 0)
    assert await calendar.jobs() == []
    assert not await calendar.bench.store.commands.exists("rw:jobs:schedules")


async def test_what_is_no_longer_valid_is_switched_off_and_the_rest_goes_on(
    calendar: Calendar,
) -> None:
    for name, field in (("a", "timezone"), ("b", "flow")):
        await calendar.put(name, cron="0 0 * * *")
        await calendar.bench.store.commands.hset(f"rw:t:acme:schedule:{name}", field, "Mars")
        await calendar.came(name, ago=60)
    await calendar.put("c")
    await calendar.came("c")
    await calendar.firing.look()
    assert calendar.outcomes == ["unknown_timezone", "unknown_flow", "fired"]
    assert [each.enabled for each in await calendar.schedules.all(ACME)] == [False, False, True]


async def test_each_tenants_schedule_makes_its_own_jobs(calendar: Calendar) -> None:
    await calendar.add_video(OTHER)
    for tenant in (ACME, OTHER):
        await calendar.put(tenant=tenant)
        await calendar.came(tenant=tenant)
    await calendar.firing.look()
    (mine,), (theirs,) = await calendar.jobs(), await calendar.jobs(OTHER)
    assert (mine.tenant, theirs.tenant) == ("acme", "other")
    assert mine.id != theirs.id


async def test_of_many_who_look_at_once_one_makes_the_job(
    calendar: Calendar, redis_url: str
) -> None:
    await calendar.put(overlap="allow")
    async with open_redis(redis_url) as second, open_redis(redis_url) as third:
        stores = (calendar.bench.store, second, third)
        outcomes: list[str] = []
        lookers = [Firing(Schedules(s), Records(s, "jobs"), outcomes.append) for s in stores] * 4
        times = set()
        for ago in range(20):  # going back, so that no time comes again
            times.add(await calendar.came(ago=ago))
            await asyncio.gather(*(each.look() for each in lookers))
    assert outcomes == ["fired"] * 20
    after = await calendar.get()
    assert (after.fired, after.skipped, len(await calendar.jobs())) == (20, 0, len(times))


async def test_a_reply_that_was_lost_makes_no_second_job(calendar: Calendar) -> None:
    await calendar.put(overlap="allow")
    await calendar.came()
    _, (due,) = await calendar.schedules.due()
    await calendar.firing.look()
    before = await calendar.bench.dump()
    assert await calendar.firing._fire(due, await calendar.bench.now()) == "gone"
    assert await calendar.bench.dump() == before


async def test_a_time_whose_job_is_there_makes_no_second_one(calendar: Calendar) -> None:
    await calendar.put(overlap="allow")
    at = await calendar.came()
    await calendar.firing.look()
    await calendar.bench.store.commands.hset("rw:t:acme:schedule:n", "next_at", str(at))
    await calendar.bench.store.commands.zadd("rw:jobs:schedules", {"rw:t:acme:schedule:n": at})
    await calendar.firing.look()
    assert len(await calendar.jobs()) == 1
    assert (await calendar.get()).next_at > at


async def test_one_that_was_deleted_or_changed_meanwhile_makes_no_job(calendar: Calendar) -> None:
    now = await calendar.bench.now()
    await calendar.put()
    await calendar.came()
    _, (due,) = await calendar.schedules.due()
    await calendar.put(every=60)
    assert await calendar.firing._fire(due, now) == "gone"
    await calendar.came()
    _, (due,) = await calendar.schedules.due()
    await calendar.put(every=60, enabled=False)
    assert await calendar.firing._fire(due, now) == "gone"
    await calendar.delete()
    assert await calendar.firing._fire(due, now) == "gone"
    assert await calendar.schedules.all(ACME) == []
    assert await calendar.jobs() == []


async def test_nobody_fires_before_the_time_of_the_store(calendar: Calendar) -> None:
    early = await calendar.put()
    assert await calendar.firing._fire(early, early.next_at) == "gone"
    assert await calendar.get() == early


async def test_an_entry_without_a_schedule_is_dropped(calendar: Calendar) -> None:
    await calendar.bench.store.commands.zadd("rw:jobs:schedules", {"rw:t:acme:schedule:no": 1})
    assert (await calendar.schedules.due())[1] == []
    assert not await calendar.bench.store.commands.exists("rw:jobs:schedules")


def test_a_times_job_has_one_id_whoever_makes_it() -> None:
    schedule = Schedule(tenant="acme", name="n", flow="f", subject="v", next_at=1_763_625_600_000)
    assert job_id_of(schedule) == job_id_of(schedule)
    others = (
        Schedule(tenant="other", name="n", flow="f", subject="v", next_at=1_763_625_600_000),
        Schedule(tenant="acme", name="m", flow="f", subject="v", next_at=1_763_625_600_000),
        Schedule(tenant="acme", name="n", flow="f", subject="v", next_at=1_763_625_660_000),
    )
    ids = {job_id_of(each) for each in (schedule, *others)}
    assert len(ids) == 4
    assert job_id_of(schedule) < job_id_of(others[2])  # in lists it stands with its time


async def test_it_looks_again_and_again_and_outlives_an_outage(calendar: Calendar) -> None:
    class Flaky(Schedules):
        looked = 0

        async def due(self, limit: int = 100) -> tuple[int, list[Schedule]]:
            self.looked += 1
            if self.looked == 1:
                raise Unavailable
            return await super().due(limit)

    for name in ("a", "b"):
        await calendar.put(name)
    await calendar.came("a")
    firing = Firing(Flaky(calendar.bench.store), calendar.records, calendar.outcomes.append)
    looking = asyncio.create_task(fire_forever(firing, every=0.01))
    await _until(calendar, 1)
    await calendar.came("b")
    await _until(calendar, 2)
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking


async def test_what_is_more_than_one_look_can_do_is_done_at_once(calendar: Calendar) -> None:
    for tenant in (ACME, OTHER):
        await calendar.add_video(tenant)
        for number in range(60):
            await calendar.put(f"n{number}", tenant=tenant)
            await calendar.came(f"n{number}", tenant)
    looking = asyncio.create_task(fire_forever(calendar.firing, every=60))
    await _until(calendar, 60, ACME)
    await _until(calendar, 60, OTHER)
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking


async def _until(calendar: Calendar, jobs: int, tenant: str = ACME) -> list[Job]:
    async with asyncio.timeout(20):
        while len(found := await calendar.jobs(tenant)) < jobs:  # type: ignore[arg-type] # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return found


LOOKER = """
import asyncio, sys
from services.jobs.firing import Firing, fire_forever
from shared.store.records import Records
from shared.store.redis import open_redis
from shared.work.schedules import Schedules

async def main(url):
    async with open_redis(url) as store:
        print("looking", flush=True)
        await fire_forever(Firing(Schedules(store), Records(store, "jobs")), every=0.02)

asyncio.run(main(sys.argv[1]))
"""


async def _looker(url: str) -> Process:
    command = (sys.executable, "-c", LOOKER, url)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE, stderr=DEVNULL)
    assert process.stdout
    assert await process.stdout.readline() == b"looking\n"
    return process


async def test_processes_that_are_killed_neither_lose_nor_double_a_time(
    calendar: Calendar, redis_url: str
) -> None:
    count, waves = 80, 3
    await calendar.add_tenant("enterprise")  # so many may wait
    names = [f"n{number}" for number in range(count)]
    for name in names:
        await calendar.put(name, overlap="allow")
    lookers = [await _looker(redis_url) for _ in range(2)]
    wanted: set[tuple[str, int]] = set()
    try:
        for wave in range(waves):
            for name in names:
                wanted.add((name, await calendar.came(name, ago=wave * 60)))
                if name == names[count // 2]:
                    lookers[0].send_signal(signal.SIGKILL)
            await lookers[0].wait()
            await _until(calendar, len(wanted))
            lookers = [lookers[1], await _looker(redis_url)]
    finally:
        for looker in lookers:
            with suppress(ProcessLookupError):
                looker.kill()
            await looker.wait()
    after = await calendar.schedules.all(ACME)
    assert [each.fired for each in after] == [waves] * count
    assert len(await calendar.jobs()) == len(wanted) == waves * count
