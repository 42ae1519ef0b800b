"""The relay: publishes what a service's scripts have left in its outbox.

The outbox is a stream in the service's own store. One relay at a time has its lease and publishes
everything from its beginning: entries of one ``key`` one after the other, different keys side by
side; entries with ``merge`` go together, as many as wait, as elements of that field of one message.
An entry is removed once the carrier has taken responsibility for it, many at a time and
beside the publishing; whatever was not removed yet when a relay died is published again by the
next, in the same order and under the same message ids.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import KW_ONLY, dataclass, field

from shared.bus.envelope import Envelope
from shared.bus.outbox_entries import Entry, OutboxStream, envelope_of, lane_of, together
from shared.bus.transport import Transport
from shared.clock import Clock, now_ms
from shared.errors import Invalid, Unavailable
from shared.faults import through

log = logging.getLogger(__name__)

BATCH = 200
LEASE_SECONDS = 5.0
RENEW_EVERY = 0.2
"""Of the lease; it is renewed between two reads."""
WAIT_SECONDS = 1.0
"""How long one read waits for news."""
FIRST_REST = 0.2
LONGEST_REST = 5.0
LINGER = 0.004
"""Seconds before the next read when there was little: what comes meanwhile is read together."""
LAG_EVERY = 0.5
TELL_EVERY = 30.0
"""Seconds between two lines of one relay that say the same: that something it needs is away."""


async def _nobody(_: Envelope) -> None:
    """Nobody is told."""


def _nothing(_: float) -> None:
    """Nobody is told."""


@dataclass(eq=False)
class Relay:
    """Publishes an outbox for as long as :meth:`run` runs, at most ``in_flight`` at a time and
    with at most ``window`` entries in memory.

    ``around`` is entered for every try to hand an envelope over, gives the one to send, and sees
    how that ended. ``relayed`` is told of every envelope whose entries have been removed, in the
    order of its key. ``lagging`` hears at least once a second how many seconds the oldest entry
    has waited.
    """

    transport: Transport
    stream: OutboxStream
    service: str
    _: KW_ONLY
    in_flight: int = 200
    window: int = 2000
    lease: float = LEASE_SECONDS
    around: Callable[[Envelope], AbstractContextManager[Envelope]] = nullcontext
    relayed: Callable[[Envelope], Awaitable[None]] = _nobody
    lagging: Callable[[float], None] = _nothing
    clock: Clock = now_ms
    _told: float = field(default=-math.inf, init=False)
    _renew_at: float = field(default=-math.inf, init=False)
    _lag_at: float = field(default=-math.inf, init=False)

    async def run(self) -> None:
        """Relay until cancelled; outages are waited out."""
        try:
            while True:
                await self._lead()
                await asyncio.sleep(WAIT_SECONDS)
        finally:
            with suppress(Unavailable):
                await self.stream.release()

    async def _lead(self) -> None:
        """Publish while the lease is ours and the store is there."""
        try:
            self._renew_at = -math.inf
            if not await self._keep_lease():
                self.lagging(0.0)  # the relay that has the lease knows
                return
            async with asyncio.TaskGroup() as group:
                await self._feed(_Lanes(self, group))
        except* Unavailable as lost:
            self.held(", ".join(str(error) for error in lost.exceptions))
        # Before Python 3.13 a group whose task fails forgets a cancellation that comes just then.
        if (task := asyncio.current_task()) and task.cancelling():
            raise asyncio.CancelledError

    def held(self, reason: str) -> None:
        """Say that entries wait; not for each of them, and not all the time."""
        now = asyncio.get_running_loop().time()
        level = logging.WARNING if now - self._told >= TELL_EVERY else logging.DEBUG
        if level == logging.WARNING:
            self._told = now
        extra = {"action": "outbox_held"}
        log.log(level, "the outbox of %s waits: %s", self.service, reason, extra=extra)

    async def persist(self, act: Callable[[], Awaitable[None]]) -> None:
        """Do it again and again while what it needs is away."""
        rest = FIRST_REST
        while True:
            try:
                return await act()
            except Unavailable as error:
                self.held(str(error))
            await asyncio.sleep(rest * random.uniform(0.5, 1.0))
            rest = min(rest * 2, LONGEST_REST)

    async def _feed(self, lanes: _Lanes) -> None:
        after = "0"
        try:
            while await self._keep_lease():
                after = await self._read(lanes, after)
        finally:
            with suppress(Unavailable):
                await lanes.remove()
        raise Unavailable("another relay has the lease")

    async def _keep_lease(self) -> bool:
        """Renew the lease when it is time to; whether it is ours."""
        now = asyncio.get_running_loop().time()
        if now < self._renew_at:
            return True
        self._renew_at = now + self.lease * RENEW_EVERY
        return await self.stream.hold(self.lease)

    async def _read(self, lanes: _Lanes, after: str) -> str:
        """Take what comes next, if there is room; answers how far it has read."""
        self._tell_lag(lanes)
        if lanes.loaded >= self.window:
            await lanes.wait_for_room(WAIT_SECONDS)
            return after
        entries = await self.stream.read(after, BATCH, WAIT_SECONDS)
        for entry in entries:
            lanes.add(entry)
        if 0 < len(entries) < BATCH:
            await asyncio.sleep(LINGER)
        return entries[-1].position if entries else after

    def _tell_lag(self, lanes: _Lanes) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._lag_at:
            self._lag_at = now + LAG_EVERY if lanes.loaded else now
            self.lagging(lanes.lag(self.clock()))


@dataclass(eq=False)
class _Lanes:
    """Entries in memory: one lane per key, each emptied by a task of its own. What the carrier has
    is removed together, so that no entry waits for the removal of the one before.
    """

    relay: Relay
    group: asyncio.TaskGroup
    loaded: int = 0
    _lanes: dict[str, deque[Entry]] = field(default_factory=dict)
    _published: list[tuple[Sequence[Entry], Envelope]] = field(default_factory=list)
    _left: asyncio.Event = field(default_factory=asyncio.Event)
    _sweeper: asyncio.Task[None] | None = None
    _slots: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.relay.in_flight)

    def add(self, entry: Entry) -> None:
        """Queue an entry behind the others of its key."""
        key = lane_of(entry)
        self.loaded += 1
        if key in self._lanes:
            self._lanes[key].append(entry)
            return
        self._lanes[key] = deque([entry])
        self.group.create_task(self._empty(key))

    def lag(self, now: int) -> float:
        """How many seconds the oldest entry has waited; 0 when there is none."""
        waiting = (int(lane[0].position.partition("-")[0]) for lane in self._lanes.values())
        return max(0, now - min(waiting, default=now)) / 1000

    async def wait_for_room(self, seconds: float) -> None:
        """Wait until entries have left, or that long."""
        self._left.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._left.wait()

    async def remove(self) -> None:
        """Remove what was published, and tell of it."""
        batch, self._published = self._published, []
        if not batch:
            return
        try:
            positions = [entry.position for entries, _ in batch for entry in entries]
            await self.relay.stream.done(positions)
        except BaseException:
            self._published[:0] = batch
            raise
        self._leave(len(positions))
        by_key: dict[str, list[Envelope]] = {}
        for entries, envelope in batch:
            by_key.setdefault(lane_of(entries[0]), []).append(envelope)
        await asyncio.gather(*(self._tell(envelopes) for envelopes in by_key.values()))

    async def _tell(self, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            await self.relay.relayed(envelope)

    async def _empty(self, key: str) -> None:
        lane = self._lanes[key]
        while lane:
            entries = together(lane)
            await self._relay(entries)
            for _ in entries:
                lane.popleft()
        del self._lanes[key]

    async def _relay(self, entries: Sequence[Entry]) -> None:
        try:
            envelope = envelope_of(entries[0], self.relay.service, entries[1:])
            await self.relay.persist(lambda: self._publish(envelope))
        except (Invalid, ValueError) as error:
            await self._without_bad(entries, str(error))
        else:
            self._published.append((entries, envelope))
            if self._sweeper is None:
                self._sweeper = self.group.create_task(self._sweep())

    async def _without_bad(self, entries: Sequence[Entry], reason: str) -> None:
        """Set what is no message aside; of several that were to be one, only those that are bad."""
        if len(entries) > 1:
            for entry in entries:
                await self._relay([entry])
            return
        bad, stream, service = entries[0], self.relay.stream, self.relay.service
        extra = {"action": "outbox_bad"}
        log.error("%s of %s is bad: %s", bad.position, service, reason, extra=extra)
        await self.relay.persist(lambda: stream.set_aside(bad, reason))
        self._leave(1)

    async def _publish(self, envelope: Envelope) -> None:
        async with self._slots:
            with self.relay.around(envelope) as sent:
                await through("relay:publish", lambda: self.relay.transport.publish(sent))

    async def _sweep(self) -> None:
        """Remove what was published; what is published meanwhile makes the next lot."""
        while self._published:
            await self.relay.persist(self.remove)
        self._sweeper = None

    def _leave(self, number: int) -> None:
        self.loaded -= number
        self._left.set()
