"""The race of ``make bench-jobs``: the same number of jobs that do nothing, through each system.

One lap of an entrant: its workers start and warm up; then all jobs are submitted while they work,
which gives jobs a second from the first submission to the last job's end; then, without workers,
as many are submitted again, which gives submissions a second.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import msgspec

from tests.load.bench_jobs_calls import counting
from tests.load.bench_jobs_entrants import Entrant
from tests.load.bench_jobs_finish import Finish, finish_of
from tests.load.bench_jobs_servers import Servers, cpu_seconds

PATIENCE = 300.0
SAMPLE = 200
"""Jobs after the measured ones, of which every call to Redis is counted."""


class Batch(msgspec.Struct, frozen=True):
    """What a submitter says: when it began, when the last was confirmed, and the ids."""

    began: float
    ended: float
    ids: list[str]


class Lap(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one lap, per second; processor time in milliseconds for each job. ``told`` counts
    a job only when all its events are out as well; the others have no events. ``calls`` are how
    often clients call a command or script of Redis for each job.
    """

    submitted: float
    done: float
    told: float
    cpu_ms: dict[str, float]
    calls: dict[str, float]


class Submitter:
    """The program that submits an entrant's jobs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def submit(self, count: int) -> Batch:
        """Have it submit so many."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{count}\n".encode())
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the program that submits has ended")
        return msgspec.json.decode(line, type=Batch)


@asynccontextmanager
async def submitter(entrant: Entrant, servers: Servers) -> AsyncIterator[Submitter]:
    """A program that submits, as long as the block is open."""
    process = await asyncio.create_subprocess_exec(
        entrant.python,
        *entrant.submit,
        env=entrant.environment(servers),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=64 * 1024 * 1024,
    )
    try:
        yield Submitter(process)
        assert process.stdin
        process.stdin.close()
        await asyncio.wait_for(process.wait(), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def lap(entrant: Entrant, servers: Servers, jobs: int) -> Lap:
    """One lap, on empty servers."""
    servers.empty()
    with tempfile.TemporaryDirectory(prefix="rw-bench-") as folder:
        async with finish_of(entrant, servers) as finish, submitter(entrant, servers) as sender:
            with entrant.working(servers, Path(folder)) as workers:
                pids = {**servers.pids(), "workers": workers, "submitter": [sender.pid]}
                await _run(sender, finish, max(50, jobs // 4))  # warm up
                before = _cpu(pids)
                batch, done, told = await _run(sender, finish, jobs)
                after = _cpu(pids)
                calls = await _calls(sender, finish)
            alone = await sender.submit(jobs)
        await _purge(servers.amqp, entrant.queue)
    return Lap(
        submitted=jobs / (alone.ended - alone.began),
        done=jobs / (done - batch.began),
        told=jobs / (told - batch.began),
        cpu_ms={name: (after[name] - before[name]) * 1000 / jobs for name in pids},
        calls=calls,
    )


async def _run(sender: Submitter, finish: Finish, jobs: int) -> tuple[Batch, float, float]:
    async with asyncio.timeout(PATIENCE):
        batch = await sender.submit(jobs)
        done = await finish.all_done(batch.ids)
        return batch, done, await finish.all_told()


async def _calls(sender: Submitter, finish: Finish) -> dict[str, float]:
    called = Counter[str]()
    async with counting(finish.client, called):
        await _run(sender, finish, SAMPLE)
    return {name: times / SAMPLE for name, times in called.items()}


def _cpu(pids: Mapping[str, list[int]]) -> dict[str, float]:
    return {name: cpu_seconds(each) for name, each in pids.items()}


async def _purge(url: str, queue: str) -> None:
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        await (await channel.get_queue(queue)).purge()
