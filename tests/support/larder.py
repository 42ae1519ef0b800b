"""Space that was taken and given back, as the writes of a Redis tell of it one by one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.support.aof import Group

DUE = "rw:space:due"
_SPACE = re.compile(r"rw:t:[^:]+:space|" + DUE)


@dataclass
class Larder:
    """The amounts of each hash, what was found to be wrong, and how often anything changed."""

    amounts: dict[str, dict[str, int]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    changes: int = 0


def larder_in(writes: Iterable[Group]) -> Larder:
    """What these writes tell: after each of them every total must be the sum of what it counts."""
    larder = Larder()
    for group in writes:
        touched = set(_changes(larder, group))
        larder.changes += bool(touched)
        for key in touched:
            amounts = larder.amounts[key]
            total = sum(amount for name, amount in amounts.items() if name != "total")
            if amounts.get("total", 0) != total:
                larder.wrong.append(f"{key} says {amounts.get('total')} of {total}")
    return larder


def _changes(larder: Larder, group: Group) -> Iterator[str]:
    for name, key, *words in (command for command in group if len(command) > 1):
        if not _SPACE.fullmatch(key):
            continue
        amounts = larder.amounts.setdefault(key, {})
        if name.upper() == "HSET":
            amounts |= dict(zip(words[::2], map(int, words[1::2]), strict=True))
        elif name.upper() == "HDEL":
            for word in words:
                amounts.pop(word, None)
        yield key
