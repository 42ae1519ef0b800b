"""Records by key: one JSON document each, changed only through one atomic script.

A service reads whatever it likes by key; it writes its own records through a :class:`Change`, in
which records, indexes, outbox entries and the mark of the message that caused it change together
or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import msgspec

from shared.contracts.base import Command, Message, kind_of
from shared.contracts.records import Record
from shared.errors import Conflict, NotFound
from shared.store.redis import Store
from shared.store.scripts import Refusal, Scripts

R = TypeVar("R", bound=Record)
SEEN_SECONDS = 7 * 24 * 3600
"""How long a handled message is remembered."""


class StaleFence(Conflict):
    """The attempt has lost its job to another one."""

    default_code = "stale_fence"


class IllegalTransition(Conflict):
    """The job cannot go from its state to that one."""

    default_code = "illegal_transition"


REFUSALS: dict[str, Refusal] = {
    "NOT_FOUND": NotFound,
    "CONFLICT": Conflict,
    "STALE_FENCE": StaleFence,
    "ILLEGAL_TRANSITION": IllegalTransition,
}
"""What the scripts may refuse with, as ``RW <code> <detail>``."""


@dataclass
class Change:
    """One atomic change, collected and then committed (:meth:`Records.commit`)."""

    tenant: str
    correlation: str = ""
    causation: str = ""
    trace: str = ""
    plan: dict[str, list[Any]] = field(default_factory=dict)

    def once(self, service: str, message_id: str) -> Change:
        """Do nothing when this service has committed a change for this message before."""
        self.plan["once"] = [f"rw:seen:{service}:{message_id}", SEEN_SECONDS]
        return self

    def fenced(self, job_key: str, fence: int) -> Change:
        """Refuse with :class:`StaleFence` when this attempt no longer holds the job."""
        self.plan["fence"] = [job_key, str(fence)]
        return self

    def expect(self, key: str, version: int) -> Change:
        """Refuse with :class:`Conflict` unless the record has this version; 0 means none."""
        return self._add("expect", [key, version])

    def absent(self, key: str) -> Change:
        """Refuse with :class:`Conflict` when the key exists."""
        return self._add("absent", key)

    def put(self, key: str, record: Record, seconds: int | None = None) -> Change:
        """Write a record, for ever or for some seconds."""
        value = msgspec.json.encode(record).decode()
        return self._add("set", [key, value] if seconds is None else [key, value, seconds])

    def mark(self, key: str, seconds: int) -> Change:
        """Leave a bare mark under a key for some seconds."""
        return self._add("set", [key, "1", seconds])

    def delete(self, *keys: str) -> Change:
        """Remove records."""
        self.plan.setdefault("delete", []).extend(keys)
        return self

    def index(self, key: str, member: str, score: float = 0) -> Change:
        """Put a member into an index; members of one score sort by name."""
        return self._add("index", [key, score, member])

    def unindex(self, key: str, member: str) -> Change:
        """Take a member out of an index."""
        return self._add("unindex", [key, member])

    def append(self, stream: str, longest: int, **fields: str) -> Change:
        """Append an entry to a stream that keeps about ``longest`` entries."""
        flat = [part for pair in fields.items() for part in pair]
        return self._add("append", [stream, longest, *flat])

    def say(self, message: Message, *, message_id: str, key: str = "") -> Change:
        """Put a message into the outbox. The relay keeps the order of messages of one ``key``."""
        entry = {
            "id": message_id,
            "kind": kind_of(message),
            "sort": "command" if isinstance(message, Command) else "event",
            "tenant": self.tenant,
            "correlation": self.correlation,
            "causation": self.causation,
            "trace": self.trace,
            "body": msgspec.json.encode(message).decode(),
            "to": "",
            "key": key,
        }
        return self._add("say", [part for pair in entry.items() for part in pair])

    def _add(self, name: str, item: Any) -> Change:
        self.plan.setdefault(name, []).append(item)
        return self


class Records:
    """Reads records by key and commits changes for one service."""

    def __init__(self, store: Store, service: str) -> None:
        self._store = store
        self._outbox = f"rw:outbox:{service}"
        self._scripts = Scripts(store, "shared.store", "lua", REFUSALS)

    async def get(self, type_: type[R], key: str) -> R | None:
        """The record under a key, if there is one."""
        value = await self._store.commands.get(key)
        return None if value is None else msgspec.json.decode(value, type=type_)

    async def exists(self, key: str) -> bool:
        """Whether there is anything under a key."""
        return bool(await self._store.commands.exists(key))

    async def get_many(self, type_: type[R], keys: Sequence[str]) -> list[R]:
        """The records under these keys, in their order; missing ones are left out."""
        if not keys:
            return []
        values = await self._store.commands.mget(list(keys))
        return [msgspec.json.decode(value, type=type_) for value in values if value is not None]

    async def page(self, index: str, before: str, limit: int) -> list[str]:
        """Members of an index, last first, from the one before ``before`` (empty: the last)."""
        highest = f"({before}" if before else "+"
        members = await self._store.commands.zrevrangebylex(index, highest, "-", start=0, num=limit)
        return [member.decode() for member in cast("list[bytes]", members)]

    async def latest(self, stream: str, limit: int) -> list[tuple[int, dict[str, str]]]:
        """The last entries of a stream, last first: milliseconds since the epoch, and fields."""
        found = cast("list[Any]", await self._store.commands.xrevrange(stream, count=limit))
        return [
            (int(name.split(b"-")[0]), {key.decode(): text.decode() for key, text in entry.items()})
            for name, entry in found
        ]

    async def count(self, index: str) -> int:
        """How many members an index has."""
        return int(await self._store.commands.zcard(index))

    async def commit(self, change: Change) -> bool:
        """Make the change; False when its message was seen before. Refusals raise."""
        answer = await self._scripts.call(
            "commit", keys=[self._outbox], args=[msgspec.json.encode(change.plan)]
        )
        return bool(answer)
