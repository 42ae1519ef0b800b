"""The newest part of an event stream, read once for everybody who follows it.

Whoever is near the end is served from a bounded window in memory, whoever is behind reads the store
for himself. So what a slow reader has yet to see costs nothing here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from itertools import islice

from services.gateway.entries import Entry, Position

BATCH = 100
"""How many entries one read of the store asks for, for everybody."""

ALONE = 32
"""How many it asks for when it is for one reader, who may keep them as long as he is slow."""

WINDOW = 128
WINDOW_BYTES = 64 * 1024

Read = Callable[[Position, int], Awaitable[list[Entry]]]
"""Gives the entries after a position, in order, at most so many; raises ``Unavailable``."""


class Missed(Exception):
    """What comes next for a reader is no longer kept."""


def _unseen(_: Sequence[Entry]) -> None:
    """Nobody looks."""


def _unmissed() -> None:
    """Nobody minds."""


@dataclass(eq=False)
class Tail:
    """The end of one stream. ``seen`` is told of every entry, once and in order, as it comes in;
    ``missed`` before entries that do not follow those before.

    It reads the store only after :meth:`doubt`, which is what a bell is for.
    """

    read: Read
    _: KW_ONLY
    seen: Callable[[Sequence[Entry]], None] = _unseen
    missed: Callable[[], None] = _unmissed
    _start: Position = (0, 0)
    _end: Position | None = None
    _window: deque[Entry] = field(default_factory=deque)
    _bytes: int = 0
    _doubts: int = 1
    _settled: int = 0
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def end(self) -> Position | None:
        """The last entry that was read."""
        return self._end

    def begin(self, position: Position) -> None:
        """Where the window begins; only the first call counts."""
        if self._end is None:
            self._start = self._end = position

    def doubt(self) -> None:
        """There may be something new in the store."""
        self._doubts += 1

    async def after(self, position: Position) -> list[Entry]:
        """Entries after a position, in order; none when there are none, now.

        Raises :class:`Missed` when entries are missing in between, and ``Unavailable``.
        """
        self.begin(position)
        await self._advance(position)
        if position < self._start:
            return await self._older(position)
        return list(islice(self._window, max(0, position[1] - self._start[1]), None))

    async def _older(self, position: Position) -> list[Entry]:
        """What lies before the window, and no more than the window's end: the rest is for all."""
        end = self._end or position
        found = await self.read(position, ALONE)
        if not found or found[0].position[1] != position[1] + 1:
            raise Missed
        return [each for each in found if each.position <= end]

    async def _advance(self, position: Position) -> None:
        """Read on, one reader for all, up to what is known to be there."""
        while self._is_behind(position):
            async with self._reading:
                if self._is_behind(position) and not await self._read_on():
                    return

    def _is_behind(self, position: Position) -> bool:
        return self._doubts > self._settled or self._end is None or position > self._end

    async def _read_on(self) -> bool:
        """Read one batch; False when that was all."""
        doubts, end = self._doubts, self._end or self._start
        found = await self.read(end, BATCH)
        if found:
            self._append(found, follows=found[0].position[1] == end[1] + 1)
        if len(found) < BATCH:
            self._settled = doubts
        return len(found) == BATCH

    def _append(self, found: Sequence[Entry], *, follows: bool) -> None:
        if not follows:
            self.missed()
            self._window.clear()
            self._bytes = 0
            self._start = found[0].position[0], found[0].position[1] - 1
        self._window.extend(found)
        self._end = found[-1].position
        self._bytes += sum(len(each.frame) for each in found)
        while len(self._window) > WINDOW or self._bytes > WINDOW_BYTES:
            gone = self._window.popleft()
            self._start, self._bytes = gone.position, self._bytes - len(gone.frame)
        self.seen(found)
