"""Jobs that rest, wait for a time, or are not begun any more."""

from __future__ import annotations

import pytest

from shared.errors import Conflict, NotFound
from shared.ids import new_id
from shared.work.checkpoint import Checkpoint
from shared.work.ledger import NewJob
from tests.integration.work.bench import ACME, BROKEN, DONE, OTHER, Bench

HOUR = 3_600_000


async def aged(bench: Bench, waited: int, **fields: object) -> NewJob:
    new = await bench.submit("media", **fields)
    await bench.ledger.pause(ACME, new.id)
    await bench.set(new, "waited", waited)
    await bench.ledger.resume(ACME, new.id)
    return new


async def test_a_paused_job_is_not_claimed_until_it_goes_on(bench: Bench) -> None:
    new = await bench.submit()
    assert await bench.ledger.pause(ACME, new.id) == "paused"
    assert await bench.nothing()
    assert await bench.ledger.resume(ACME, new.id) == "ready"
    assert (await bench.claim()).job.id == new.id


async def test_the_time_of_a_rest_is_no_time_in_line(bench: Bench) -> None:
    new = await aged(bench, 3 * HOUR)
    await bench.ledger.pause(ACME, new.id)
    await bench.set(new, "paused_at", 0)  # however long it rests
    await bench.ledger.resume(ACME, new.id)
    waited = await bench.now() - (await bench.job(new)).waiting_since
    assert 3 * HOUR <= waited < 3 * HOUR + 5_000


async def test_pausing_twice_is_pausing_once(bench: Bench) -> None:
    new = await bench.submit()
    await bench.ledger.pause(ACME, new.id)
    before = await bench.dump()
    assert await bench.ledger.pause(ACME, new.id) == "paused"
    assert await bench.dump() == before


async def test_a_running_job_rests_when_its_worker_lets_it_go(bench: Bench) -> None:
    new = await bench.submit()
    claim = await bench.claim()
    assert await bench.ledger.pause(ACME, new.id) == "pausing"
    assert await bench.ledger.heartbeat(claim) == "pausing"
    assert await bench.ledger.release(claim) == "paused"
    job = await bench.job(new)
    assert (job.state, job.interrupts, job.attempt) == ("paused", 0, 0)
    assert await bench.nothing()
    await bench.ledger.resume(ACME, new.id)
    assert (await bench.claim()).job.id == new.id


async def test_a_job_that_is_to_rest_rests_at_the_end_of_its_step(bench: Bench) -> None:
    new = await bench.submit("media", "media")
    claim = await bench.claim()
    await bench.ledger.pause(ACME, new.id)
    assert await bench.ledger.advance(claim, "s0", DONE, 0.5) == "paused"
    await bench.ledger.resume(ACME, new.id)
    assert (await bench.claim()).job.step == "s1"


async def test_going_on_before_the_worker_has_noticed_changes_nothing(bench: Bench) -> None:
    new = await bench.submit()
    claim = await bench.claim()
    await bench.ledger.pause(ACME, new.id)
    assert await bench.ledger.resume(ACME, new.id) == "running"
    assert await bench.ledger.heartbeat(claim) == "running"


async def test_a_worker_that_dies_while_its_job_is_to_rest_leaves_it_at_rest(bench: Bench) -> None:
    new = await bench.submit()
    claim = await bench.claim()
    await bench.ledger.pause(ACME, new.id)
    await bench.lapse(claim)
    await bench.ledger.reap()
    assert (await bench.job(new)).state == "paused"


async def test_a_paused_delay_goes_on_as_a_delay(bench: Bench) -> None:
    new = await bench.submit()
    await bench.ledger.fail(await bench.claim(), BROKEN, 500)
    await bench.ledger.pause(ACME, new.id)
    assert await bench.ledger.resume(ACME, new.id) == "retrying"
    await bench.due(new)
    assert (await bench.ledger.reap()).due == 1
    assert (await bench.claim()).job.id == new.id


async def test_a_paused_job_can_be_cancelled(bench: Bench) -> None:
    new = await bench.submit()
    await bench.ledger.pause(ACME, new.id)
    assert await bench.ledger.cancel(ACME, new.id, "") == "cancelled"
    with pytest.raises(Conflict):
        await bench.ledger.resume(ACME, new.id)


async def test_what_has_ended_or_is_not_there_cannot_rest(bench: Bench) -> None:
    new = await bench.submit()
    with pytest.raises(NotFound):
        await bench.ledger.pause(OTHER, new.id)
    with pytest.raises(Conflict):
        await bench.ledger.resume(ACME, new.id)
    await bench.ledger.cancel(ACME, new.id, "")
    with pytest.raises(Conflict):
        await bench.ledger.pause(ACME, new.id)


async def test_a_snoozed_job_waits_without_an_attempt(bench: Bench) -> None:
    new = await bench.submit()
    claim = await bench.claim()
    await bench.ledger.checkpoint(claim, Checkpoint(step="s0", state={"n": 7}))
    assert await bench.ledger.snooze(claim, BROKEN, 30, 3600) == "retrying"
    job = await bench.job(new)
    assert (job.snoozes, job.attempt, job.message) == (1, 0, BROKEN.detail)
    assert job.due_at > await bench.now() + 25_000
    await bench.due(new)
    await bench.ledger.reap()
    assert (await bench.claim()).checkpoints[0].state == {"n": 7}


async def test_snoozing_ends_with_its_reason_when_it_has_gone_on_too_long(bench: Bench) -> None:
    new = await bench.submit()
    claim = await bench.claim()
    await bench.set(new, "opened_at", 1)
    assert await bench.ledger.snooze(claim, BROKEN, 30, 3600) == "failed"
    assert (await bench.job(new)).error == BROKEN


async def test_a_scheduled_job_is_not_begun_before_its_time(bench: Bench) -> None:
    due = await bench.now() + 60_000
    new = await bench.submit("media", due_at=due)
    assert (await bench.job(new)).state == "scheduled"
    assert await bench.nothing()
    await bench.due(new)
    assert (await bench.ledger.reap()).due == 1
    claim = await bench.claim()
    assert claim.job.waiting_since > claim.job.created_at


async def test_a_scheduled_job_that_was_paused_is_scheduled_again(bench: Bench) -> None:
    new = await bench.submit("media", due_at=await bench.now() + 60_000)
    await bench.ledger.pause(ACME, new.id)
    assert await bench.ledger.resume(ACME, new.id) == "scheduled"
    assert await bench.nothing()


async def test_a_job_that_was_not_begun_in_time_expires(bench: Bench) -> None:
    late = await bench.submit("media", expires_at=1)
    begun = await bench.submit("media", expires_at=await bench.now() + 60_000)
    assert (await bench.ledger.reap()).expired == 1
    assert (await bench.job(late)).state == "expired"
    assert (await bench.claim()).job.id == begun.id
    await bench.store.commands.zadd("rw:jobs:expiring", {b"nothing": 1})
    assert await bench.ledger.reap() == (0, 0, 0)


async def test_a_job_that_was_begun_does_not_expire(bench: Bench) -> None:
    new = await bench.submit("media", expires_at=await bench.now() + 60_000)
    await bench.ledger.release(await bench.claim())
    await bench.store.commands.zadd("rw:jobs:expiring", {(await bench.claim()).key: 1})
    assert (await bench.ledger.reap()).expired == 0
    assert (await bench.job(new)).state == "running"


async def test_a_tenant_and_a_pool_can_rest(bench: Bench) -> None:
    from shared.work.governor import Governor

    governor = Governor(bench.store)
    await bench.submit("media")
    other = await bench.submit("media", tenant=OTHER)
    await governor.set_tenant(ACME, paused=True)
    assert (await bench.claim()).job.id == other.id
    assert await bench.nothing()
    await governor.set_tenant(ACME, paused=False)
    await governor.set_pool("media", limit=None, paused=True)
    assert await bench.nothing()
    assert (await governor.pool("media")).paused
    await governor.set_pool("media", limit=1, paused=False)
    assert await bench.nothing()  # one runs already
    await governor.set_pool("media", limit=2, paused=None)
    assert await bench.ledger.claim("media", "w", new_id())
