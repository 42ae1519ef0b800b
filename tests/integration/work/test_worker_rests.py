"""A worker whose jobs are to rest, wait for something outside, fall silent, or are split."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from shared.contracts.records import StepOutput, StepStatus
from shared.store.redis import Store
from shared.work.context import StepContext
from shared.work.failures import RetryPolicy
from shared.work.resources import Capacity
from shared.work.step import Snoozed
from tests.integration.work.bench import ACME, Bench
from tests.integration.work.shop import Shop, Slow, failing, soon

MINUTES = 300.0
"""A silence that no stall of a machine comes near."""
MANY_BEATS = 0.6
"""Longer than it takes to find a step silent."""


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return Shop(Bench(store), tmp_path)


async def test_a_running_job_that_is_paused_stops_and_goes_on_later(shop: Shop) -> None:
    step = Slow()
    new = await shop.bench.submit("media")
    async with shop.relaying(), shop.worker(step).running():
        await soon(lambda: step.started == 1)
        assert await shop.bench.ledger.pause(ACME, new.id) == "pausing"
        job = await shop.until(new, "paused")
        assert (job.attempt, job.interrupts, step.stopped) == (0, 0, 1)
        step.let_go.set()
        await shop.bench.ledger.resume(ACME, new.id)
        await shop.until(new, "succeeded")
        await soon(shop.ended_by(2))  # before it leaves: the answer may still be on its way
    assert [ended.state for ended in shop.ended] == ["paused", "succeeded"]


async def test_a_step_that_waits_for_something_outside_takes_no_slot(shop: Shop) -> None:
    away = Snoozed("drive_away", "the drive does not answer", seconds=60)
    waiting = await shop.bench.submit("media")
    async with shop.worker(failing(away)).running():
        job = await shop.until(waiting, "retrying")
        assert (job.snoozes, job.attempt, job.message) == (1, 0, "the drive does not answer")
        other = await shop.bench.submit("media")
        await shop.until(other, "retrying")
    assert {ended.state for ended in shop.ended} == {"retrying"}


async def test_what_waits_in_vain_fails_with_what_it_waited_for(shop: Shop) -> None:
    away = Snoozed("drive_away", "the drive does not answer", seconds=60)
    new = await shop.bench.submit("media")
    await shop.bench.set(new, "opened_at", 1)
    async with shop.worker(failing(away)).running():
        job = await shop.until(new, "failed")
    assert job.error
    assert (job.error.code, job.error.error_class) == ("drive_away", "dependency")
    assert job.error.hint


@pytest.mark.usefixtures("beating")
async def test_a_step_that_falls_silent_is_ended_and_tried_again(shop: Shop) -> None:
    runs = 0

    async def step(context: StepContext) -> StepOutput:
        nonlocal runs
        runs += 1
        if runs == 1:
            context.heard -= MINUTES  # without waiting for them
            await asyncio.sleep(60)
        return StepOutput()

    new = await shop.bench.submit("media")
    policy = RetryPolicy(base=0.05, silence=MINUTES)
    async with shop.worker(step, policy=policy).running():
        job = await shop.until(new, "retrying")
        assert job.error
        assert (job.error.code, job.attempt) == ("step_silent", 1)
        await shop.bench.due(new)
        await shop.bench.ledger.reap()
        await shop.until(new, "succeeded")


@pytest.mark.usefixtures("beating")
async def test_a_step_that_says_something_is_not_silent(shop: Shop) -> None:
    async def step(context: StepContext) -> StepOutput:
        for number in range(3):
            context.heard -= MINUTES * 0.6  # two of these are too long
            await asyncio.sleep(MANY_BEATS)
            await context.progress(number / 8)
        return StepOutput()

    new = await shop.bench.submit("media")
    async with shop.worker(step, policy=RetryPolicy(silence=MINUTES)).running():
        job = await shop.until(new, "succeeded")
    assert job.attempt == 0


async def test_a_step_splits_its_job_and_the_next_one_finds_the_results(shop: Shop) -> None:
    small = (StepStatus(name="piece", pool="media"),)

    async def step(context: StepContext) -> StepOutput:
        if context.step == "s0":
            context.parts += [
                context.part(str(number), "piece", small, params={"number": number})
                for number in range(3)
            ]
        elif context.step == "piece":
            return StepOutput(result={"square": context.job.params["number"] ** 2})
        else:
            found = await shop.bench.jobs.children(ACME, context.job.id)
            squares = [part.outputs["piece"].result["square"] for part in found]
            return StepOutput(result={"sum": sum(squares)})
        return StepOutput()

    new = await shop.bench.submit("media", "media", lock=None)
    steps = dict.fromkeys(("s0", "s1", "piece"), step)
    async with shop.worker(step, steps=steps, slots=2).running():
        job = await shop.until(new, "succeeded")
    assert job.outputs["s1"].result == {"sum": 5}
    assert (job.parts, job.parts_succeeded) == (3, 3)


async def test_slots_share_what_the_worker_has(shop: Shop) -> None:
    step = Slow()
    needing = (StepStatus(name="s0", pool="media", needs="ocr=1"),)
    jobs = [await shop.bench.submit(steps=needing) for _ in range(3)]
    async with shop.worker(step, slots=3, capacity=Capacity({"ocr": 2})).running():
        await soon(lambda: step.started == 2)
        await asyncio.sleep(0.3)
        assert step.started == 2
        step.let_go.set()
        for new in jobs:
            await shop.until(new, "succeeded")
