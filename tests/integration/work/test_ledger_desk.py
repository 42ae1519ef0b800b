"""What people see of jobs and do to them: priority, reasons, places, the dead, the past."""

from __future__ import annotations

from typing import Any

import pytest

from shared.errors import Conflict, Invalid, NotFound
from shared.store.redis import Store
from shared.tenancy import TenantId
from shared.work.governor import Governor, Place
from shared.work.ledger import NewJob
from shared.work.priority import NO_BOOST, Boost
from shared.work.tenant_events import TenantEvents
from tests.integration.work.bench import ACME, BROKEN, DONE, OTHER, Bench

HOUR = 3_600_000


@pytest.fixture
def governor(store: Store) -> Governor:
    return Governor(store)


async def failed(bench: Bench, **fields: Any) -> NewJob:
    new = await bench.submit("media", **fields)
    await bench.ledger.fail(await bench.claim(), BROKEN, None)
    return new


async def test_a_waiting_job_becomes_more_urgent_and_keeps_its_wait(bench: Bench) -> None:
    first, second = await bench.submit(base=50), await bench.submit(base=50)
    since = (await bench.job(second)).waiting_since
    assert await bench.ledger.prioritize(ACME, second.id, 80) == "ready"
    job = await bench.job(second)
    assert (job.base, job.waiting_since) == (80, since)
    assert (await bench.claim()).job.id == second.id
    assert (await bench.claim()).job.id == first.id
    assert await bench.nothing()


async def test_ageing_can_be_switched_off_for_a_job(bench: Bench) -> None:
    new = await bench.submit()
    await bench.ledger.prioritize(ACME, new.id, boost=NO_BOOST)
    assert (await bench.job(new)).boost == "0/3600/0"


async def test_the_priority_of_what_has_ended_is_not_changed(bench: Bench) -> None:
    new = await bench.submit()
    await bench.ledger.cancel(ACME, new.id, "")
    with pytest.raises(Conflict):
        await bench.ledger.prioritize(ACME, new.id, 90)
    with pytest.raises(NotFound):
        await bench.ledger.prioritize(OTHER, new.id, 90)
    with pytest.raises(Invalid):
        await bench.ledger.prioritize(ACME, new.id, 111)


async def test_a_rank_counts_those_that_are_before_it(bench: Bench, governor: Governor) -> None:
    waits = [(50, 0), (50, 2), (70, 0), (50, 25), (90, 0), (50, 19)]
    boosts = [Boost(), Boost(rate=3), Boost(), Boost(cap=4), Boost(), Boost()]
    news = []
    for number, ((base, hours), boost) in enumerate(zip(waits, boosts, strict=True)):
        tenant = OTHER if number % 2 else ACME
        new = await bench.submit("media", base=base, tenant=tenant, boost=boost)
        await bench.ledger.pause(tenant, new.id)
        await bench.set(new, "waited", hours * HOUR + 60_000)
        await bench.ledger.resume(tenant, new.id)
        news.append(new)
    ranks = [(await governor.stands(new.tenant, new.id)).ahead for new in news]
    served = [(await bench.claim()).job.id for _ in news]
    assert [served.index(new.id) for new in news] == ranks


async def test_a_reason_is_given_for_whatever_holds_a_job_up(
    bench: Bench, governor: Governor
) -> None:
    new = await bench.submit("media", running=1)
    await bench.submit("media", running=1)
    stands = await governor.stands(ACME, new.id)
    assert (stands.state, stands.ahead, stands.effective, stands.workers) == ("ready", 0, 50, 0)
    await bench.claim()
    stands = await governor.stands(ACME, new.id)
    assert (stands.state, stands.tenant_running, stands.tenant_limit) == ("running", 1, 1)
    assert stands.workers == 1
    with pytest.raises(NotFound):
        await governor.stands(OTHER, new.id)


async def admit(governor: Governor, job_id: str, most: int, **fields: Any) -> Place:
    plain: dict[str, Any] = {"most": most, "base": 50, "pool": "media", "longest_seconds": 60.0}
    return await governor.admit(TenantId("acme"), job_id, **plain | fields)


async def test_places_are_kept_until_there_are_too_many(bench: Bench, governor: Governor) -> None:
    await bench.submit()
    assert (await admit(governor, "a", 3)).kept
    assert (await admit(governor, "b", 3)).kept
    refused = await admit(governor, "c", 3)
    assert (refused.kept, refused.queued) == (False, 3)
    assert (await admit(governor, "a", 3)).kept  # it has its place already


async def test_a_place_is_taken_up_by_its_job(bench: Bench, governor: Governor) -> None:
    assert (await admit(governor, "a", 1)).kept
    await bench.submit("media", id="a")
    assert (await governor.queued(ACME), (await admit(governor, "b", 1)).kept) == (1, False)
    await bench.claim()
    assert (await admit(governor, "b", 1)).kept


async def test_a_place_that_nobody_takes_up_is_free_again(bench: Bench, governor: Governor) -> None:
    assert (await admit(governor, "a", 1)).kept
    await bench.store.commands.zadd("rw:jobs:admitted:acme", {"a": 1})
    assert (await admit(governor, "b", 1)).kept


async def test_a_backlog_of_others_refuses_too(bench: Bench, governor: Governor) -> None:
    for _ in range(3):
        await bench.submit("media", tenant=OTHER, base=70)
    await bench.store.commands.hset("rw:jobs:pool:media", "average_ms", "40000")
    refused = await admit(governor, "a", 200)
    assert (refused.kept, refused.wait_ms) == (False, 120_000)
    assert (await admit(governor, "b", 200, base=90)).kept  # they are behind it


async def test_counts_follow_every_state(bench: Bench, governor: Governor) -> None:
    for _ in range(3):
        await bench.submit("media")
    claim = await bench.claim()
    counts = await bench.store.commands.hgetall("rw:jobs:count:acme")
    assert counts == {b"ready": b"2", b"running": b"1"}
    await bench.ledger.advance(claim, "s0", DONE, 1)
    assert await governor.queued(ACME) == 2


async def test_a_pool_tells_what_it_does(bench: Bench, governor: Governor) -> None:
    await bench.submit("media")
    new = await bench.submit("media", base=90)
    await bench.waiting_for(new, 0)
    await bench.claim(worker="w7")
    status = await governor.pool("media")
    assert (status.running, status.waiting, status.workers) == (1, 1, ("w7",))
    assert 0 < status.oldest_wait_ms < 60_000


async def test_the_dead_are_listed_until_they_are_seen_to(bench: Bench) -> None:
    first, second = await failed(bench), await failed(bench)
    assert [job.id for job in await bench.jobs.dead(ACME, "", 10)] == [second.id, first.id]
    await bench.ledger.retry(ACME, first.id)
    await bench.ledger.discard(ACME, second.id)
    assert await bench.jobs.dead(ACME, "", 10) == []
    assert (await bench.job(second)).discarded_at


async def test_only_what_failed_is_discarded_and_only_once(bench: Bench) -> None:
    new = await failed(bench)
    await bench.ledger.discard(ACME, new.id)
    await bench.ledger.discard(ACME, new.id)
    said = [message for envelope, message in await bench.said() if "discarded" in envelope.kind]
    assert len(said) == 1
    alive = await bench.submit()
    with pytest.raises(Conflict):
        await bench.ledger.discard(ACME, alive.id)


async def test_old_jobs_are_forgotten_with_all_that_hangs_on_them(
    bench: Bench, governor: Governor
) -> None:
    old, fresh = await failed(bench), await bench.submit("media")
    await bench.ledger.advance(await bench.claim(), "s0", DONE, 1)
    await bench.store.commands.zadd("rw:jobs:ended", {f"rw:t:acme:job:{old.id}": 1})
    assert await governor.forget(2) == 1
    assert await bench.jobs.get(ACME, old.id) is None
    assert not await bench.store.commands.keys(f"*{old.id}*")
    assert [job.id for job in await bench.jobs.page(ACME, "", 10)] == [fresh.id]
    assert await bench.store.commands.hgetall("rw:jobs:count:acme") == {b"succeeded": b"1"}
    assert await governor.forget(2) == 0


async def test_a_job_that_was_opened_again_is_not_forgotten(
    bench: Bench, governor: Governor
) -> None:
    new = await failed(bench)
    await bench.ledger.retry(ACME, new.id)
    assert await governor.forget(1 << 50) == 0
    assert (await bench.job(new)).state == "ready"


async def test_the_timeline_has_a_line_for_every_attempt_at_a_step(bench: Bench) -> None:
    new = await bench.submit("media", "drive")
    await bench.ledger.release(await bench.claim(worker="w1"))
    await bench.ledger.fail(await bench.claim(worker="w2"), BROKEN, 0)
    await bench.due(new)
    await bench.ledger.reap()
    await bench.lapse(await bench.claim(worker="w3"))
    await bench.ledger.reap()
    await bench.ledger.advance(await bench.claim(worker="w4"), "s0", DONE, 0.5)
    await bench.ledger.advance(await bench.claim("drive", worker="w5"), "s1", DONE, 1)
    spans = await bench.jobs.timeline(ACME, new.id)
    assert [(span.worker, span.step, span.outcome, span.error) for span in spans] == [
        ("w1", "s0", "released", ""),
        ("w2", "s0", "failed", "broken"),
        ("w3", "s0", "lost", ""),
        ("w4", "s0", "done", ""),
        ("w5", "s1", "done", ""),
    ]
    assert all(0 < span.started_at <= span.ended_at for span in spans)


async def test_states_of_all_jobs_of_a_tenant_are_one_stream_without_gaps(bench: Bench) -> None:
    await bench.submit("media")
    await bench.submit("media", tenant=OTHER)
    claim = await bench.claim()
    await bench.ledger.progress(claim, 0.5, "half")
    await bench.ledger.advance(claim, "s0", DONE, 1)
    found = await TenantEvents(bench.store).after(ACME, 0, 100)
    assert [event.seq for event in found] == [1, 2, 3]
    assert [event.type for event in found] == ["state", "state", "end"]
    assert {event.job for event in found} == {claim.job.id}


async def test_a_finished_job_is_run_again_from_a_step(bench: Bench) -> None:
    new = await bench.submit("media", "media", "media")
    claim = await bench.claim()
    for step in ("s0", "s1", "s2"):
        await bench.ledger.advance(claim, step, DONE, 1)
    with pytest.raises(Conflict):
        await bench.ledger.retry(ACME, new.id)
    with pytest.raises(Invalid):
        await bench.ledger.retry(ACME, new.id, "s9")
    assert await bench.ledger.retry(ACME, new.id, "s1") == "ready"
    job = await bench.job(new)
    assert (job.epoch, job.step, set(job.outputs), job.forced) == (2, "s1", {"s0"}, "s1")
    assert [step.state for step in job.steps] == ["done", "waiting", "waiting"]
    assert (await bench.claim()).job.step == "s1"


async def test_a_failed_job_is_run_again_from_an_earlier_step(bench: Bench) -> None:
    new = await bench.submit("media", "media")
    claim = await bench.claim()
    await bench.ledger.advance(claim, "s0", DONE, 0.5)
    await bench.ledger.fail(claim, BROKEN, None)
    await bench.ledger.retry(ACME, new.id, "s0")
    assert (await bench.claim()).job.step == "s0"
