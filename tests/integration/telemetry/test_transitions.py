"""The count of transitions against a real ledger: every way a job can go, and across restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.bus.memory import MemoryTransport
from shared.health import Health
from shared.host import Runtime
from shared.serving import relaying
from shared.settings import HostSettings
from shared.store.outbox import RedisOutbox
from shared.store.redis import Store
from shared.telemetry.jobs import is_first, waited_ms
from shared.telemetry.metrics import Metrics, new_metrics
from shared.telemetry.traces import new_tracer
from tests.integration.work.bench import ACME, BROKEN, DONE, Bench, any_redis, clean_store
from tests.support.bus import until

TRANSITIONS, LEASES = "reelway_job_transitions_total", "reelway_lease_lost_total"


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with any_redis() as url:
        yield url


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[Store]:
    async with clean_store(redis_url) as opened:
        yield opened


@pytest.fixture
def bench(store: Store) -> Bench:
    return Bench(store)


@asynccontextmanager
async def relayed(store: Store) -> AsyncIterator[Metrics]:
    """The metrics of a process that relays what the ledger says, once it has said everything."""
    metrics, tracer = new_metrics(), new_tracer()
    runtime = Runtime(
        settings=HostSettings(),
        transport=MemoryTransport(),
        store=store,
        blobs_url="memory:",
        data_dir=Path(),
        health=Health(),
        metrics=metrics,
        tracer=tracer,
        instance="here",
        stopping=asyncio.Event(),
    )

    async def is_empty() -> bool:
        return not await RedisOutbox(store, "jobs").length()

    async with relaying(runtime, "jobs"):
        await until(is_empty)
        await asyncio.sleep(0.1)  # what was removed last is counted right afterwards
        yield metrics
    tracer.close()
    metrics.close()


def counts(metrics: Metrics, name: str = TRANSITIONS) -> dict[str, float]:
    """Values by the last label, which is the state or the pool."""
    lines = metrics.render().decode().splitlines()
    samples = (line.rsplit(" ", 1) for line in lines if line.startswith(f"{name}{{"))
    return {labels.rpartition('="')[2].rstrip('"}'): float(value) for labels, value in samples}


async def test_a_job_that_is_handed_on_and_succeeds(bench: Bench) -> None:
    await bench.submit("drive", "media", "media")
    claim = await bench.claim("drive")
    assert await bench.ledger.advance(claim, "s0", DONE, 0.3) == "handed"
    claim = await bench.claim("media")
    await bench.ledger.progress(claim, 0.5, "half")
    assert await bench.ledger.advance(claim, "s1", DONE, 0.6) == "continue"
    assert await bench.ledger.advance(claim, "s2", DONE, 1) == "succeeded"
    async with relayed(bench.store) as metrics:
        assert counts(metrics) == {"ready": 2, "running": 2, "succeeded": 1}
        assert 'flow="process_video"' in metrics.render().decode()


async def test_a_job_that_is_tried_again_fails_and_is_retried_by_hand(bench: Bench) -> None:
    new = await bench.submit()
    await bench.ledger.fail(await bench.claim(), BROKEN, 60)
    await bench.due(new)
    await bench.ledger.reap()
    await bench.ledger.fail(await bench.claim(), BROKEN, None)
    await bench.ledger.retry(ACME, new.id)
    async with relayed(bench.store) as metrics:
        assert counts(metrics) == {"ready": 3, "running": 2, "retrying": 1, "failed": 1}


async def test_jobs_that_are_cancelled_in_line_and_in_hand(bench: Bench) -> None:
    new = await bench.submit()
    claim = await bench.claim()
    await bench.ledger.cancel(ACME, new.id, "enough")
    await bench.ledger.stopped(claim)
    await bench.ledger.cancel(ACME, (await bench.submit()).id, "enough")
    async with relayed(bench.store) as metrics:
        assert counts(metrics) == {"ready": 2, "running": 1, "cancelling": 1, "cancelled": 2}


async def test_a_dead_worker_is_a_lost_lease_of_its_pool_also_after_a_restart(
    bench: Bench,
) -> None:
    new = await bench.submit("media")
    claim = await bench.claim()
    async with relayed(bench.store) as metrics:
        assert counts(metrics) == {"ready": 1, "running": 1}
    await bench.lapse(claim)
    await bench.ledger.reap()
    async with relayed(bench.store) as metrics:
        assert counts(metrics) == {"ready": 1}
        assert counts(metrics, LEASES) == {"media": 1}
    await bench.claim()
    async with relayed(bench.store) as metrics:
        assert counts(metrics) == {"running": 1}
        assert counts(metrics, LEASES) == {}
    assert (await bench.job(new)).lost == 1


async def test_a_worker_that_leaves_loses_nothing(bench: Bench) -> None:
    await bench.submit()
    await bench.ledger.release(await bench.claim())
    async with relayed(bench.store) as metrics:
        assert counts(metrics) == {"ready": 2, "running": 1}
        assert counts(metrics, LEASES) == {}


async def test_a_wait_is_measured_where_a_step_begins_and_nowhere_else(bench: Bench) -> None:
    new = await bench.submit("drive", "media")
    await bench.waiting_for(new, 500_000)
    claim = await bench.claim("drive")
    assert is_first(claim.job)
    assert 499_900 <= (waited_ms(claim.job) or 0) <= 620_000
    await bench.ledger.advance(claim, "s0", DONE, 0.5)
    claim = await bench.claim("media")
    assert not is_first(claim.job)
    assert (waited_ms(claim.job) or 0) < 120_000
    await asyncio.sleep(0.005)
    await bench.ledger.release(claim)
    claim = await bench.claim("media")
    assert waited_ms(claim.job) is None
    await bench.ledger.fail(claim, BROKEN, None)
    await bench.ledger.retry(ACME, new.id)
    claim = await bench.claim("media")
    assert is_first(claim.job)
