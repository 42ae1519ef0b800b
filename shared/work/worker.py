"""A worker of one pool: as many slots as may run at once, each claiming the best job there is.

Tickets only wake it. It also looks by itself every few seconds, so a lost ticket costs seconds
and a doubled one a look in vain.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import msgspec

from shared.blobs.store import Blobs
from shared.bus.envelope import Envelope, decode
from shared.bus.transport import Queue, Transport
from shared.clock import now_ms
from shared.contracts.base import kind_of
from shared.contracts.jobs import JobControl, Ring
from shared.errors import Unavailable, Undecodable
from shared.ids import new_id
from shared.work.attempt import Attempt
from shared.work.context import StepFunction
from shared.work.failures import RetryPolicy
from shared.work.ledger import Claim, Ledger
from shared.work.observer import Observer
from shared.work.resources import Capacity
from shared.work.reuse import Reuse

_log = logging.getLogger(__name__)
_RING_SECONDS = 2.0


class Worker:
    """Runs the steps of one pool in this process."""

    def __init__(  # noqa: PLR0913 - the parts of a worker, put together once per service
        self,
        *,
        name: str,
        pool: str,
        steps: Mapping[str, StepFunction],
        ledger: Ledger,
        blobs: Blobs,
        transport: Transport,
        scratch: Path,
        slots: int = 1,
        policy: RetryPolicy | None = None,
        observer: Observer | None = None,
        capacity: Capacity | None = None,
        reuse: Reuse | None = None,
        look_every: tuple[float, float] = (2.0, 5.0),
    ) -> None:
        self._name = name
        self._pool = pool
        self._steps = steps
        self._ledger = ledger
        self._blobs = blobs
        self._transport = transport
        self._scratch = scratch
        self._slots = slots
        self._policy = policy or RetryPolicy()
        self._observer = observer or Observer()
        self._capacity = capacity or Capacity()
        self._reuse = reuse
        self._asking = asyncio.Lock()
        self._look_every = look_every
        self._bell = asyncio.Event()
        self._leaving = asyncio.Event()
        self._attempts: set[Attempt] = set()
        self._ringing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self, grace: float = 20.0) -> AsyncIterator[None]:
        """Work while the block is open. At its end no new job is taken, and those in hand are
        given back to their place in line, within ``grace`` seconds.
        """
        async with asyncio.TaskGroup() as tasks:
            loops = [tasks.create_task(self._slot(), name=f"slot {n}") for n in range(self._slots)]
            ears = [
                tasks.create_task(self._listen_to_rings(), name=f"ring {self._pool}"),
                tasks.create_task(self._listen_to_control(), name=f"control {self._pool}"),
            ]
            try:
                yield
            finally:
                self._leave()
                await asyncio.wait(loops, timeout=grace)
                for task in (*loops, *ears, *self._ringing):
                    task.cancel()

    def _leave(self) -> None:
        self._leaving.set()
        self._bell.set()
        for attempt in self._attempts:
            attempt.leave()

    async def _slot(self) -> None:
        request, was_idle = new_id(), False
        while not self._leaving.is_set():
            self._bell.clear()
            async with AsyncExitStack() as taken:
                try:
                    asked_at, claim = await self._claim(request, taken)
                except Unavailable:
                    await self._wait()  # the same request again: the claim may have been made
                    continue
                request = new_id()
                if claim is not None:
                    self._bell.set()  # one ring may stand for several jobs: let others look too
                    self._pass_on(was_idle=was_idle)
                    was_idle = False
                    await self._attempt(claim, asked_at)
                    continue
            await self._wait()
            was_idle = True

    async def _claim(self, request: str, taken: AsyncExitStack) -> tuple[float, Claim | None]:
        """Ask for a job that fits, one slot at a time: what one is given, the next has not free.
        Answers when that was, too.
        """
        async with self._asking:
            began = time.monotonic()
            claim = await self._ledger.claim(self._pool, self._name, request, self._capacity)
            self._observer.claimed(time.monotonic() - began, claim)
            if claim is not None:
                taken.enter_context(self._capacity.taking(claim.job.needs))
        return began, claim

    async def _attempt(self, claim: Claim, asked_at: float) -> None:
        attempt = Attempt(
            claim=claim,
            asked_at=asked_at,
            ledger=self._ledger,
            blobs=self._blobs,
            steps=self._steps,
            policy=self._policy,
            scratch=self._scratch,
            observer=self._observer,
            reuse=self._reuse,
        )
        self._attempts.add(attempt)  # two of one job, where a lost one still stops
        if self._leaving.is_set():
            attempt.leave()
        try:
            with self._observer.attempt(claim):
                await attempt.run()
        finally:
            self._attempts.remove(attempt)

    def _pass_on(self, *, was_idle: bool) -> None:
        """When a ring has given the last free slot something to do, wake another worker. Who goes
        from job to job has been woken by nobody, and looks again by itself.
        """
        if was_idle and len(self._attempts) + 1 >= self._slots:
            ringing = asyncio.create_task(self._ring())
            self._ringing.add(ringing)
            ringing.add_done_callback(self._ringing.discard)

    async def _ring(self) -> None:
        body = msgspec.json.encode(Ring(pool=self._pool))
        ring = Envelope(
            id=(ring_id := new_id()),
            kind=kind_of(Ring),
            tenant="",
            sort="ring",
            correlation=ring_id,
            sent_at=now_ms(),
            to=self._pool,
            body=msgspec.Raw(body),
        )
        with suppress(Unavailable, TimeoutError):  # they look by themselves, every few seconds
            async with asyncio.timeout(_RING_SECONDS):
                await self._transport.publish(ring)

    async def _wait(self) -> None:
        """Until the bell rings, or it is time to look anyway."""
        if self._leaving.is_set():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(*self._look_every)):
                await self._bell.wait()

    async def _listen_to_rings(self) -> None:
        queue = Queue(name=self._pool, kinds=(), style="ring", prefetch=1)
        async with self._transport.subscribe(queue) as tickets:
            async for ticket in tickets:
                self._bell.set()
                await ticket.ack()

    async def _listen_to_control(self) -> None:
        queue = Queue(name=f"control-{self._pool}", kinds=(kind_of(JobControl),), style="fanout")
        async with self._transport.subscribe(queue) as messages:
            async for message in messages:
                self._tell(message.raw)

    def _tell(self, raw: bytes) -> None:
        try:
            job_id = msgspec.json.decode(decode(raw).body, type=JobControl).job_id
        except (Undecodable, msgspec.DecodeError) as error:
            _log.warning("a control message could not be read: %s", error)
            return
        for attempt in self._attempts:
            if attempt.claim.job.id == job_id:
                attempt.look()
