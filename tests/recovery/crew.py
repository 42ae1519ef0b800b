"""Those who work at the crash points: each function is a process of its own.

A ``desk`` is what the jobs service is without its worker: handlers, relay, reaper. A ``worker``
works for both pools. The ``door`` submits jobs and minds them, as the gateway and persons do;
``chores`` are what else they do. All of them are the product's own parts; the steps and the orders
are of :mod:`tests.recovery.parcels`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from services.jobs.firing import Firing, fire_forever
from services.jobs.flows import FLOWS
from services.jobs.handlers import JobHandlers
from services.jobs.reaper import reap_forever
from shared.blobs.store import Blobs, open_blobs
from shared.bus.connect import connect
from shared.bus.consumer import Consumer
from shared.bus.outbox import Relay
from shared.bus.outcomes import RetryPolicy as Redelivery
from shared.bus.publisher import Bus
from shared.bus.transport import Transport
from shared.clock import now_ms
from shared.errors import Unavailable
from shared.faults import installed
from shared.store.outbox import RedisOutbox
from shared.store.records import Records
from shared.store.redis import Store, open_redis
from shared.work.failures import RetryPolicy
from shared.work.governor import Governor
from shared.work.jobs import Jobs
from shared.work.ledger import Ledger
from shared.work.results import Results
from shared.work.reuse import Reuse
from shared.work.schedules import Schedules
from shared.work.worker import Worker
from tests.recovery.audit import AUDIT, audit_router
from tests.recovery.chores import do_chores
from tests.recovery.clerk import SEEN, Clerk
from tests.recovery.parcels import FLOW, PARCEL, POOLS, RECIPES, steps
from tests.recovery.timetable import allow_repeats
from tests.support.strikes import Board, Strikes

LEASE = 1.0
FORGET_MS = 6000
"""How long jobs are remembered that have ended."""


@dataclass(frozen=True)
class World:
    """What a process has opened."""

    store: Store
    transport: Transport
    blobs: Blobs
    folder: Path
    leaving: asyncio.Event

    @property
    def ledger(self) -> Ledger:
        """The ledger of work."""
        return Ledger(self.store, lease_ms=int(LEASE * 1000))


@asynccontextmanager
async def _opened(redis: str, amqp: str, folder: str, name: str) -> AsyncIterator[World]:
    leaving, home = asyncio.Event(), Path(folder)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leaving.set)
    cast("dict[str, Any]", FLOWS)[FLOW] = PARCEL
    allow_repeats()
    async with AsyncExitStack() as stack:
        stack.enter_context(installed(Strikes(Board(home / "board"), latest=LEASE * 1.5)))
        store = await stack.enter_async_context(open_redis(redis))
        transport = await stack.enter_async_context(connect(amqp, name=f"{name}-{os.getpid()}"))
        blobs = open_blobs((home / "blobs").as_uri())
        yield World(store, transport, blobs, home, leaving)


async def desk(**place: str) -> None:
    """Take commands and questions, publish what the ledger says, bring lost jobs back."""
    async with _opened(name="desk", **place) as world, AsyncExitStack() as stack:
        governor, records = Governor(world.store), Records(world.store, "jobs")
        handlers = JobHandlers(
            ledger=world.ledger,
            governor=governor,
            jobs=Jobs(world.store),
            records=records,
            blobs=world.blobs,
        )
        for router in (handlers.router(), audit_router(Records(world.store, AUDIT))):
            policy = Redelivery(attempts=20, first=0.1, longest=0.5)
            consumer = Consumer(world.transport, router, policy=policy)
            await stack.enter_async_context(consumer.running())
        outbox = RedisOutbox(world.store, "jobs")
        relay = Relay(world.transport, outbox, "jobs", lease=LEASE)
        firing = Firing(Schedules(world.store), records)
        for loop in (
            relay.run(),
            reap_forever(world.ledger, every=0.2),
            fire_forever(firing, every=0.3),
            _forget(world.store, governor),
        ):
            await stack.enter_async_context(_beside(world, loop))
        await world.leaving.wait()


async def _forget(store: Store, governor: Governor) -> None:
    while True:
        with suppress(Unavailable):
            seen = int(await store.commands.get(SEEN) or 0)
            await governor.forget(min(seen, now_ms() - FORGET_MS))
        await asyncio.sleep(0.3)


@asynccontextmanager
async def _beside(world: World, loop: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a loop beside the block. One that fails ends the process: it is never quietly missing."""
    task = asyncio.create_task(loop)
    task.add_done_callback(lambda _: world.leaving.set())
    try:
        yield
    finally:
        while not task.done():  # as the host does: a cancellation may be lost in an outage
            task.cancel()
            await asyncio.wait({task}, timeout=0.5)
        if not task.cancelled():
            task.result()


async def worker(**place: str) -> None:
    """Work at both pools until told to leave."""
    async with _opened(name="worker", **place) as world, AsyncExitStack() as stack:
        table = steps(Records(world.store, "drive"))
        reuse = Reuse(recipes=RECIPES, results=Results(world.store))
        for pool, slots in POOLS.items():
            one = Worker(
                name=f"{pool}-{os.getpid()}",
                pool=pool,
                steps=table,
                ledger=world.ledger,
                blobs=world.blobs,
                transport=world.transport,
                scratch=world.folder / "scratch" / str(os.getpid()),
                slots=slots,
                policy=RetryPolicy(base=0.1),
                reuse=reuse,
                look_every=(0.2, 0.4),
            )
            await stack.enter_async_context(one.running(grace=5.0))
        await world.leaving.wait()


async def door(**place: str) -> None:
    """Submit jobs and mind them, until told that it is enough and all of them have ended."""
    async with _opened(name="door", **place) as world, Bus(world.transport, "gateway") as bus:
        while True:
            try:
                return await Clerk(world.store, bus).work()
            except Unavailable:
                await asyncio.sleep(0.2)  # the machine may stall for longer than a store is given


async def chores(**place: str) -> None:
    """Do what else there is to do, until told to leave."""
    async with _opened(name="chores", **place) as world, _beside(world, do_chores(world.store)):
        await world.leaving.wait()
