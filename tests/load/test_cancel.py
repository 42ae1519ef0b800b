"""How soon a running job is cancelled, with the bus and without it; its process is gone then."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

import psutil
import pytest

from shared.bus.connect import connect
from shared.bus.outbox import Relay
from shared.contracts.records import StepOutput
from shared.store.outbox import RedisOutbox
from shared.store.redis import open_redis
from shared.work.child import ChildSteps
from shared.work.child_limits import ChildLimits
from shared.work.context import StepContext
from shared.work.ledger import LEASE_MS
from tests.integration.work.bench import ACME, Bench
from tests.integration.work.shop import Shop, soon
from tests.support.servers import redis_database
from tests.support.stacks import private_names

TIMES, SLOTS = 40, 4
PROGRAM = str(Path(__file__).parents[1] / "integration/work/children.py")
WITH_BUS, WITHOUT_BUS = 0.250, 6.0


@asynccontextmanager
async def working(folder: Path, *, relayed: bool) -> AsyncIterator[Shop]:
    """A worker whose steps are child processes that would run for ten minutes."""
    with redis_database() as url:
        async with open_redis(url) as store, connect(private_names(), name="load") as transport:
            shop = Shop(Bench(store, lease_ms=LEASE_MS), folder)
            options: dict[str, Any] = {"slots": SLOTS, "transport": transport}
            child = ChildSteps((sys.executable, PROGRAM, "busy"), ChildLimits())

            async def step(context: StepContext) -> StepOutput:
                return await child.run(context)

            relay = asyncio.create_task(
                Relay(transport, RedisOutbox(store, "jobs"), "jobs").run()
                if relayed
                else asyncio.sleep(600)
            )
            async with shop.worker(step, **options).running():
                yield shop
            relay.cancel()


async def cancelled_after(shop: Shop) -> float:
    """Seconds from the request to the end of the job; by then its process is gone."""
    source = shop.folder / "source"
    source.write_bytes(b"no video, and nobody looks")
    await shop.blobs.put_file("acme/video", source)
    before = set(psutil.Process().children(recursive=True))
    new = await shop.bench.submit("media", params={"location": "acme/video"})
    async with asyncio.timeout(30):
        while not (await shop.bench.job(new)).progress:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    born = set(psutil.Process().children(recursive=True)) - before
    began = time.monotonic()
    await shop.bench.ledger.cancel(ACME, new.id, "")
    await shop.until(new, "cancelled", seconds=30)
    took = time.monotonic() - began
    await soon(lambda: not [child for child in born if child.is_running()])
    return took


@pytest.mark.timeout(300)
async def test_a_running_job_is_cancelled_at_once_with_the_bus(tmp_path: Path) -> None:
    async with working(tmp_path, relayed=True) as shop:
        took = [await cancelled_after(shop) for _ in range(TIMES)]
    p95 = quantiles(took, n=20)[-1]
    print(f"\ncancel with the bus: p95 {p95 * 1000:.0f} ms, most {max(took) * 1000:.0f} ms")
    assert p95 < WITH_BUS


@pytest.mark.timeout(300)
async def test_a_running_job_is_cancelled_by_the_heartbeat_without_the_bus(tmp_path: Path) -> None:
    async with working(tmp_path, relayed=False) as shop:
        took = [
            each
            for _ in range(3)
            for each in await asyncio.gather(*[cancelled_after(shop) for _ in range(SLOTS)])
        ]
    p95 = quantiles(took, n=20)[-1]
    print(f"\ncancel without the bus: p95 {p95:.2f} s, most {max(took):.2f} s")
    assert max(took) < WITHOUT_BUS
