"""Following jobs: a bell from the bus says that something changed, a stream in the store says what.

The stream is the only source of states, for replay and for live events alike, so there is nothing
to stitch together: a lost or doubled bell costs time, never an event. Without any bell the stream
is looked at every few seconds. Only progress, for those who follow a tenant, is told by the bus.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest

import msgspec

from services.gateway.board import Board
from services.gateway.entries import Entry, Position, of_bell, of_job, of_tenant
from services.gateway.tail import Tail
from shared.bus.envelope import decode
from shared.bus.transport import Queue, Transport
from shared.contracts.base import kind_of
from shared.contracts.jobs import JobChange, JobsChanged
from shared.errors import Unavailable, Undecodable
from shared.tenancy import TenantId
from shared.work.jobs import Jobs
from shared.work.tenant_events import TenantEvents

LOOK_EVERY = 5.0
MOST_UNFINISHED = 200
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Feed:
    """What all who follow one stream share: its newest part, and their bells."""

    tail: Tail
    bells: set[asyncio.Event] = field(default_factory=set)

    def ring(self) -> None:
        """There is something new in the store."""
        self.tail.doubt()
        self.wake()

    def wake(self) -> None:
        """Let everybody look."""
        for bell in self.bells:
            bell.set()


@dataclass(eq=False)
class TenantFeed(Feed):
    """What all who follow a tenant share; ``board`` has the progress of its jobs."""

    board: Board = field(default_factory=Board)
    _beginning: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def begin(self, events: TenantEvents, tenant: TenantId) -> None:
        """Learn where the stream is and which jobs may move, once."""
        async with self._beginning:
            if self.tail.end is None:
                found = await events.unfinished(tenant, MOST_UNFINISHED)
                self.tail.begin((1, found.seq))
                self.board.unfinished(found.jobs)

    def hear(self, entry: Entry) -> None:
        """The bus told of a change."""
        if entry.type != "progress":
            self.ring()
        elif self.board.moved(entry):
            self.wake()


@dataclass(eq=False)
class Watchers:
    """Who follows which job, and which tenant."""

    jobs: Jobs
    events: TenantEvents
    _jobs: dict[str, dict[str, Feed]] = field(default_factory=lambda: defaultdict(dict))
    _tenants: dict[str, TenantFeed] = field(default_factory=dict)

    @contextmanager
    def watching_job(self, tenant: TenantId, job_id: str, bell: asyncio.Event) -> Iterator[Feed]:
        """Have the bell rung whenever the job has changed."""

        async def read(after: Position, limit: int) -> list[Entry]:
            found = await self.jobs.events(tenant, job_id, after, limit)
            return [of_job(job_id, event) for event in found]

        feed = self._jobs[tenant].get(job_id) or Feed(Tail(read))
        self._jobs[tenant][job_id] = feed
        feed.bells.add(bell)
        try:
            yield feed
        finally:
            feed.bells.discard(bell)
            if not feed.bells:
                del self._jobs[tenant][job_id]
            if not self._jobs[tenant]:
                del self._jobs[tenant]

    @contextmanager
    def watching_tenant(self, tenant: TenantId, bell: asyncio.Event) -> Iterator[TenantFeed]:
        """Have the bell rung whenever any job of the tenant has changed."""

        async def read(after: Position, limit: int) -> list[Entry]:
            found = await self.events.after(tenant, after[1], limit)
            return [of_tenant(event) for event in found]

        feed = self._tenants.get(tenant)
        if feed is None:
            board = Board()
            feed = TenantFeed(Tail(read, seen=board.seen, missed=board.clear), board=board)
            self._tenants[tenant] = feed
        feed.bells.add(bell)
        try:
            yield feed
        finally:
            feed.bells.discard(bell)
            if not feed.bells:
                del self._tenants[tenant]

    def hear(self, change: JobChange) -> None:
        """Wake everybody who follows this job or its tenant."""
        if feed := self._jobs.get(change.tenant, {}).get(change.job_id):
            feed.ring()
        if everything := self._tenants.get(change.tenant):
            everything.hear(of_bell(change))

    async def listen(self, transport: Transport) -> None:
        """Hear of every change that the bus tells of, for ever."""
        queue = Queue(name="gateway", kinds=(kind_of(JobsChanged),), style="fanout", prefetch=256)
        async with transport.subscribe(queue) as messages:
            async for message in messages:
                self._take(message.raw)

    def _take(self, raw: bytes) -> None:
        if not self._jobs and not self._tenants:
            return  # nobody here would hear of it
        try:
            changes = msgspec.json.decode(decode(raw).body, type=JobsChanged).changes
        except (Undecodable, msgspec.DecodeError) as error:
            _log.warning("changes of jobs could not be read: %s", error)
            return
        for change in changes:
            self.hear(change)


async def news(
    bell: asyncio.Event, feed: Feed, after: Position, is_over: Callable[[], bool]
) -> AsyncIterator[list[Entry] | None]:
    """Every entry of a stream after a position in order, in batches, until ``is_over``.

    An empty batch says that there is nothing more for now; None that nothing happened for
    :data:`LOOK_EVERY` seconds. The reader is waited for: while it is slow the entries stay in the
    store, and when they are gone from there this raises ``Missed``.
    """
    while not is_over():
        bell.clear()
        try:
            found = await feed.tail.after(after)
        except Unavailable:  # the store is away: what happens meanwhile is kept there
            found = []
        else:
            yield found
        if found:
            after = found[-1].position
        elif not is_over() and not await _rung(bell):
            feed.tail.doubt()
            yield None


async def changes(
    bell: asyncio.Event, feed: Feed, after: Position, is_over: Callable[[], bool]
) -> AsyncIterator[list[Entry] | None]:
    """The news of one job up to its end, without progress that was overtaken."""
    async for found in news(bell, feed, after, is_over):
        if found is None:
            yield None
        elif found:
            yield (batch := without_overtaken(found))
            if batch[-1].type == "end":
                return


def without_overtaken(events: Sequence[Entry]) -> list[Entry]:
    """The events without progress that the next one overtakes, up to the end of the job. States
    are never left out.
    """
    kept: list[Entry] = []
    for event, later in zip_longest(events, events[1:]):
        if event.type != "progress" or later is None or later.type != "progress":
            kept.append(event)
        if event.type == "end":
            break
    return kept


async def _rung(bell: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(LOOK_EVERY):
            await bell.wait()
    except TimeoutError:
        return False
    return True
