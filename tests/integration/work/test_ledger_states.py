"""The ways of a job through its states, and what must not happen on them."""

from __future__ import annotations

import asyncio

import pytest

from shared.errors import Conflict, Invalid
from shared.store.records import StaleFence
from shared.work.checkpoint import Checkpoint
from shared.work.ledger import NewJob
from shared.work.priority import Boost
from tests.integration.work.bench import ACME, BROKEN, DONE, Bench, new_job

HOUR = 3_600_000


async def test_a_lost_job_keeps_its_place_in_line(bench: Bench) -> None:
    first = await bench.submit()
    second = await bench.submit()
    claim = await bench.claim()
    assert claim.job.id == first.id
    await bench.lapse(claim)
    assert await bench.ledger.reap() == (1, 0, 0)
    job = await bench.job(first)
    assert (job.state, job.waiting_since) == ("ready", claim.job.waiting_since)
    assert (job.worker, job.lost, job.attempt) == ("", 1, 0)
    assert (await bench.claim()).job.id == first.id
    assert (await bench.claim()).job.id == second.id


async def test_a_released_job_keeps_its_place_and_counts_an_interrupt(bench: Bench) -> None:
    first = await bench.submit()
    await bench.submit()
    claim = await bench.claim()
    assert await bench.ledger.release(claim) == "ready"
    job = await bench.job(first)
    assert (job.interrupts, job.attempt, job.lost) == (1, 0, 0)
    assert job.waiting_since == claim.job.waiting_since
    assert (await bench.claim()).job.id == first.id


async def test_a_delayed_job_comes_back_when_it_is_due(bench: Bench) -> None:
    first = await bench.submit()
    claim = await bench.claim()
    assert await bench.ledger.fail(claim, BROKEN, 60) == "retrying"
    job = await bench.job(first)
    assert (job.state, job.attempt, job.error) == ("retrying", 1, BROKEN)
    await bench.submit()
    assert await bench.ledger.reap() == (0, 0, 0)
    await bench.due(first)
    assert await bench.ledger.reap() == (0, 1, 0)
    again = await bench.claim()
    assert (again.job.id, again.job.waiting_since) == (first.id, claim.job.waiting_since)


async def test_a_job_handed_to_another_pool_has_waited_all_the_time(bench: Bench) -> None:
    new = await bench.submit("drive", "media")
    await bench.waiting_for(new, 2 * HOUR)
    claim = await bench.claim("drive")
    assert await bench.ledger.advance(claim, "s0", DONE, 0.5) == "handed"
    job = await bench.job(new)
    assert (job.state, job.pool, job.step) == ("ready", "media", "s1")
    assert job.waiting_since == claim.job.waiting_since
    assert await bench.nothing("drive")
    with pytest.raises(StaleFence):
        await bench.ledger.heartbeat(claim)
    assert (await bench.claim()).job.step == "s1"


async def test_a_base_given_at_submission_decides(bench: Bench) -> None:
    await bench.submit(base=50)
    urgent = await bench.submit(base=90)
    low = await bench.submit(base=0)
    assert (await bench.claim()).job.id == urgent.id
    await bench.claim()
    assert (await bench.claim()).job.id == low.id


@pytest.mark.parametrize("state", ["ready", "retrying", "handed"])
async def test_a_job_that_does_not_run_is_cancelled_at_once(bench: Bench, state: str) -> None:
    new = await bench.submit("drive", "media")
    if state != "ready":
        claim = await bench.claim("drive")
    if state == "retrying":
        await bench.ledger.fail(claim, BROKEN, 60)
    if state == "handed":
        await bench.ledger.advance(claim, "s0", DONE, 0.5)
    assert await bench.ledger.cancel(ACME, new.id, "not wanted") == "cancelled"
    job = await bench.job(new)
    assert (job.state, job.cancel_reason) == ("cancelled", "not wanted")
    assert await bench.nothing("drive")
    assert await bench.nothing("media")
    await bench.due(new)
    assert await bench.ledger.reap() == (0, 0, 0)


async def test_a_running_job_is_cancelled_when_its_worker_has_stopped(bench: Bench) -> None:
    new = await bench.submit()
    claim = await bench.claim()
    assert await bench.ledger.cancel(ACME, new.id, "") == "cancelling"
    before = await bench.dump()
    assert await bench.ledger.cancel(ACME, new.id, "again") == "cancelling"
    assert await bench.dump() == before
    assert await bench.ledger.heartbeat(claim) == "cancelling"
    assert await bench.ledger.progress(claim, 0.2, "still here") == "cancelling"
    assert await bench.ledger.stopped(claim) == "cancelled"
    assert await bench.nothing()


@pytest.mark.parametrize("end", ["fail", "fail to retry", "release", "lost", "next step"])
async def test_a_job_being_cancelled_ends_cancelled_however_it_stops(
    bench: Bench, end: str
) -> None:
    new = await bench.submit("media", "drive")
    claim = await bench.claim()
    await bench.ledger.cancel(ACME, new.id, "")
    if end == "lost":
        await bench.lapse(claim)
        await bench.ledger.reap()
    elif end == "release":
        assert await bench.ledger.release(claim) == "cancelled"
    elif end == "next step":
        assert await bench.ledger.advance(claim, "s0", DONE, 0.5) == "cancelled"
    else:
        delay = None if end == "fail" else 5
        assert await bench.ledger.fail(claim, BROKEN, delay) == "cancelled"
    job = await bench.job(new)
    assert (job.state, job.error, job.attempt, job.lost) == ("cancelled", None, 0, 0)
    assert [event.type for event in await bench.events(new)].count("end") == 1


async def test_a_job_done_before_its_cancellation_arrived_has_succeeded(bench: Bench) -> None:
    new = await bench.submit("media")
    claim = await bench.claim()
    await bench.ledger.cancel(ACME, new.id, "")
    assert await bench.ledger.advance(claim, "s0", DONE, 1) == "succeeded"
    assert (await bench.job(new)).state == "succeeded"


async def test_advancing_and_cancelling_at_once_end_in_one_way(bench: Bench) -> None:
    for _ in range(10):
        new = await bench.submit("media")
        claim = await bench.claim()
        answers = await asyncio.gather(
            bench.ledger.advance(claim, "s0", DONE, 1),
            bench.ledger.cancel(ACME, new.id, ""),
            return_exceptions=True,
        )
        assert answers[0] == "succeeded"
        assert answers[1] == "cancelling" or isinstance(answers[1], Conflict)
        assert [event.type for event in await bench.events(new)].count("end") == 1


async def test_an_advance_whose_answer_was_lost_may_be_repeated(bench: Bench) -> None:
    await bench.submit("media", "media")
    claim = await bench.claim()
    assert await bench.ledger.advance(claim, "s0", DONE, 0.5) == "continue"
    before = await bench.dump()
    assert await bench.ledger.advance(claim, "s0", DONE, 0.5) == "continue"
    assert await bench.dump() == before
    with pytest.raises(StaleFence):
        await bench.ledger.advance(claim, "s7", DONE, 0.5)


async def test_reaping_leaves_a_job_alone_that_is_gone(bench: Bench) -> None:
    await bench.submit()
    claim = await bench.claim()
    await bench.lapse(claim)
    await bench.store.commands.delete(claim.key)
    assert await bench.ledger.reap() == (0, 0, 0)
    assert not await bench.store.commands.exists(claim.key, "rw:jobs:leases")


async def test_reaping_does_not_wake_a_job_that_has_ended(bench: Bench) -> None:
    new = await bench.submit()
    claim = await bench.claim()
    await bench.ledger.fail(claim, BROKEN, None)
    await bench.store.commands.zadd("rw:jobs:delayed", {claim.key: 1})
    await bench.store.commands.zadd("rw:jobs:leases", {claim.key: 1})
    assert await bench.ledger.reap() == (0, 0, 0)
    assert (await bench.job(new)).state == "failed"
    assert not await bench.store.commands.exists("rw:jobs:delayed", "rw:jobs:leases")


async def test_a_line_with_jobs_that_are_gone_is_passed(bench: Bench) -> None:
    gone = await bench.submit()
    there = await bench.submit()
    await bench.store.commands.delete(f"rw:t:acme:job:{gone.id}")
    assert (await bench.claim()).job.id == there.id
    assert await bench.nothing()


async def test_a_class_without_a_line_does_not_stop_a_pool(bench: Bench) -> None:
    gone = await bench.submit(base=90)
    there = await bench.submit(base=50)
    await bench.store.commands.delete("rw:jobs:line:media:90:1/3600/20::acme")
    assert (await bench.claim()).job.id == there.id
    assert await bench.nothing()
    assert (await bench.job(gone)).state == "ready"


async def test_looking_in_vain_does_not_use_up_the_turn_of_the_oldest(bench: Bench) -> None:
    for _ in range(19):
        assert await bench.nothing()
    first = await bench.submit(base=50)
    await bench.waiting_for(first, HOUR)
    urgent = await bench.submit(base=90)
    assert (await bench.claim()).job.id == urgent.id


async def test_every_twentieth_claim_takes_the_longest_wait(bench: Bench) -> None:
    old = await bench.submit(base=0)
    await asyncio.sleep(0.002)
    for _ in range(25):
        await bench.submit(base=90)
    taken = [(await bench.claim()).job.id for _ in range(26)]
    assert taken.index(old.id) == 19


async def test_crashes_are_counted_apart_from_other_failures(bench: Bench) -> None:
    new = await bench.submit("media", "media")
    crashes = []
    for crashed in (False, True, True):
        claim = await bench.claim()
        crashes.append(claim.crashes)
        await bench.ledger.fail(claim, BROKEN, 60, crashed=crashed)
        await bench.due(new)
        await bench.ledger.reap()
    claim = await bench.claim()
    assert [*crashes, claim.crashes] == [0, 0, 1, 2]
    assert claim.job.attempt == 3
    await bench.ledger.advance(claim, "s0", DONE, 0.5)
    await bench.ledger.release(claim)
    assert (await bench.claim()).crashes == 0


def test_a_job_that_no_line_could_hold_is_refused() -> None:
    with pytest.raises(Invalid):
        NewJob(id="j", tenant=ACME, flow="f", subject="v", base=50, steps=())
    with pytest.raises(Invalid):
        new_job(base=-1)
    with pytest.raises(Invalid):
        Boost(step_seconds=0)
    with pytest.raises(Invalid):
        Boost(rate=-1)


@pytest.mark.parametrize("state", ["ready", "retrying"])
async def test_a_cancelled_job_stands_in_no_line(bench: Bench, state: str) -> None:
    new = await bench.submit()
    if state == "retrying":
        await bench.ledger.fail(await bench.claim(), BROKEN, 60)
    await bench.ledger.cancel(ACME, new.id, "")
    assert await bench.store.commands.keys("rw:jobs:line:*") == []
    assert not await bench.store.commands.exists(
        "rw:jobs:delayed", "rw:jobs:leases", "rw:jobs:classes:media"
    )


async def test_a_retry_keeps_its_events_until_the_next_end(bench: Bench) -> None:
    new = await bench.submit("media")
    await bench.ledger.cancel(ACME, new.id, "")
    await bench.ledger.retry(ACME, new.id)
    assert await bench.store.commands.ttl(f"rw:t:acme:job:{new.id}:events") == -1


async def test_checkpoints_belong_to_one_step(bench: Bench) -> None:
    await bench.submit("media", "media")
    claim = await bench.claim()
    for number in range(3):
        await bench.ledger.checkpoint(claim, Checkpoint(step="s0", state={"n": number}))
    await bench.ledger.release(claim)
    claim = await bench.claim()
    assert [each.state["n"] for each in claim.checkpoints] == [2, 1]
    await bench.ledger.advance(claim, "s0", DONE, 0.5)
    stored = await bench.store.commands.hkeys(claim.key)
    assert b"checkpoint" not in stored
    assert b"checkpoint_before" not in stored


async def test_the_last_500_events_are_kept_and_read_from_any_place(bench: Bench) -> None:
    new = await bench.submit("media")
    claim = await bench.claim()
    for number in range(520):
        await bench.ledger.progress(claim, number / 1000, "")
    last = (await bench.job(new)).seq
    assert [event.seq for event in await bench.events(new)] == list(range(last - 499, last + 1))
    for seen in (last - 3, last - 499, last - 510):
        found = await bench.jobs.events(ACME, new.id, (1, seen), limit=2)
        first = max(seen, last - 500) + 1
        assert [event.seq for event in found] == [first, first + 1]
    assert await bench.jobs.events(ACME, new.id, (1, last)) == []
    assert await bench.jobs.events(ACME, new.id, (7, 999)) == []


async def test_jobs_that_wait_share_the_text_of_their_steps(bench: Bench) -> None:
    one, other = [await bench.submit("media", "drive") for _ in range(2)]
    hashes = [await bench.store.commands.hgetall(f"rw:t:acme:job:{new.id}") for new in (one, other)]
    assert all(b"steps" not in fields for fields in hashes)
    assert hashes[0][b"plan"] == hashes[1][b"plan"]
    claim = await bench.claim()
    begun, waits = [await bench.job(new) for new in (one, other)]
    assert (claim.job.id, begun.steps[0].state) == (one.id, "running")
    assert [step.state for step in waits.steps] == ["waiting", "waiting"]
