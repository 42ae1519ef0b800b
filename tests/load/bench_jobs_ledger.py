"""The ledger alone, for ``make bench-jobs``: how long a claim takes when many jobs wait, and what
a job that waits takes of Redis' memory.

The jobs are those of ``process_video`` as drive asks for them, over many tenants, in the bases of
all three tiers, half of them under a law of ageing that is quick enough for their ages to differ.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec

from services.jobs.flows import DRIVE, FLOWS
from shared.contracts.records import Artifact, StepOutput
from shared.ids import new_id
from shared.store.outbox import RedisOutbox
from shared.store.redis import Store
from shared.tenancy import tenant_id
from shared.work.ledger import Claim, Ledger, NewJob
from shared.work.priority import Boost
from shared.work.resources import Capacity, amounts
from tests.load.bench_jobs_calls import Seconds, timing
from tests.load.bench_jobs_line import IN_FLIGHT
from tests.load.bench_jobs_memory import Kind, kinds

TENANTS = 200
BASES = (50, 70, 90)
LEASE_MS = 60_000
STEPS = FLOWS["process_video"]
ROOM = Capacity({name: 1 << 30 for step in STEPS for name in amounts(step.needs)})
"""Enough of everything that a step needs."""

AGEING = (Boost(), Boost(step_seconds=2))
LOGGED = 100
"""Rounds between two looks into Redis' log."""

TRACE = '{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}'


Answer = TypeVar("Answer")


class Spread(msgspec.Struct, frozen=True):
    """Milliseconds: the middle, and what one in a hundred is above."""

    p50: float
    p99: float


class Depth(msgspec.Struct, frozen=True, kw_only=True):
    """Figures with so many jobs waiting. ``seen`` is around the round trip to Redis, with ``ping``
    beside it for what the way alone takes; ``inside`` is what Redis itself took, by script.
    """

    queued: int
    submits_per_second: float
    claims_per_second: float
    bytes_per_job: float
    kinds: list[Kind]
    seen: dict[str, Spread]
    inside: dict[str, Spread]


def jobs() -> Iterator[NewJob]:
    """Jobs without end."""
    for number in itertools.count():
        yield NewJob(
            id=new_id(),
            tenant=tenant_id(f"t{number % TENANTS}"),
            flow="process_video",
            subject=new_id(),
            base=BASES[number % len(BASES)],
            steps=STEPS,
            params={"upload_id": new_id(), "name": "Holiday 2026, part 3.mp4", "size": 734_003_200},
            boost=AGEING[number % len(AGEING)],
            correlation=new_id(),
            trace=TRACE,
        )


@asynccontextmanager
async def relaying(store: Store) -> AsyncIterator[None]:
    """Take what the ledger says out of its outbox, as the relay does; all of it at the end."""
    outbox = RedisOutbox(store, "jobs")
    task = asyncio.create_task(_drain(outbox))
    try:
        yield
        while await outbox.length():  # noqa: ASYNC110 - it is in Redis
            await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _drain(outbox: RedisOutbox) -> None:
    while True:
        if entries := await outbox.read("0", 1000, 0.05):
            await outbox.done([entry.position for entry in entries])


async def fill(ledger: Ledger, source: Iterator[NewJob], count: int) -> float:
    """Submit so many; answers how many a second."""
    wanted = itertools.islice(source, count)

    async def submitter() -> None:
        for new in wanted:
            await ledger.submit(new)

    began = time.perf_counter()
    await asyncio.gather(*(submitter() for _ in range(IN_FLIGHT)))
    return count / (time.perf_counter() - began)


async def memory(store: Store) -> int:
    """What Redis uses, once it is through with rewriting its file."""
    while True:
        persistence = await store.commands.info("persistence")
        if not persistence["aof_rewrite_in_progress"] and not persistence["aof_rewrite_scheduled"]:
            used = await store.commands.info("memory")
            return int(used["used_memory"])
        await asyncio.sleep(0.1)


async def measure(store: Store, queued: int, rounds: int) -> Depth:
    """Fill an empty store, then claim and hand on so many jobs, each replaced by a new one."""
    ledger, source = Ledger(store, lease_ms=LEASE_MS), jobs()
    await fill(ledger, source, 1)  # connections, scripts
    await _settled(store)
    before = await memory(store)
    async with relaying(store):
        rate = await fill(ledger, source, queued)
    held = await memory(store) - before
    found = await kinds(store, queued)
    gc.freeze()  # what the filling left would be looked through again and again
    seen, inside = await _rounds(store, ledger, source, rounds)
    return Depth(
        queued=queued,
        submits_per_second=rate,
        claims_per_second=await _claims_per_second(ledger, min(rounds, queued // 2)),
        bytes_per_job=held / queued,
        kinds=found,
        seen={name: spread(each) for name, each in seen.items()},
        inside={name: spread(each) for name, each in inside.items()},
    )


async def _settled(store: Store) -> None:
    async with relaying(store):
        pass


async def _rounds(
    store: Store, ledger: Ledger, source: Iterator[NewJob], rounds: int
) -> tuple[Seconds, Seconds]:
    """How long each call took with one claimer, around the way and inside Redis."""
    seen, inside = Seconds(list), Seconds(list)
    for _ in range(0, rounds, LOGGED):
        async with timing(store.commands, inside):
            for _ in range(LOGGED):
                await _round(store, ledger, source, seen)
        await _settled(store)
    return seen, inside


async def _round(store: Store, ledger: Ledger, source: Iterator[NewJob], seen: Seconds) -> None:
    await timed(seen["ping"], store.ping())
    claim = await timed(seen["claim"], claimed(ledger))
    await timed(seen["advance"], hand_on(ledger, claim))
    await timed(seen["submit"], ledger.submit(next(source)))


async def timed(into: list[float], call: Awaitable[Answer]) -> Answer:
    """What a call answers; how long it took goes into the list."""
    began = time.perf_counter()
    answer = await call
    into.append(time.perf_counter() - began)
    return answer


async def claimed(ledger: Ledger) -> Claim:
    """The best job of drive's pool."""
    claim = await ledger.claim(DRIVE, "bench", new_id(), ROOM)
    assert claim is not None, "something keeps waiting jobs from being claimed"
    return claim


async def hand_on(ledger: Ledger, claim: Claim) -> None:
    """The first step is done, the next belongs to another pool."""
    key, digest = f"t1/files/{new_id()}/original", "0" * 64
    stored = Artifact(name="original", key=key, size=734_003_200, sha256=digest)
    answer = await ledger.advance(claim, claim.job.step, StepOutput(artifacts=(stored,)), 0.07)
    assert answer == "handed", answer


async def _claims_per_second(ledger: Ledger, count: int) -> float:
    """With many claimers, each of which hands on what it got."""
    numbers = iter(range(count))

    async def claimer() -> None:
        for _ in numbers:
            await hand_on(ledger, await claimed(ledger))

    began = time.perf_counter()
    await asyncio.gather(*(claimer() for _ in range(IN_FLIGHT)))
    return count / (time.perf_counter() - began)


def spread(seconds: list[float]) -> Spread:
    """Of these, in milliseconds."""
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return Spread(p50=ordered[last // 2] * 1000, p99=ordered[round(last * 0.99)] * 1000)
