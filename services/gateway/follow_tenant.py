"""Readers of the events of all jobs of a tenant.

States come from the tenant's stream, each with its id, so that a reader who comes back goes on
where it was. Progress comes from the board, without ids, and only when no state is left to be sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.gateway.board import AT_A_TIME
from services.gateway.entries import Entry, Position, Wanted, event_id, joined, snapshot_text
from services.gateway.follow import Reader
from services.gateway.watch import LOOK_EVERY, MOST_UNFINISHED, TenantFeed, news
from shared.http.sse import COMMENT, mark

PROGRESS_EVERY = 0.25
"""Seconds between two lots of progress; in each lot a job is at most once."""


@dataclass(eq=False)
class TenantReader(Reader):
    """Sends the events of all jobs of a tenant, as far as they are wanted, without end."""

    feed: TenantFeed
    wanted: Wanted
    _told: Position = field(default=(1, 0), init=False)
    _version: int = field(default=0, init=False)
    _next_progress: float = field(default=0.0, init=False)
    _last_sent: float = field(default=0.0, init=False)
    _alarm: asyncio.TimerHandle | None = field(default=None, init=False)

    async def prepare(self, seen: Position | None) -> None:
        """Find out what to begin with; raises ``Unavailable`` before anything is sent."""
        await super().prepare(seen)
        self._told = self._position

    async def follow(self) -> None:
        """Send what comes until the stream is over."""
        try:
            await super().follow()
        finally:
            if self._alarm is not None:
                self._alarm.cancel()

    async def _look(self) -> None:
        await self.feed.begin(self.door.watchers.events, self.tenant)
        self._version = self.feed.board.version

    async def _snapshot(self) -> str:
        only = tuple(self.wanted.job)
        found = await self.door.watchers.events.unfinished(self.tenant, MOST_UNFINISHED, only)
        self._position = self._told = (1, found.seq)
        self._version = self.feed.board.version
        return snapshot_text(self.wanted.among(found), more=found.more)

    async def _can_resume(self, seen: Position) -> bool:
        latest = await self.door.watchers.events.latest(self.tenant)
        if seen[0] != 1 or seen[1] >= latest:
            return seen == (1, latest)
        following = await self.door.watchers.events.after(self.tenant, seen[1], 1)
        return bool(following) and following[0].seq == seen[1] + 1

    async def _go_on(self) -> None:
        stream, self._last_sent = self.stream, _now()
        async for found in news(stream.bell, self.feed, self._position, lambda: stream.is_over):
            if found:
                await self._tell(found)
            elif found is not None:
                await self._tell_progress()
            if _now() - self._last_sent >= LOOK_EVERY:
                await self._show_life()

    async def _tell(self, found: Sequence[Entry]) -> None:
        wanted = [entry for entry in found if self.wanted.has(entry)]
        for piece in joined(wanted):
            await self._write(piece)
        self._position = found[-1].position
        if wanted:
            self._told = wanted[-1].position

    async def _tell_progress(self) -> None:
        """Send the progress that is due, or have the bell rung when it is."""
        wait = self._next_progress - _now()
        found = self.feed.board.after(self._version)
        if not found or wait > 0:
            self._wake_in(wait if found else 0)
            return
        self._version = found[-1][0]
        self._next_progress = _now() + PROGRESS_EVERY
        if len(found) == AT_A_TIME:
            self._wake_in(PROGRESS_EVERY)
        for piece in joined(entry for _, entry in found if self.wanted.has(entry)):
            await self._write(piece)

    async def _show_life(self) -> None:
        """A comment, or the id up to which nothing was wanted."""
        if self._position > self._told:
            self._told = self._position
            await self._write(mark(event_id(self._position)))
        else:
            await self._write(COMMENT)

    async def _write(self, frames: bytes) -> None:
        await self.stream.write(frames)
        self._last_sent = _now()

    def _wake_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if seconds > 0 and (self._alarm is None or self._alarm.when() <= loop.time()):
            self._alarm = loop.call_later(seconds, self.stream.bell.set)


def _now() -> float:
    return asyncio.get_running_loop().time()
