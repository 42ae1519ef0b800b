"""A worker at work: slots, rings, cancellation, leaving, outages."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from shared.contracts.records import StepOutput
from shared.errors import Unavailable
from shared.ids import new_id
from shared.store.records import StaleFence
from shared.store.redis import Store, open_redis
from shared.work.context import StepContext
from shared.work.step import BadInput, StepFailed
from tests.integration.work.bench import ACME, Bench, clean_store
from tests.integration.work.shop import NEVER, Shop, Slow, failing, instant, soon


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return Shop(Bench(store, lease_ms=600), tmp_path)


async def test_a_job_is_worked_through_step_by_step(shop: Shop) -> None:
    new = await shop.bench.submit("media", "media")
    async with shop.worker(instant).running():
        job = await shop.until(new, "succeeded")
    assert job.outputs == {name: StepOutput(result={"step": name}) for name in ("s0", "s1")}
    assert [ended.state for ended in shop.ended] == ["succeeded"]
    assert list(shop.folder.iterdir()) == []


async def test_two_slots_work_at_two_jobs(shop: Shop) -> None:
    step = Slow()
    jobs = [await shop.bench.submit("media") for _ in range(3)]
    async with shop.worker(step, slots=2).running():
        await soon(lambda: step.started == 2)
        await asyncio.sleep(0.2)
        assert step.started == 2
        step.let_go.set()
        for job in jobs:
            await shop.until(job, "succeeded")


async def test_a_ring_wakes_a_worker_that_does_not_look(shop: Shop) -> None:
    async with shop.relaying(), shop.worker(instant, look_every=NEVER).running():
        await asyncio.sleep(0.1)
        await shop.until(await shop.bench.submit("media"), "succeeded", seconds=2)


async def test_one_ring_is_enough_for_all_jobs_that_wait(shop: Shop) -> None:
    step = Slow()
    async with shop.worker(step, slots=3, look_every=NEVER).running():
        await asyncio.sleep(0.1)
        for _ in range(3):
            await shop.bench.submit("media")
        await shop.bench.store.commands.xtrim("rw:outbox:jobs", maxlen=0)
        async with shop.relaying():
            await shop.bench.submit("drive")
            await asyncio.sleep(0.1)
            assert step.started == 0
            await shop.bench.submit("media")
            await soon(lambda: step.started == 3)
        step.let_go.set()


async def test_a_ring_that_stands_for_many_wakes_one_worker_after_the_other(shop: Shop) -> None:
    step = Slow()
    async with AsyncExitStack() as crew:
        for number in range(5):
            worker = shop.worker(step, name=f"w{number}", look_every=NEVER)
            await crew.enter_async_context(worker.running())
        await asyncio.sleep(0.1)
        for _ in range(5):
            await shop.bench.submit("media")
        async with shop.relaying():
            await soon(lambda: step.started == 5)
        step.let_go.set()
        await soon(lambda: len(shop.ended) == 5)


async def test_without_rings_a_worker_finds_its_work(shop: Shop) -> None:
    async with shop.worker(instant).running():
        await asyncio.sleep(0.1)
        await shop.until(await shop.bench.submit("media"), "succeeded", seconds=2)


@pytest.mark.parametrize("control", [True, False])
async def test_a_running_job_is_cancelled_within_a_second(shop: Shop, control: bool) -> None:
    lease = 60_000 if control else 1500  # with a long lease only the control message can tell
    shop.bench = Bench(shop.bench.store, lease_ms=lease)
    step = Slow()
    new = await shop.bench.submit("media")
    async with shop.worker(step).running():
        await soon(lambda: step.started)
        await asyncio.sleep(0.1)
        if control:
            async with shop.relaying():
                await shop.bench.ledger.cancel(ACME, new.id, "")
                await shop.until(new, "cancelled", seconds=1)
        else:
            await shop.bench.ledger.cancel(ACME, new.id, "")
            await shop.until(new, "cancelled", seconds=1)
    assert step.stopped == 1
    assert [ended.state for ended in shop.ended] == ["cancelled"]


async def test_a_worker_that_leaves_gives_its_jobs_back(shop: Shop) -> None:
    step = Slow()
    jobs = [await shop.bench.submit("media") for _ in range(2)]
    began = 0.0
    async with shop.worker(step, slots=2).running(grace=2):
        await soon(lambda: step.started == 2)
        began = time.monotonic()
    assert time.monotonic() - began < 1
    for new in jobs:
        job = await shop.bench.job(new)
        assert (job.state, job.interrupts, job.lost, job.attempt) == ("ready", 1, 0, 0)


async def test_a_lease_is_kept_while_a_step_takes_its_time_to_stop(shop: Shop) -> None:
    async def stubborn(context: StepContext) -> StepOutput:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(1.0)  # longer than the lease
        return StepOutput()

    new = await shop.bench.submit("media")
    async with shop.worker(stubborn).running():
        await shop.until(new, "running")
        await asyncio.sleep(0.05)
        leaving = asyncio.create_task(_reap_for(shop, 1.2))
    await leaving
    job = await shop.bench.job(new)
    assert (job.state, job.interrupts, job.lost) == ("ready", 1, 0)


async def _reap_for(shop: Shop, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert await shop.bench.ledger.reap() == (0, 0, 0)
        await asyncio.sleep(0.05)


async def test_an_attempt_that_lost_its_job_stops_and_writes_nothing_more(shop: Shop) -> None:
    refused: list[BaseException] = []

    async def late(context: StepContext) -> StepOutput:
        try:
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
        await shop.until(new, "running")
        await asyncio.sleep(0.05)
        await shop.bench.store.commands.zadd("rw:jobs:leases", {f"rw:t:acme:job:{new.id}": 1})
        assert await shop.bench.ledger.reap() == (1, 0, 0)
        await shop.bench.claim(worker="w2")
        before = await shop.bench.dump()
        await soon(lambda: shop.ended)
        assert await shop.bench.dump() == before
    assert [ended.state for ended in shop.ended] == ["lost"]
    assert len(refused) == 1


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
                await asyncio.sleep(0.5)
        await asyncio.sleep(0.8)
        return StepOutput()

    new = await shop.bench.submit("media")
    async with shop.worker(step, slots=2).running():
        await soon(lambda: running)
        await asyncio.sleep(0.05)
        key = f"rw:t:acme:job:{new.id}"
        await shop.bench.store.commands.zadd("rw:jobs:leases", {key: 1})
        await shop.bench.ledger.reap()
        await shop.until(new, "succeeded")
        await shop.until(await shop.bench.submit("media"), "succeeded")  # both slots are alive
    assert sorted(ended.state for ended in shop.ended) == ["lost", "succeeded", "succeeded"]


@pytest.mark.parametrize(
    "error", [ValueError("secret"), KeyError("x"), ExceptionGroup("g", [OSError()])]
)
async def test_a_step_that_raises_anything_fails_as_a_bug_of_ours(
    shop: Shop, error: Exception
) -> None:
    new = await shop.bench.submit("media")
    async with shop.worker(failing(error)).running():
        job = await shop.until(new, "failed")
    assert job.error is not None
    assert (job.error.error_class, job.error.code) == ("bug", "internal")
    assert "secret" not in job.error.detail
    cause = shop.ended[0].cause
    assert cause is error
    assert cause.__traceback__ is not None


async def test_what_is_transient_is_tried_again_after_a_while(shop: Shop) -> None:
    times: list[float] = []

    async def twice(context: StepContext) -> StepOutput:
        times.append(time.monotonic())
        if len(times) < 3:
            raise StepFailed("away", "not now", error_class="transient")
        return StepOutput()

    new = await shop.bench.submit("media")
    async with shop.worker(twice).running():
        reaping = asyncio.create_task(_reap_until(shop, lambda: len(times) == 3))
        job = await shop.until(new, "succeeded")
        await reaping
    assert (job.attempt, job.error) == (2, None)
    assert times[2] - times[1] > (times[1] - times[0]) * 0.3 > 0
    assert [ended.state for ended in shop.ended] == ["retrying", "retrying", "succeeded"]


async def _reap_until(shop: Shop, is_so: object) -> None:
    while callable(is_so) and not is_so():
        await shop.bench.ledger.reap()
        await asyncio.sleep(0.02)


async def test_what_we_need_and_is_away_is_a_dependency(shop: Shop) -> None:
    new = await shop.bench.submit("media")
    async with shop.worker(failing(Unavailable("no disk", code="blobs_unavailable"))).running():
        job = await shop.until(new, "retrying")
    assert job.error is not None
    assert (job.error.code, job.error.error_class) == ("blobs_unavailable", "dependency")


async def test_content_at_fault_is_not_tried_again(shop: Shop) -> None:
    new = await shop.bench.submit("media")
    async with shop.worker(failing(BadInput("not_a_video", "a picture"))).running():
        job = await shop.until(new, "failed")
    assert job.attempt == 1


async def test_a_folder_that_cannot_be_made_fails_the_job_not_the_worker(shop: Shop) -> None:
    async def writing(context: StepContext) -> StepOutput:
        (context.folder / "frame.png").touch()
        return StepOutput()

    new = await shop.bench.submit("media")
    async with shop.worker(writing, scratch=Path("/dev/null/nowhere")).running():
        await shop.until(new, "failed")


async def test_two_workers_never_hold_one_job(shop: Shop) -> None:
    held: dict[str, int] = {}
    most = 0

    async def step(context: StepContext) -> StepOutput:
        nonlocal most
        held[context.job.id] = held.get(context.job.id, 0) + 1
        most = max(most, held[context.job.id])
        await asyncio.sleep(0.01)
        held[context.job.id] -= 1
        return StepOutput()

    jobs = [await shop.bench.submit("media", "media") for _ in range(20)]
    other = shop.worker(step, name="w2", slots=3)
    async with shop.worker(step, slots=3).running(), other.running():
        for job in jobs:
            done = await shop.until(job, "succeeded")
            assert done.fence == 1
    assert most == 1


async def test_a_store_that_is_away_for_a_moment_costs_neither_worker_nor_job(
    tmp_path: Path, redis_url: str
) -> None:
    async with clean_store(redis_url) as store, open_redis(redis_url) as eyes:
        pid = (await eyes.commands.info("server"))["process_id"]
        shop = Shop(Bench(store, lease_ms=12_000), tmp_path)
        shop.bench = Bench(store, lease_ms=12_000)
        let_go = asyncio.Event()

        async def step(context: StepContext) -> StepOutput:
            await let_go.wait()
            await context.progress(0.5, "while the store is away")
            return StepOutput()

        new = await shop.bench.submit("media")
        async with shop.worker(step, slots=2).running():
            await shop.until(new, "running")
            os.kill(pid, signal.SIGSTOP)
            let_go.set()
            await asyncio.sleep(3.5)  # over the time that a command waits for its answer
            os.kill(pid, signal.SIGCONT)
            job = await shop.until(new, "succeeded", seconds=8)
            assert (job.lost, job.attempt) == (0, 0)
            await shop.until(await shop.bench.submit("media", id=new_id()), "succeeded")
