"""Looking through a long list for what matches, a bounded piece at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

SCANNED: Final = 1000
"""How many entries are looked at in one go; a rare match costs several requests, not a long one."""

_AT_ONCE = 201
"""One more than the longest page."""


class Listed(Protocol):
    """An entry of a list that is sorted by id."""

    @property
    def id(self) -> str:
        """By which it is sorted."""
        ...


Entry = TypeVar("Entry", bound=Listed)
Read = Callable[[str, int], Awaitable[Sequence[Entry]]]
"""Reads so many entries that come after an id (empty: from the start)."""


@dataclass(frozen=True, slots=True)
class Found(Generic[Entry]):
    """What matched, in the list's order. ``next`` is the id to go on after; None: it was all."""

    items: tuple[Entry, ...]
    next: str | None


async def scan(
    read: Read[Entry],
    after: str,
    limit: int,
    matches: Callable[[Entry], bool] | None = None,
    *,
    most: int = SCANNED,
) -> Found[Entry]:
    """At most ``limit`` entries that match, of at most ``most`` that are looked at."""
    items: list[Entry] = []
    seen, at_once = 0, min(limit + 1, _AT_ONCE) if matches is None else _AT_ONCE
    while True:
        batch = await read(after, min(at_once, most - seen + 1))
        if not batch:
            return Found(tuple(items), None)
        for entry in batch:
            if len(items) == limit or seen == most:
                return Found(tuple(items), after)
            after, seen = entry.id, seen + 1
            if matches is None or matches(entry):
                items.append(entry)
