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
from tests.integration.work.shop import Shop


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return Shop(Bench(store, lease_ms=300), tmp_path)


async def deaf(context: StepContext) -> StepOutput:
    """Go on for a second and a half, whoever asks to stop."""
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.02)
    return StepOutput()


async def test_work_that_does_not_stop_does_not_keep_its_job(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "_STOP_SECONDS", 0.2)
    new = await shop.bench.submit("media")
    async with shop.worker(deaf).running():
        await shop.until(new, "running")
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await shop.bench.ledger.cancel(ACME, new.id, "")
        while (await shop.bench.job(new)).state == "cancelling":
            await shop.bench.ledger.reap()
            await asyncio.sleep(0.02)
        assert time.monotonic() - began < 1.2
        assert (await shop.bench.job(new)).state == "cancelled"
    assert [ended.state for ended in shop.ended] == ["lost"]


async def test_a_lease_that_cannot_be_renewed_ends_the_work_before_it_runs_out(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[float] = []

    async def step(context: StepContext) -> StepOutput:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.append(time.monotonic())
        return StepOutput()

    async def hanging(*_: object) -> str:
        await asyncio.sleep(60)
        return ""

    new = await shop.bench.submit("media")
    async with shop.worker(step).running():
        await shop.until(new, "running")
        began = time.monotonic()
        monkeypatch.setattr(shop.bench.ledger, "heartbeat", hanging)
        async with asyncio.timeout(2):
            while not stopped:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert stopped[0] - began < 0.3
