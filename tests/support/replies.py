"""Requests that carry an idempotency key: what was made for each, and what was answered."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from tests.support.aof import Command, Group

MADE = "rw:test:made"
"""Where whoever carries out a request notes what it has made: ``request`` (its key), ``what``."""
HEARD = "rw:test:heard"
"""Where whoever asks notes the answer that it has got: the same fields."""

Sort = Literal["made", "kept", "heard"]


@dataclass(frozen=True)
class Reply:
    """What was made for a request, kept as its answer, or heard by somebody who asked."""

    sort: Sort
    request: str
    what: str


Check = Callable[[Iterable[Reply]], list[str]]


def replies_in(writes: Iterable[Group]) -> list[Reply]:
    """All of them, in their order."""
    return [reply for group in writes for command in group for reply in _reply(command)]


def contradictions(replies: Iterable[Reply]) -> list[str]:
    """Whoever asks, and however often: one thing is made for a request, and that is the answer."""
    found: dict[str, set[str]] = defaultdict(set)
    for reply in replies:
        found[reply.request].add(reply.what)
    return [
        f"{request} came to {len(whats)} ends: {', '.join(sorted(whats))}"
        for request, whats in found.items()
        if len(whats) > 1
    ]


def done_twice(replies: Iterable[Reply]) -> list[str]:
    """What is made for a request is made once, and once it is kept as its answer: who has lost the
    request to another does not answer it.
    """
    done = Counter(reply for reply in replies if reply.sort != "heard")
    return [
        f"{reply.what} of {reply.request} was {reply.sort} {n} times"
        for reply, n in done.items()
        if n > 1
    ]


def out_of_nothing(replies: Iterable[Reply]) -> list[str]:
    """Nobody is answered what was not made before."""
    made: set[tuple[str, str]] = set()
    found = []
    for reply in replies:
        if reply.sort == "made":
            made.add((reply.request, reply.what))
        elif (reply.request, reply.what) not in made:
            found.append(f"{reply.what} was answered to {reply.request}, and not made")
    return found


def _reply(command: Command) -> Iterator[Reply]:
    name, key, *words = command if len(command) > 1 else ("", "")
    if name.upper() == "XADD" and key in (MADE, HEARD):
        told = dict(zip(words[-4::2], words[-3::2], strict=True))
        yield Reply("made" if key == MADE else "heard", told["request"], told["what"])
    elif name.upper() == "HSET" and ":idempotency:" in key:
        told = dict(zip(words[::2], words[1::2], strict=True))
        if "answer" in told:
            yield Reply("kept", key, told["answer"])
