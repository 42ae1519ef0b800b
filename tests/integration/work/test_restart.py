"""A store that is killed and started again under a worker."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.contracts.records import StepOutput
from shared.errors import Unavailable
from shared.store.redis import open_redis
from shared.work.context import StepContext
from tests.integration.work.bench import Bench, programs
from tests.integration.work.shop import Shop, soon
from tests.support.processes import Process, free_port, redis_answers


class Durable:
    """A Redis that keeps what it acknowledged, to be killed."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/1"
        self._folder = folder
        self.start()

    def start(self) -> None:
        program = next(iter(programs().values()))
        options = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self._folder)}
        options |= {"appendonly": "yes", "appendfsync": "always", "save": ""}
        command = [program, *(part for key, text in options.items() for part in (f"--{key}", text))]
        self._process = Process(command, dict(os.environ), self._folder / "redis.log")
        self._process.until(lambda: redis_answers("127.0.0.1", self.port))

    def kill(self) -> None:
        self._process.end(signal.SIGKILL)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Durable]:
    (tmp_path / "redis").mkdir()
    durable = Durable(tmp_path / "redis")
    yield durable
    durable.kill()


async def test_a_store_that_is_killed_costs_neither_worker_nor_job(
    server: Durable, tmp_path: Path
) -> None:
    async with open_redis(server.url) as store:
        shop = Shop(Bench(store), tmp_path / "scratch")
        let_go = asyncio.Event()
        runs = 0

        async def step(context: StepContext) -> StepOutput:
            nonlocal runs
            runs += 1
            await context.progress(0.1, "begun")
            await let_go.wait()
            await context.progress(1.0, "told to nobody")
            return StepOutput()

        new = await shop.bench.submit("media", "media")
        async with shop.worker(step, slots=2).running():
            await shop.until(new, "running")
            server.kill()
            let_go.set()
            await asyncio.sleep(1.0)
            with pytest.raises(Unavailable):
                await shop.bench.job(new)
            await asyncio.to_thread(server.start)
            job = await shop.until(new, "succeeded", seconds=60)
            assert (job.lost, job.attempt, job.interrupts) == (0, 0, 0)
            await shop.until(await shop.bench.submit("media"), "succeeded")
        assert runs == 3


async def test_a_write_of_a_step_that_failed_with_the_store_gives_the_job_back(
    server: Durable, tmp_path: Path
) -> None:
    async with open_redis(server.url) as store:
        shop = Shop(Bench(store), tmp_path / "scratch")
        runs = 0

        async def step(context: StepContext) -> StepOutput:
            nonlocal runs
            runs += 1
            if runs == 1:
                server.kill()
            await context.checkpoint({"n": runs})
            return StepOutput()

        new = await shop.bench.submit("media")
        async with shop.worker(step).running():
            await soon(lambda: runs)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(server.start)
            job = await shop.until(new, "succeeded", seconds=60)
            await soon(shop.ended_by(2))  # before it leaves: the answer may still be on its way
        assert (job.lost, job.attempt, job.interrupts) == (0, 0, 1)
        assert [ended.state for ended in shop.ended] == ["ready", "succeeded"]
