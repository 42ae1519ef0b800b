"""A worker whose provider is away: jobs of that tenant wait without a slot and lose nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from shared.blobs.failures import BlobsRefused
from shared.blobs.store import Blobs
from shared.contracts.records import Job, StepOutput
from shared.errors import NotFound, Unavailable
from shared.store.breaker import BreakerOpen, Breakers
from shared.store.redis import Store
from shared.tenancy import breaker_key
from shared.work.context import StepContext
from shared.work.failures import RetryPolicy
from shared.work.ledger import NewJob
from shared.work.outages import as_snooze, guarded, judged
from shared.work.step import Snoozed
from shared.work.worker import Worker
from tests.integration.work.bench import ACME, OTHER, Bench
from tests.integration.work.shop import Shop, failing, soon
from tests.support.bucket import Bucket

ONCE = RetryPolicy(attempts=1)


async def reads(context: StepContext) -> StepOutput:
    """A step that needs the bytes of its tenant."""
    await context.blobs.read_all(f"{context.tenant}/files/f/original")
    return StepOutput()


class Town(Shop):
    """A shop whose blobs are far away, behind a breaker."""

    def __init__(self, bench: Bench, folder: Path, bucket: Bucket, remote: Blobs) -> None:
        super().__init__(bench, folder)
        self.bucket = bucket
        self.blobs = guarded(remote, Breakers(bench.store))

    def reader(self, slots: int = 1) -> Worker:
        """A worker of jobs that need the bucket; what fails is not tried again."""
        return self.worker(reads, slots=slots, policy=ONCE)

    async def break_down(self) -> None:
        """Let five jobs of ACME fail for want of the bucket."""
        self.bucket.down.add(ACME)
        for _ in range(5):
            job = await self.until(await self.bench.submit("media"), "failed")
            assert job.error
            assert (job.error.code, job.error.error_class) == ("blobs_unavailable", "dependency")

    async def rested(self, jobs: Sequence[NewJob]) -> None:
        """Let the minute be over and the jobs be due, without waiting."""
        await self.bench.store.commands.hset(breaker_key("blobs", ACME), "open_until", "1")
        await self.due(jobs)

    async def due(self, jobs: Sequence[NewJob]) -> None:
        for new in jobs:
            await self.bench.due(new)
        await self.bench.ledger.reap()


@pytest.fixture
async def town(store: Store, tmp_path: Path) -> AsyncIterator[Town]:
    bucket = Bucket()
    async with bucket.open() as remote:
        yield Town(Bench(store, lease_ms=60_000), tmp_path, bucket, remote)


def snoozed(job: Job) -> bool:
    """Whether it waits as it should: no attempt counted, and a reason to be seen."""
    assert "blobs are suspended" in job.message
    assert (job.state, job.attempt, job.lost, job.error) == ("retrying", 0, 0, None)
    return job.snoozes == 1


async def test_after_five_failures_jobs_of_the_tenant_wait_and_free_their_slot(town: Town) -> None:
    async with town.reader().running():
        await town.break_down()
        asked = len(town.bucket.asked)
        began = await town.bench.now()
        waiting = [await town.bench.submit("media") for _ in range(3)]
        for new in waiting:
            job = await town.until(new, "retrying")
            assert snoozed(job)
            assert 40_000 < job.due_at - began < 100_000
        assert len(town.bucket.asked) == asked
        other = await town.bench.submit("media", tenant=OTHER)
        assert (await town.until(other, "succeeded")).snoozes == 0
    assert {ended.state for ended in town.ended[5:8]} == {"retrying"}


async def test_after_recovery_one_job_probes_and_then_all_go_on(town: Town) -> None:
    async with town.reader(slots=4).running():
        await town.break_down()
        waiting = [await town.bench.submit("media") for _ in range(8)]
        for new in waiting:
            await town.until(new, "retrying")
        town.bucket.down.clear()
        town.bucket.asked.clear()
        town.bucket.gate.clear()
        await town.rested(waiting)
        await soon(lambda: len(town.ended) == 5 + 8 + 7)  # all but the probe wait once more
        assert town.bucket.asked == [ACME]
        town.bucket.gate.set()
        await soon(lambda: town.ended[-1].state == "succeeded")
        await town.due(waiting)
        for new in waiting:
            job = await town.until(new, "succeeded")
            assert (job.attempt, job.lost) == (0, 0)
            assert job.snoozes in {1, 2}


async def test_a_probe_in_vain_costs_one_attempt_and_the_others_wait_on(town: Town) -> None:
    async with town.reader().running():
        await town.break_down()
        waiting = [await town.bench.submit("media") for _ in range(3)]
        for new in waiting:
            await town.until(new, "retrying")
        await town.rested(waiting)
        await soon(lambda: len(town.ended) == 5 + 3 + 3)
        states = sorted([(await town.bench.job(new)).state for new in waiting])
        assert states == ["failed", "retrying", "retrying"]


async def test_checkpoints_and_artifacts_go_through_the_breaker_too(town: Town) -> None:
    async def keeps(context: StepContext) -> StepOutput:
        file = context.folder / "result"
        file.write_bytes(b"x")
        return StepOutput(artifacts=await context.keep([file]))

    async def leaves(context: StepContext) -> StepOutput:
        file = context.folder / "result"
        file.write_bytes(b"x")
        await context.checkpoint({"n": 1}, [file])
        return StepOutput()

    async with town.reader().running():
        await town.break_down()
    for step in (keeps, leaves):
        async with town.worker(step, policy=ONCE).running():
            assert snoozed(await town.until(await town.bench.submit("media"), "retrying"))


async def test_an_open_breaker_that_a_step_meets_itself_is_a_wait(town: Town) -> None:
    async with town.worker(failing(BreakerOpen(30, "calls to mail are suspended"))).running():
        job = await town.until(await town.bench.submit("media"), "retrying")
    assert (job.snoozes, job.attempt, job.message) == (1, 0, "calls to mail are suspended")


@pytest.mark.parametrize("left", [0.2, 60.0])
def test_the_wait_is_what_is_left_and_up_to_a_quarter(left: float) -> None:
    waits = []
    for _ in range(200):
        snooze = as_snooze(BreakerOpen(left, "why"))
        assert snooze
        assert (snooze.code, snooze.detail) == ("breaker_open", "why")
        waits.append(snooze.seconds)
    assert left <= min(waits) < max(waits) <= left + max(1, left / 4)
    assert max(waits) - min(waits) > 0.5


def test_only_waits_are_waits() -> None:
    own = Snoozed("quota", "spent", seconds=1)
    assert as_snooze(own) is own
    for other in (None, Unavailable(), ValueError()):
        assert as_snooze(other) is None


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (Unavailable(code="blobs_unavailable"), "failed"),
        (BlobsRefused(), "answered"),
        (NotFound(), "answered"),
        (BreakerOpen(1), "unknown"),
        (ConnectionResetError("of what was being stored"), "unknown"),
        (OSError("no room for the copy"), "unknown"),
        (asyncio.CancelledError(), "unknown"),
    ],
)
def test_only_the_stores_own_failures_count(error: BaseException, verdict: str) -> None:
    assert judged(error) == verdict
