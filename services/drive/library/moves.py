"""Which content that is no longer in its place has turned up in which other. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from shared.contracts.library import LibraryFile, Look


class Arrival(NamedTuple):
    """A content at a path where it was not before."""

    path: str
    look: Look
    fingerprint: str


_Fits = Callable[[LibraryFile, Arrival], bool]


def _same_path(file: LibraryFile, arrival: Arrival) -> bool:
    return file.path == arrival.path


def _same_inode(file: LibraryFile, arrival: Arrival) -> bool:
    return bool(file.look.inode) and file.look.inode == arrival.look.inode


def _same_name(file: LibraryFile, arrival: Arrival) -> bool:
    return file.path.rpartition("/")[2] == arrival.path.rpartition("/")[2]


def _any(_file: LibraryFile, _arrival: Arrival) -> bool:
    return True


_BEST_FIRST: tuple[_Fits, ...] = (_same_path, _same_inode, _same_name, _any)


def matched(vacated: Iterable[LibraryFile], arrivals: Iterable[Arrival]) -> dict[str, LibraryFile]:
    """Each arrival (by path) that has the content of a record whose place is empty or taken. Of
    several with one content, the nearest: by path, number on the disk, name; those that have just
    gone before those that were missing already.
    """
    places: Mapping[str, list[LibraryFile]] = defaultdict(list)
    for file in sorted(vacated, key=lambda each: (each.state == "missing", each.id)):
        if file.fingerprint:
            places[file.fingerprint].append(file)
    open_ = [each for each in arrivals if each.fingerprint in places]
    found: dict[str, LibraryFile] = {}
    for fits in _BEST_FIRST:
        rest: list[Arrival] = []
        for arrival in sorted(open_, key=lambda each: each.path):
            options = places[arrival.fingerprint]
            chosen = next((file for file in options if fits(file, arrival)), None)
            if chosen is None:
                rest.append(arrival)
                continue
            options.remove(chosen)
            found[arrival.path] = chosen
        open_ = rest
    return found
