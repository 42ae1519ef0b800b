"""Submits orders over the bus and minds them, as the gateway and persons do.

What it means to submit it writes down first and what was accepted after, so whoever comes after it
goes on: what may have been sent is sent again under the same ids.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle
from typing import Any, cast

from shared.bus.publisher import Bus
from shared.clock import now_ms
from shared.contracts.base import Query
from shared.contracts.jobs import (
    AdmitJob,
    CancelJob,
    ClearDead,
    DeadFilter,
    ExplainJob,
    GovernPool,
    PauseJob,
    PrioritizeJob,
    ResumeJob,
    RetryJob,
    SubmitJob,
)
from shared.contracts.records import Job
from shared.errors import Rejected, Unavailable
from shared.store.redis import Store
from shared.work.jobs import Jobs
from tests.recovery.parcels import FLOW, Order
from tests.support.checks import TERMINAL

MEANT, ACCEPTED, SETTLED = "test:meant", "test:accepted", "test:settled"
"""Sets of numbers of orders."""
SEEN = "test:seen"
"""Up to when jobs may be forgotten that have ended (milliseconds since the epoch): the clerk has
seen all that ended by then, and wants nothing more of them.
"""
CLOSING = "test:closing"
"""Set when no new orders shall be made."""
OPEN = 20
"""How many orders are under way at a time."""
DELAY_MS = 300
MANY = 50
"""More jobs than ever run in a pool: a limit that changes nothing."""

Question = Query[Any]


def wish(order: Order, job: Job, *, was_paused: bool = False) -> Question | None:
    """What a person would ask for, seeing the job so; nothing when it may go on, or has come to
    the end that this order has.
    """
    if job.state == "paused":
        return ResumeJob(job_id=job.id)
    if is_settled(order, job):
        return None
    if job.state in TERMINAL:
        is_given_up = order.kind == "given_up" and job.state == "failed"
        dead = ClearDead(action="discard", which=DeadFilter(ids=(job.id,)))
        return dead if is_given_up else RetryJob(job_id=job.id)
    is_at_work = job.state == "running" and job.step == "cut"
    if (order.kind == "stopped" and is_at_work) or (order.kind == "withdrawn" and job.epoch == 1):
        return CancelJob(job_id=job.id)
    if order.kind == "rested" and is_at_work and not was_paused:
        return PauseJob(job_id=job.id)
    return None


def is_settled(order: Order, job: Job) -> bool:
    """Whether the job has come to the end that this order has."""
    other = {"stopped": "cancelled", "given_up": "failed", "too_late": "expired"}.get(order.kind)
    is_refused = order.kind == "given_up" and not job.discarded_at
    return job.state == "succeeded" or (job.state == other and not is_refused)


class Clerk:
    """One who stands at the door."""

    def __init__(self, store: Store, bus: Bus) -> None:
        self._redis = store.commands
        self._jobs = Jobs(store)
        self._bus = bus
        self._open: set[int] = set()
        self._unsent: set[int] = set()
        self._paused: set[int] = set()
        self._asking: dict[int, asyncio.Task[None]] = {}

    async def work(self) -> None:
        """Make orders until it is enough; return when all of them are settled."""
        meant = await self._numbers(MEANT)
        self._open = meant - await self._numbers(SETTLED)
        self._unsent = meant - await self._numbers(ACCEPTED)
        following, curious = max(meant, default=0), self._curiosities()
        while self._open or not await self._redis.exists(CLOSING):
            while len(self._open) < OPEN and not await self._redis.exists(CLOSING):
                following += 1
                await self._redis.sadd(MEANT, following)
                self._open.add(following)
                self._unsent.add(following)
            await self._send_all()
            await self._mind()
            self._begin(0, Order(0), next(curious))
            await asyncio.sleep(0.03)

    async def _send_all(self) -> None:
        """Whatever was not taken is sent again, next time."""
        for number in sorted(self._unsent):
            with suppress(Unavailable):
                await self._send(Order(number))
                self._unsent.discard(number)

    async def _send(self, order: Order) -> None:
        admit = AdmitJob(job_id=order.job_id, flow=FLOW)
        assert (await self._bus.ask(admit, tenant=order.tenant, timeout=1.0)).admitted
        soon = now_ms() + DELAY_MS
        submit = SubmitJob(
            job_id=order.job_id,
            flow=FLOW,
            subject=order.subject,
            params=order.params,
            due_at={"later": soon, "too_late": soon + 3_600_000}.get(order.kind, 0),
            expires_at=soon if order.kind == "too_late" else 0,
        )
        await self._bus.send(submit, tenant=order.tenant, id=f"submit-{order.number}")
        await self._redis.sadd(ACCEPTED, order.number)

    async def _mind(self) -> None:
        seen = now_ms()
        for number in sorted(self._open):
            order = Order(number)
            job = await self._jobs.get(order.tenant, order.job_id)
            if job is None:
                continue
            if is_settled(order, job):
                await self._redis.sadd(SETTLED, number)
                self._open.discard(number)
            elif wanted := wish(order, job, was_paused=number in self._paused):
                seen = min(seen, job.finished_at - 1 if job.finished_at else seen)
                self._begin(number, order, wanted)
        await self._redis.set(SEEN, seen)

    def _begin(self, number: int, order: Order, query: Question) -> None:
        if number not in self._asking:
            self._asking[number] = asyncio.create_task(self._ask(number, order, query))

    async def _ask(self, number: int, order: Order, query: Question) -> None:
        """Ask once; what was refused or not answered is looked at again."""
        try:
            with suppress(Rejected, Unavailable):
                await self._bus.ask(query, tenant=order.tenant, timeout=1.0)
                if isinstance(query, PauseJob):
                    self._paused.add(number)
        finally:
            del self._asking[number]

    def _curiosities(self) -> Iterator[Question]:
        """What somebody asks for every now and then, about any job of the first tenant."""
        for kind in cycle((ExplainJob, PrioritizeJob, GovernPool)):
            if kind is GovernPool:
                yield GovernPool(pool="media", limit=MANY)
                continue
            evens = [number for number in self._open if number % 2 == 0] or [0]
            job_id = Order(random.choice(evens)).job_id
            yield (
                ExplainJob(job_id=job_id)
                if kind is ExplainJob
                else PrioritizeJob(job_id=job_id, base=random.choice((50, 60)))
            )

    async def _numbers(self, name: str) -> set[int]:
        members = cast("set[bytes]", await self._redis.smembers(name))
        return {int(member) for member in members}
