"""Sees when the jobs of ``make bench-jobs`` are done, by what each system leaves in Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import redis.asyncio as aioredis

from shared.store.outbox import RedisOutbox
from shared.store.redis import Store, open_redis
from shared.tenancy import tenant_id
from shared.work.jobs import Jobs
from tests.load.bench_jobs_calls import LOOKER
from tests.load.bench_jobs_entrants import Entrant
from tests.load.bench_jobs_servers import Servers

LOOK = 0.005
ENDED = {"succeeded", "failed", "cancelled", "expired"}


class Finish(Protocol):
    """Sees when jobs are done. ``client`` is one of their database."""

    client: aioredis.Redis

    async def all_done(self, ids: list[str]) -> float:
        """When the last of these was done, in seconds since the epoch."""
        ...

    async def all_told(self) -> float:
        """When nothing more had to be said."""
        ...


class Results:
    """Sees one key for each result, as Celery and taskiq leave them in a database of their own."""

    def __init__(self, store: Store) -> None:
        self.client = store.commands
        self._seen = 0

    async def all_done(self, ids: list[str]) -> float:
        self._seen += len(ids)
        while await self.client.dbsize() < self._seen:  # noqa: ASYNC110 - it is in Redis
            await asyncio.sleep(LOOK)
        return time.time()

    async def all_told(self) -> float:
        return time.time()


class Records:
    """Sees the records of Reelway's jobs, which say when they ended, and its outbox."""

    def __init__(self, store: Store) -> None:
        self.client = store.commands
        self._jobs = Jobs(store)
        self._outbox = RedisOutbox(store, "jobs")

    async def all_done(self, ids: list[str]) -> float:
        ends = [await self._end(*each.split()) for each in reversed(ids)]
        return max(ends) / 1000

    async def all_told(self) -> float:
        while await self._outbox.length():  # noqa: ASYNC110 - it is in Redis
            await asyncio.sleep(LOOK)
        return time.time()

    async def _end(self, tenant: str, job_id: str) -> int:
        while True:
            job = await self._jobs.get(tenant_id(tenant), job_id)
            if job is not None and job.state in ENDED:
                assert job.state == "succeeded", job
                return job.finished_at
            await asyncio.sleep(LOOK)


@asynccontextmanager
async def finish_of(entrant: Entrant, servers: Servers) -> AsyncIterator[Finish]:
    """What sees the jobs of this entrant end."""
    url = servers.database(entrant.database)
    async with open_redis(f"{url}?client_name={LOOKER}") as store:
        yield Records(store) if entrant.system == "reelway" else Results(store)
