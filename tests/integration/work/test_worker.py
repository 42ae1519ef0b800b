"""A worker at work: slots, rings, failures, outages."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from shared.contracts.records import StepOutput
from shared.errors import Unavailable
from shared.ids import new_id
from shared.store.redis import Store, open_redis
from shared.work.context import StepContext
from shared.work.step import BadInput, StepFailed
from tests.integration.work.bench import Bench
from tests.integration.work.shop import NEVER, Shop, Slow, failing, instant, soon


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return Shop(Bench(store), tmp_path)


async def test_a_job_is_worked_through_step_by_step(shop: Shop) -> None:
    new = await shop.bench.submit("media", "media")
    async with shop.worker(instant).running():
        job = await shop.until(new, "succeeded")
        await soon(shop.ended_by(1))  # before it leaves: the answer may still be on its way
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
        await soon(shop.looked_in_vain(1))
        await shop.until(await shop.bench.submit("media"), "succeeded")


async def test_one_ring_is_enough_for_all_jobs_that_wait(shop: Shop) -> None:
    step = Slow()
    async with shop.worker(step, slots=3, look_every=NEVER).running():
        await soon(shop.looked_in_vain(3))
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
        await soon(shop.looked_in_vain(5))
        for _ in range(5):
            await shop.bench.submit("media")
        async with shop.relaying():
            await soon(lambda: step.started == 5)
        step.let_go.set()
        await soon(lambda: len(shop.ended) == 5)


async def test_without_rings_a_worker_finds_its_work(shop: Shop) -> None:
    async with shop.worker(instant).running():
        await soon(shop.looked_in_vain(3))
        await shop.until(await shop.bench.submit("media"), "succeeded")


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
        await soon(shop.ended_by(3))
    assert (job.attempt, job.error) == (2, None)
    first, second = [ended.retry_in or 0.0 for ended in shop.ended[:2]]
    assert 0 < first <= 0.05 <= second  # twice as long, less up to a half by chance
    waited = [later - sooner for sooner, later in pairwise(times)]
    assert waited[0] > first * 0.9  # two clocks may differ by a little
    assert waited[1] > second * 0.9
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
    store: Store, tmp_path: Path, redis_url: str
) -> None:
    async with open_redis(redis_url) as working:
        pid = (await working.commands.info("server"))["process_id"]
        await _impatient(working, 1.0)
        shop = Shop(Bench(store), tmp_path)
        let_go = asyncio.Event()

        async def step(context: StepContext) -> StepOutput:
            await let_go.wait()
            await context.progress(0.5, "while the store is away")
            return StepOutput()

        new = await shop.bench.submit("media")
        async with shop.worker(step, slots=2, ledger=Bench(working).ledger).running():
            await shop.until(new, "running")
            os.kill(pid, signal.SIGSTOP)
            try:
                let_go.set()
                await asyncio.sleep(1.5)  # over the time that a command waits for its answer
            finally:
                os.kill(pid, signal.SIGCONT)  # whatever comes, others need the server
            job = await shop.until(new, "succeeded")
            assert (job.lost, job.attempt) == (0, 0)
            await shop.until(await shop.bench.submit("media", id=new_id()), "succeeded")


async def _impatient(store: Store, seconds: float) -> None:
    """Let commands wait for their answers only so long, on connections that are opened from now
    on; opening the store itself has had its time.
    """
    pool = store.commands.connection_pool
    pool.connection_kwargs["socket_timeout"] = seconds
    await pool.disconnect()
    # Else it opens the same ones again, as patient as they were.
    pool.reset()  # type: ignore[no-untyped-call] # of the library
