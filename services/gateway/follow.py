"""Readers of event streams: what one begins with, what it is sent, where it stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import msgspec

from services.gateway import schemas
from services.gateway.door import Door
from services.gateway.entries import Position, event_id, joined
from services.gateway.lookup import seek_job
from services.gateway.tail import Missed
from services.gateway.watch import Feed, changes
from shared.contracts.records import Job
from shared.errors import NotFound, Unavailable
from shared.http.sse import EventStream, frame
from shared.tenancy import TenantId

TERMINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})


@dataclass(eq=False)
class Reader(ABC):
    """Sends one stream of events to one client."""

    stream: EventStream
    door: Door
    tenant: TenantId
    _position: Position = field(default=(1, 0), kw_only=True)
    _first: bytes = field(default=b"", kw_only=True)

    async def prepare(self, seen: Position | None) -> None:
        """Find out what to begin with; raises ``Unavailable`` before anything is sent."""
        await self._look()
        if seen is None:
            await self._begin_anew("snapshot")
        elif await self._can_resume(seen):
            self._position = seen
        else:
            await self._begin_anew("reset")

    async def follow(self) -> None:
        """Send what comes until the stream is over, or there is nothing more. If the store is away
        just when the reader has to begin anew, the stream ends early, to be resumed.
        """
        while True:
            first, self._first = self._first, b""
            if first:
                await self.stream.write(first)
            try:
                await self._go_on()
            except Missed:
                self.door.metrics.sse_resets.add(1)
            else:
                return
            try:
                await self._look()
                await self._begin_anew("reset")
            except (Unavailable, NotFound):
                return

    async def _begin_anew(self, kind: str) -> None:
        """Let a snapshot be the first that is sent, and go on from there."""
        text = await self._snapshot()
        self._first = frame(kind, text, event_id(self._position))

    @abstractmethod
    async def _look(self) -> None:
        """See what there is."""

    @abstractmethod
    async def _snapshot(self) -> str:
        """Everything as it is now, as the data of an event; moves the position there."""

    @abstractmethod
    async def _can_resume(self, seen: Position) -> bool:
        """Whether everything after ``seen`` is still kept."""

    @abstractmethod
    async def _go_on(self) -> None:
        """Send what comes after the position."""


@dataclass(eq=False)
class JobReader(Reader):
    """Sends the events of one job, up to its end."""

    feed: Feed
    job_id: str
    _job: Job | None = field(default=None, init=False)
    _shown: schemas.Job = field(init=False)

    def is_told(self, seen: Position | None) -> bool:
        """Whether nothing comes after ``seen``."""
        return self._is_over() and seen == self._now()

    async def _look(self) -> None:
        self._job, self._shown = await seek_job(self.door, self.tenant, self.job_id)
        self.feed.tail.begin(self._now())

    async def _snapshot(self) -> str:
        self._position = self._now()
        return msgspec.json.encode(self._shown).decode()

    async def _begin_anew(self, kind: str) -> None:
        await super()._begin_anew(kind)
        if self._is_over():
            text = msgspec.json.encode(self._shown).decode()
            self._first += frame("end", text, event_id(self._position))

    async def _can_resume(self, seen: Position) -> bool:
        now = self._now()
        if seen >= now:
            return seen == now
        following = await self.door.jobs.events(self.tenant, self.job_id, seen, limit=1)
        return bool(following) and following[0].seq == seen[1] + 1

    async def _go_on(self) -> None:
        if self._is_over() and self._position == self._now():
            return
        stream = self.stream
        async for found in changes(stream.bell, self.feed, self._position, lambda: stream.is_over):
            if not found:
                await stream.comment()
            for piece in joined(found or ()):
                await stream.write(piece)

    def _now(self) -> Position:
        return (self._job.epoch, self._job.seq) if self._job else (1, 0)

    def _is_over(self) -> bool:
        return self._job is not None and self._job.state in TERMINAL
