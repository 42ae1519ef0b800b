"""A worker that lets go of jobs: cancelled, given back when it leaves, lost to another."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from shared.contracts.records import StepOutput
from shared.store.records import StaleFence
from shared.store.redis import Store
from shared.work.context import StepContext
from tests.integration.work.bench import ACME, Bench
from tests.integration.work.shop import NEVER, Shop, Slow, soon


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return Shop(Bench(store), tmp_path)


async def test_a_running_job_is_cancelled_by_a_control_message(shop: Shop) -> None:
    shop.bench = Bench(shop.bench.store, lease_ms=300_000)  # no heartbeat would be in time
    await _cancelled(shop)


@pytest.mark.usefixtures("beating")
async def test_a_running_job_is_cancelled_by_a_heartbeat_when_the_message_is_lost(
    shop: Shop,
) -> None:
    shop.relaying = nullcontext  # type: ignore[assignment, method-assign] # nobody is told
    await _cancelled(shop)


async def _cancelled(shop: Shop) -> None:
    step = Slow()
    new = await shop.bench.submit("media")
    async with shop.worker(step).running():
        await soon(lambda: step.started)
        async with shop.relaying():
            await shop.bench.ledger.cancel(ACME, new.id, "")
            await shop.until(new, "cancelled")
    assert step.stopped == 1
    assert [ended.state for ended in shop.ended] == ["cancelled"]


async def test_a_worker_that_leaves_gives_its_jobs_back(shop: Shop) -> None:
    step = Slow()
    jobs = [await shop.bench.submit("media") for _ in range(2)]
    began = 0.0
    async with shop.worker(step, slots=2).running(grace=60):
        await soon(lambda: step.started == 2)
        began = time.monotonic()
    assert time.monotonic() - began < 30
    for new in jobs:
        job = await shop.bench.job(new)
        assert (job.state, job.interrupts, job.lost, job.attempt) == ("ready", 1, 0, 0)


async def test_a_lease_is_kept_while_a_step_takes_its_time_to_stop(shop: Shop) -> None:
    # Between two heartbeats there may be a stall: they come every third of the lease.
    shop.bench = Bench(shop.bench.store, lease_ms=11_000)
    started, was_kept = asyncio.Event(), False

    async def stubborn(context: StepContext) -> StepOutput:
        nonlocal was_kept
        try:
            started.set()
            await asyncio.sleep(60)
        finally:
            await _renewed(shop, context)
            [attempt] = worker._attempts
            attempt.look()  # a second one, without waiting for its time
            await _renewed(shop, context)
            was_kept = True
        return StepOutput()

    new = await shop.bench.submit("media")
    worker = shop.worker(stubborn)
    async with worker.running(grace=60):
        await started.wait()
    job = await shop.bench.job(new)
    assert (job.state, job.interrupts, job.lost) == ("ready", 1, 0)
    assert was_kept


async def _renewed(shop: Shop, context: StepContext) -> None:
    """Wait for a heartbeat; the lease must not end before it."""
    leases, key = shop.bench.store.commands, context.claim.key
    until = await leases.zscore("rw:jobs:leases", key)
    async with asyncio.timeout(30):
        while await leases.zscore("rw:jobs:leases", key) == until:
            assert await shop.bench.ledger.reap() == (0, 0, 0)
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("beating")
async def test_an_attempt_that_lost_its_job_stops_and_writes_nothing_more(shop: Shop) -> None:
    started, refused = asyncio.Event(), list[BaseException]()

    async def late(context: StepContext) -> StepOutput:
        try:
            started.set()
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            try:
                await context.checkpoint({"late": True})
            except StaleFence as error:
                refused.append(error)
            raise
        return StepOutput()

    new = await shop.bench.submit("media")
    async with shop.worker(late, look_every=NEVER).running():
        await started.wait()
        await shop.take_away(new)
        await shop.bench.claim(worker="w2")
        before = await shop.bench.dump()
        await soon(lambda: shop.ended)
        assert await shop.bench.dump() == before
    assert [ended.state for ended in shop.ended] == ["lost"]
    assert len(refused) == 1


@pytest.mark.usefixtures("beating")
async def test_a_worker_may_get_a_job_again_while_its_lost_attempt_still_stops(
    shop: Shop,
) -> None:
    running: list[int] = []

    async def step(context: StepContext) -> StepOutput:
        running.append(context.claim.fence)
        if len(running) == 1:
            try:
                await asyncio.sleep(60)
            finally:
                await soon(lambda: len(running) > 1)
        await soon(shop.ended_by(1))  # the second outlives the first
        return StepOutput()

    new = await shop.bench.submit("media")
    async with shop.worker(step, slots=2).running():
        await soon(lambda: running)
        await shop.take_away(new)
        await shop.until(new, "succeeded")
        await shop.until(await shop.bench.submit("media"), "succeeded")  # both slots are alive
        await soon(shop.ended_by(3))
    assert sorted(ended.state for ended in shop.ended) == ["lost", "succeeded", "succeeded"]
