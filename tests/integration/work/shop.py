"""A worker with steps of the test's own, on a real ledger and the bus of one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from shared.blobs.store import Blobs, open_blobs
from shared.bus.memory import MemoryTransport
from shared.bus.outbox import Relay
from shared.contracts.records import Job, StepOutput
from shared.store.outbox import RedisOutbox
from shared.work.context import StepContext, StepFunction
from shared.work.failures import RetryPolicy
from shared.work.jobs import job_key
from shared.work.ledger import Claim, NewJob
from shared.work.observer import Ended, Observer
from shared.work.worker import Worker
from tests.integration.work.bench import Bench

OFTEN = (0.05, 0.1)
NEVER = (60.0, 60.0)


class Shop:
    """Runs workers of the pool ``media`` and keeps what they said about their attempts."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.folder = folder
        self.transport = MemoryTransport()
        self.blobs: Blobs = open_blobs("memory:")
        self.ended: list[Ended] = []
        self.claims: list[Claim] = []
        self.in_vain = 0

    def worker(self, step: StepFunction, **options: Any) -> Worker:
        plain: dict[str, Any] = {
            "name": "w1",
            "pool": "media",
            "steps": {"s0": step, "s1": step},
            "ledger": self.bench.ledger,
            "blobs": self.blobs,
            "transport": self.transport,
            "scratch": self.folder,
            "policy": RetryPolicy(base=0.05),
            "observer": Observer(claimed=self._looked, ended=self._note),
            "look_every": OFTEN,
        }
        return Worker(**plain | options)

    @asynccontextmanager
    async def relaying(self) -> AsyncIterator[None]:
        """Publish what the ledger says, as the jobs service does."""
        relay = Relay(self.transport, RedisOutbox(self.bench.store, "jobs"), "jobs")
        task = asyncio.create_task(relay.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def until(self, new: NewJob, *states: str, seconds: float = 30.0) -> Job:
        """The job once it is in one of these states."""
        async with asyncio.timeout(seconds):
            while (job := await self.bench.job(new)).state not in states:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return job

    def ended_by(self, number: int) -> Callable[[], bool]:
        """Whether so many attempts have ended."""
        return lambda: len(self.ended) >= number

    def looked_in_vain(self, number: int) -> Callable[[], bool]:
        """Whether the slots have looked for work so often and found none."""
        return lambda: self.in_vain >= number

    async def take_away(self, new: NewJob) -> None:
        """Let a job that is worked on be lost; a heartbeat in between would keep it once more."""
        lost = 0
        async with asyncio.timeout(30):
            while not lost:
                key = job_key(new.tenant, new.id)
                await self.bench.store.commands.zadd("rw:jobs:leases", {key: 1})
                lost = (await self.bench.ledger.reap()).lost

    def _looked(self, _seconds: float, claim: Claim | None) -> None:
        self.in_vain += claim is None

    def _note(self, claim: Claim, ended: Ended) -> None:
        self.claims.append(claim)
        self.ended.append(ended)


async def soon(is_so: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for something in this process."""
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110 - it is a value, not an event
            await asyncio.sleep(0.01)


class Slow:
    """A step that starts, and ends when it is let go."""

    def __init__(self) -> None:
        self.started = 0
        self.stopped = 0
        self.let_go = asyncio.Event()

    async def __call__(self, context: StepContext) -> StepOutput:
        self.started += 1
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        return StepOutput()


def failing(error: BaseException) -> Callable[[StepContext], Awaitable[StepOutput]]:
    """A step that raises."""

    async def step(context: StepContext) -> StepOutput:
        raise error

    return step


async def instant(context: StepContext) -> StepOutput:
    """A step that is done at once."""
    return StepOutput(result={"step": context.step})
