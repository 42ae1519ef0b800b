"""A service's outbox in Redis: the stream ``rw:outbox:<service>``.

Scripts append to it (fields: see :mod:`shared.bus.outbox_entries`). Beside it lie ``…:relay``, the
lease of the relay that publishes, and ``…:bad``, what was no message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.bus.outbox_entries import Entry
from shared.ids import new_id
from shared.store.redis import Store
from shared.store.scripts import Scripts


class RedisOutbox:
    """An :class:`~shared.bus.outbox_entries.OutboxStream`; each instance is a candidate for the
    lease.
    """

    def __init__(self, store: Store, service: str) -> None:
        self._store = store
        self._scripts = Scripts(store, "shared.store", "lua")
        self._stream = f"rw:outbox:{service}"
        self._lease = f"{self._stream}:relay"
        self._bad = f"{self._stream}:bad"
        self._owner = new_id()

    async def hold(self, seconds: float) -> bool:
        """Take or renew the lease."""
        milliseconds = int(seconds * 1000)
        held = await self._scripts.call("lease_hold", [self._lease], [self._owner, milliseconds])
        return bool(held)

    async def release(self) -> None:
        """Give the lease back, if it is ours."""
        await self._scripts.call("lease_release", [self._lease], [self._owner])

    async def read(self, after: str, count: int, wait: float) -> list[Entry]:
        """Entries behind a position, waiting for the first of them."""
        block = max(1, int(wait * 1000))
        found: Any = await self._store.blocking.xread(
            {self._stream: after}, count=count, block=block
        )
        return [_entry(*raw) for _, entries in found or () for raw in entries]

    async def done(self, positions: Sequence[str]) -> None:
        """Remove entries."""
        await self._store.commands.xdel(self._stream, *positions)

    async def set_aside(self, entry: Entry, reason: str) -> None:
        """Move an entry to ``…:bad``, with the reason."""
        fields = {**entry.fields, "reason": reason}
        flat = [word for field in fields.items() for word in field]
        await self._scripts.call("set_aside", [self._stream, self._bad], [entry.position, *flat])

    async def length(self) -> int:
        """How many entries wait."""
        return int(await self._store.commands.xlen(self._stream))

    async def bad(self, count: int = 100) -> list[Entry]:
        """What was set aside, oldest first."""
        found: Any = await self._store.commands.xrange(self._bad, count=count)
        return [_entry(*raw) for raw in found]


def _entry(position: bytes, fields: dict[bytes, bytes]) -> Entry:
    words = {_text(name): _text(value) for name, value in fields.items()}
    return Entry(_text(position), words)


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
