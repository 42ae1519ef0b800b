"""A stream of what has changed, for indexes that follow the records."""

from __future__ import annotations

from typing import cast

from shared.errors import ReelwayError
from shared.store.redis import Store

_BATCH = 1000
_START = "0-0"
_NOTHING_YET = "0-1"


class ChangesMissed(ReelwayError):
    """Changes after this position have been dropped from the stream."""


class Changes:
    """Follows one stream of changed things, each named by tenant and video."""

    def __init__(self, store: Store, stream: str) -> None:
        self._redis = store.commands
        self._stream = stream

    async def last(self) -> str:
        """The position of the newest entry, or one before all entries to come."""
        newest = cast(
            "list[tuple[bytes, object]]", await self._redis.xrevrange(self._stream, count=1)
        )
        return newest[0][0].decode() if newest else _NOTHING_YET

    async def after(self, position: str) -> tuple[list[tuple[str, str]], str]:
        """What changed after a position, oldest first, and the position of the last of it. The
        stream keeps so many entries and no more: :class:`ChangesMissed` when the entry at the
        position is gone, and others after it may be.
        """
        if position != _START and await self._has_dropped(position):
            raise ChangesMissed
        changed: list[tuple[str, str]] = []
        while True:
            entries = cast(
                "list[tuple[bytes, dict[bytes, bytes]]]",
                await self._redis.xrange(self._stream, f"({position}", "+", count=_BATCH),
            )
            for _, fields in entries:
                changed.append((fields[b"tenant"].decode(), fields[b"video"].decode()))
            if len(entries) < _BATCH:
                return changed, entries[-1][0].decode() if entries else position
            position = entries[-1][0].decode()

    async def _has_dropped(self, position: str) -> bool:
        oldest = cast("list[tuple[bytes, object]]", await self._redis.xrange(self._stream, count=1))
        return bool(oldest) and _order(oldest[0][0].decode()) > _order(position)


def _order(position: str) -> tuple[int, int]:
    time, _, number = position.partition("-")
    return int(time), int(number)
