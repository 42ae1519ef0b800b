"""Where an attempt ends whatever its step does."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import pytest

from shared.contracts.records import StepOutput
from shared.store.redis import Store
from shared.work import attempt
from shared.work.context import StepContext
from tests.integration.work.bench import ACME, Bench
from tests.integration.work.shop import Shop, soon


class Deaf:
    """A step that goes on, whoever asks it to stop, until the test is over."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.is_over = asyncio.Event()

    async def __call__(self, context: StepContext) -> StepOutput:
        self.started.set()
        while not self.is_over.is_set():
            with suppress(asyncio.CancelledError):
                await self.is_over.wait()
        return StepOutput()


async def test_work_that_does_not_stop_does_not_keep_its_job(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "_STOP_SECONDS", 0.2)
    shop = Shop(Bench(store, lease_ms=1_000), tmp_path)
    deaf = Deaf()
    new = await shop.bench.submit("media")
    async with shop.worker(deaf).running(), asyncio.timeout(30):
        try:
            await deaf.started.wait()
            await shop.bench.ledger.cancel(ACME, new.id, "")
            while (await shop.bench.job(new)).state == "cancelling":
                await shop.bench.ledger.reap()
                await asyncio.sleep(0.02)
            assert (await shop.bench.job(new)).state == "cancelled"
            assert not shop.ended  # the work has not let go of it
        finally:
            deaf.is_over.set()  # else the worker could not leave
    assert [ended.state for ended in shop.ended] == ["lost"]


class Timed:
    """A step without an end that knows how long it ran, but for the time it stood still."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.started = asyncio.Event()
        self.stopped = asyncio.Event()

    async def __call__(self, context: StepContext) -> StepOutput:
        self.started.set()
        before = time.monotonic()
        try:
            while True:
                await asyncio.sleep(0.02)
                now = time.monotonic()
                self.seconds += min(now - before, 0.1)  # the rest of a longer one is a stall
                before = now
        finally:
            self.stopped.set()


async def test_a_lease_that_cannot_be_renewed_ends_the_work_before_it_runs_out(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hanging(*_: object) -> str:
        await asyncio.sleep(60)
        return ""

    shop = Shop(Bench(store, lease_ms=3_000), tmp_path)
    step = Timed()
    await shop.bench.submit("media")
    async with shop.worker(step).running():
        await step.started.wait()
        monkeypatch.setattr(shop.bench.ledger, "heartbeat", hanging)
        step.seconds = 0.0
        await soon(step.stopped.is_set)
    assert step.seconds < shop.bench.ledger.lease_seconds
