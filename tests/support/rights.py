"""Rights that one alone has for a time: to carry out a request with a key, to probe a provider.

As :mod:`tests.support.teller` does for jobs, this follows the writes of a Redis one by one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from tests.support.aof import Command, Group

REQUEST_MS = 1000
"""For how long a request is leased to who carries it out, in these tests."""
PROBE_MS = 900
"""For how long a probe holds its right, in these tests."""


@dataclass
class Right:
    """Somebody's right, from ``since`` until ``until`` in milliseconds, or until it was given back.
    ``about`` is the key of a request or of a breaker.
    """

    about: str
    owner: str
    since: int
    until: int
    was_given_back: bool = False


def rights_in(writes: Iterable[Group]) -> list[Right]:
    """Every right that was ever taken, in their order."""
    follower = _Follower()
    for group in writes:
        for name, key, *words in (command for command in group if len(command) > 1):
            follower.follow(name.upper(), key, tuple(words))
    return follower.taken


def two_at_a_time(rights: Iterable[Right]) -> list[str]:
    """No right is taken while another still has it."""
    by_key: dict[str, list[Right]] = defaultdict(list)
    for right in rights:
        by_key[right.about].append(right)
    return [
        f"{second.owner} took {about} {first.until - second.since} ms before {first.owner} lost it"
        for about, each in by_key.items()
        for first, second in pairwise(each)
        if not first.was_given_back and second.since < first.until
    ]


@dataclass
class _Follower:
    taken: list[Right] = field(default_factory=list)
    _held: dict[str, Right] = field(default_factory=dict)

    def follow(self, name: str, key: str, words: Command) -> None:
        """One command."""
        if name in ("DEL", "UNLINK"):
            for gone in (key, *words):
                self._give_back(gone)
        elif ":idempotency:" in key:
            self._change(name, key, words, ("owner", "until"), REQUEST_MS)
        elif key.startswith("rw:breaker:"):
            self._change(name, key, words, ("probe", "probe_until"), PROBE_MS)

    def _change(
        self, name: str, key: str, words: Command, fields: tuple[str, str], lasts: int
    ) -> None:
        owner, until = fields
        if name == "HDEL" and owner in words:
            self._give_back(key)
        elif name == "HSET" and until in words[::2]:
            told = dict(zip(words[::2], words[1::2], strict=True))
            self._keep(key, told.get(owner, ""), int(told[until]), lasts)

    def _keep(self, key: str, owner: str, until: int, lasts: int) -> None:
        """Take a right anew, or go on having it."""
        if not owner:
            self._held[key].until = until
            return
        self._held[key] = Right(key, owner, until - lasts, until)
        self.taken.append(self._held[key])

    def _give_back(self, key: str) -> None:
        if right := self._held.pop(key, None):
            right.was_given_back = True
