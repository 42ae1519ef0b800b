"""What the ledger promises, on every server it may run on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from shared.errors import Conflict, NotFound
from shared.ids import new_id
from shared.store.records import Change, IllegalTransition, Records, StaleFence
from shared.work.checkpoint import Checkpoint
from shared.work.ledger import Claim, Ledger
from tests.integration.work.bench import ACME, BROKEN, DONE, Bench, clean_store, programs
from tests.support.processes import private_redis

BY_WORKERS: dict[str, Callable[[Ledger, Claim], Awaitable[object]]] = {
    "heartbeat": lambda ledger, claim: ledger.heartbeat(claim),
    "progress": lambda ledger, claim: ledger.progress(claim, 0.5, "half"),
    "checkpoint": lambda ledger, claim: ledger.checkpoint(claim, Checkpoint(step="s0", state={})),
    "advance": lambda ledger, claim: ledger.advance(claim, "s0", DONE, 0.5),
    "fail": lambda ledger, claim: ledger.fail(claim, BROKEN, None),
    "fail to retry": lambda ledger, claim: ledger.fail(claim, BROKEN, 1),
    "release": lambda ledger, claim: ledger.release(claim),
    "stopped": lambda ledger, claim: ledger.stopped(claim),
}


@pytest.fixture(scope="module", params=programs())
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with private_redis(programs()[request.param]) as url:
        yield url


@pytest.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    async with clean_store(redis_url) as store:
        yield Bench(store, lease_ms=60_000)  # no stall outlasts it; a lease is ended by hand


async def test_a_job_is_submitted_once(bench: Bench) -> None:
    new = await bench.submit()
    before = await bench.dump()
    assert not await bench.ledger.submit(new)
    assert await bench.dump() == before
    assert (await bench.job(new)).state == "ready"
    await bench.claim()
    assert await bench.nothing()


async def test_parameters_come_back_as_they_were(bench: Bench) -> None:
    params = {"none": [], "deep": {"empty": {}, "list": [[], {}]}, "text": 'Ünï"\\/\n\u2028😀'}
    new = await bench.submit(params=params)
    assert (await bench.claim()).job.params == params
    assert (await bench.job(new)).params == params


async def test_a_pool_gets_only_its_own_jobs(bench: Bench) -> None:
    new = await bench.submit("drive")
    assert await bench.nothing("media")
    assert (await bench.claim("drive")).job.id == new.id


async def test_the_same_request_gets_the_same_claim(bench: Bench) -> None:
    await bench.submit()
    await bench.submit()
    first = await bench.claim(request="r1")
    again = await bench.claim(request="r1")
    assert (again.job.id, again.fence) == (first.job.id, first.fence)
    assert (await bench.claim(request="r2")).job.id != first.job.id


async def test_a_request_is_not_answered_with_what_another_claim_holds(bench: Bench) -> None:
    await bench.submit()
    lost = await bench.claim(request="lost reply")
    await bench.lapse(lost)
    await bench.ledger.reap()
    held = await bench.claim(request="another slot of the same worker")
    assert held.job.id == lost.job.id
    assert await bench.ledger.claim("media", "w1", "lost reply") is None


async def test_a_request_whose_claim_was_lost_takes_the_next_job(bench: Bench) -> None:
    await bench.submit()
    lost = await bench.claim(request="r1")
    await bench.lapse(lost)
    await bench.ledger.reap()
    assert (await bench.claim(request="r1")).fence > lost.fence


async def test_fences_only_grow(bench: Bench) -> None:
    new = await bench.submit()
    fences = []
    for _ in range(2):
        claim = await bench.claim()
        fences.append(claim.fence)
        await bench.ledger.release(claim)
        claim = await bench.claim()
        fences.append(claim.fence)
        await bench.lapse(claim)
        await bench.ledger.reap()
    await bench.ledger.cancel(ACME, new.id, "")
    await bench.ledger.retry(ACME, new.id)
    fences.append((await bench.claim()).fence)
    assert fences == sorted(set(fences))


@pytest.mark.parametrize("name", BY_WORKERS)
async def test_a_stale_fence_writes_nothing(bench: Bench, name: str) -> None:
    await bench.submit()
    stale = await bench.claim()
    await bench.lapse(stale)
    await bench.ledger.reap()
    await bench.claim(worker="w2")
    before = await bench.dump()
    with pytest.raises(StaleFence):
        await BY_WORKERS[name](bench.ledger, stale)
    assert await bench.dump() == before


@pytest.mark.parametrize("state", ["ready", "retrying", "succeeded", "failed", "cancelled"])
@pytest.mark.parametrize("name", BY_WORKERS)
async def test_no_worker_writes_to_a_job_it_does_not_hold(
    bench: Bench, name: str, state: str
) -> None:
    await bench.submit("media")
    claim = await bench.claim()
    await _bring_to(bench, claim, state)
    before = await bench.dump()
    with pytest.raises(StaleFence):
        await BY_WORKERS[name](bench.ledger, claim)
    assert await bench.dump() == before


@pytest.mark.parametrize("name", BY_WORKERS)
async def test_a_job_that_is_gone_is_not_found_and_not_made(bench: Bench, name: str) -> None:
    await bench.submit()
    claim = await bench.claim()
    await bench.store.commands.delete(claim.key)
    before = await bench.dump()
    with pytest.raises(NotFound):
        await BY_WORKERS[name](bench.ledger, claim)
    assert await bench.dump() == before


async def test_a_commit_under_a_stale_fence_is_refused(bench: Bench) -> None:
    records = Records(bench.store, "jobs")
    await bench.submit()
    claim = await bench.claim()
    held = Change(ACME).fenced(claim.key, claim.fence).mark("rw:x", 60)
    assert await records.commit(held)
    await bench.ledger.release(claim)
    late = Change(ACME).fenced(claim.key, claim.fence).mark("rw:y", 60)
    with pytest.raises(StaleFence):
        await records.commit(late)
    assert not await records.exists("rw:y")


async def test_a_heartbeat_extends_the_lease(bench: Bench) -> None:
    await bench.submit()
    claim = await bench.claim()
    await bench.lapse(claim)
    assert await bench.ledger.heartbeat(claim) == "running"
    assert await bench.ledger.reap() == (0, 0, 0)
    await bench.lapse(claim)
    assert await bench.ledger.reap() == (1, 0, 0)


async def test_the_third_loss_fails_the_job(bench: Bench) -> None:
    new = await bench.submit()
    for lost in (1, 2, 3):
        await bench.lapse(await bench.claim())
        assert await bench.ledger.reap() == (1, 0, 0)
        assert (await bench.job(new)).lost == lost
    job = await bench.job(new)
    assert job.state == "failed"
    assert job.error is not None
    assert (job.error.code, job.error.step) == ("worker_lost", "s0")
    assert await bench.nothing()


async def test_stopped_is_illegal_unless_the_job_is_being_cancelled(bench: Bench) -> None:
    await bench.submit()
    claim = await bench.claim()
    before = await bench.dump()
    with pytest.raises(IllegalTransition):
        await bench.ledger.stopped(claim)
    assert await bench.dump() == before
    assert await bench.illegal() == {b"running>cancelled": b"1"}


async def test_the_end_of_a_job_is_told_once_and_its_events_expire(bench: Bench) -> None:
    new = await bench.submit("media")
    events = f"rw:t:acme:job:{new.id}:events"
    claim = await bench.claim()
    assert await bench.store.commands.ttl(events) == -1
    assert await bench.ledger.advance(claim, "s0", DONE, 1) == "succeeded"
    assert await bench.store.commands.ttl(events) in range(24 * 3600 - 60, 24 * 3600 + 1)
    assert [event.type for event in await bench.events(new)].count("end") == 1
    assert (await bench.job(new)).progress == 1


async def test_a_retry_opens_an_epoch_that_goes_on_where_the_last_one_ended(bench: Bench) -> None:
    new = await bench.submit("media", "media")
    claim = await bench.claim()
    await bench.ledger.advance(claim, "s0", DONE, 0.5)
    await bench.ledger.fail(claim, BROKEN, None)
    assert await bench.ledger.retry(ACME, new.id) == "ready"
    again = await bench.claim()
    assert (again.job.epoch, again.job.step, again.job.attempt, again.job.error) == (
        *(2, "s1", 0),
        None,
    )
    assert again.job.outputs == {"s0": DONE}
    assert await bench.ledger.advance(again, "s1", DONE, 1) == "succeeded"
    events = await bench.events(new)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.epoch for event in events if event.type == "end"] == [1, 2]
    said = [message for envelope, message in await bench.said() if "finished" in envelope.kind]
    assert len(said) == 2


async def test_only_what_ended_without_success_can_be_retried(bench: Bench) -> None:
    new = await bench.submit("media")
    with pytest.raises(Conflict):
        await bench.ledger.retry(ACME, new.id)
    claim = await bench.claim()
    await bench.ledger.advance(claim, "s0", DONE, 1)
    before = await bench.dump()
    with pytest.raises(Conflict):
        await bench.ledger.retry(ACME, new.id)
    with pytest.raises(Conflict):
        await bench.ledger.cancel(ACME, new.id, "")
    with pytest.raises(NotFound):
        await bench.ledger.retry(ACME, new_id())
    with pytest.raises(NotFound):
        await bench.ledger.cancel(ACME, new_id(), "")
    assert await bench.dump() == before


async def _bring_to(bench: Bench, claim: Claim, state: str) -> None:
    if state == "ready":
        await bench.ledger.release(claim)
    elif state == "succeeded":
        await bench.ledger.advance(claim, "s0", DONE, 1)
    elif state == "cancelled":
        await bench.ledger.cancel(ACME, claim.job.id, "")
        await bench.ledger.stopped(claim)
    else:
        await bench.ledger.fail(claim, BROKEN, 60 if state == "retrying" else None)
    assert (await bench.job(claim)).state == state
