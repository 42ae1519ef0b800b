"""Results that were kept by content, and the files whose bytes they were made of."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from shared.contracts.results import Result
from tests.support.aof import Command, Group

_RESULT = re.compile(r"(rw:t:[^:]+):result:([0-9a-f]+):[0-9a-f]+")
_SOURCE = re.compile(r"rw:t:[^:]+:source:[0-9a-f]+")
_JOB = re.compile(r"rw:t:[^:]+:job:[^:]+")


@dataclass(frozen=True)
class Kept:
    """A result was kept under ``key`` by an attempt at a job, which had fence ``current`` then.
    ``source`` is the key of the index of the files that have its bytes, ``had_files`` whether there
    were any.
    """

    key: str
    source: str
    job: str
    fence: int
    current: int
    had_files: bool


@dataclass
class Shelf:
    """What was ever kept, in its order, and what is there in the end."""

    kept: list[Kept] = field(default_factory=list)
    there: dict[str, Kept] = field(default_factory=dict)
    files: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Of each source."""
    fences: Counter[str] = field(default_factory=Counter)
    """Of each job."""

    def put(self, key: str, value: str) -> None:
        """A result is written."""
        found = _RESULT.fullmatch(key)
        assert found
        result, source = msgspec.json.decode(value, type=Result), f"{found[1]}:source:{found[2]}"
        job, has_files = f"{found[1]}:job:{result.job_id}", bool(self.files[source])
        self.there[key] = Kept(key, source, job, result.fence, self.fences[job], has_files)
        self.kept.append(self.there[key])


Check = Callable[[Shelf], list[str]]


def shelf_in(writes: Iterable[Group]) -> Shelf:
    """What these writes tell."""
    shelf = Shelf()
    for group in writes:
        for name, key, *words in (command for command in group if len(command) > 1):
            _follow(shelf, name.upper(), key, tuple(words))
    return shelf


def kept_by_strangers(shelf: Shelf) -> list[str]:
    """Only who holds a job keeps what its steps make."""
    return [
        f"{kept.key} was kept by {kept.job} under fence {kept.fence}, which was {kept.current}"
        for kept in shelf.kept
        if kept.fence != kept.current
    ]


def orphans(shelf: Shelf) -> list[str]:
    """No result is kept, or left behind, when the last file of its bytes has gone."""
    late = [f"{kept.key} was kept without a file" for kept in shelf.kept if not kept.had_files]
    gone = {key: kept for key, kept in shelf.there.items() if not shelf.files[kept.source]}
    return late + [f"{key} outlived the files of its bytes" for key in gone]


def _follow(shelf: Shelf, name: str, key: str, words: Command) -> None:
    if name in ("DEL", "UNLINK"):
        for gone in (key, *words):
            shelf.there.pop(gone, None)
    elif name == "SET" and _RESULT.fullmatch(key):
        shelf.put(key, words[0])
    elif name == "HINCRBY" and words[0] == "fence" and _JOB.fullmatch(key):
        shelf.fences[key] += int(words[1])
    elif name == "ZADD" and _SOURCE.fullmatch(key):
        shelf.files[key].add(words[-1])
    elif name == "ZREM" and _SOURCE.fullmatch(key):
        shelf.files[key].difference_update(words)
