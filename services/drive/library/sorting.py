"""Comparing what is in a folder with what is known of it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from services.drive.library.fingerprint import is_same
from shared.contracts.library import LibraryFile, Look


@dataclass
class Sorted:
    """Records and paths by what is the matter with them.

    ``kept`` are where they were and look the same. ``changed`` are where they were and look
    different; ``waiting`` have not been taken in yet. ``fresh`` are paths that nobody knows.
    ``gone`` are no longer where they were, ``missing`` were that already. Of ``unknown`` nothing
    can be said, as their folder could not be listed.
    """

    kept: list[LibraryFile] = field(default_factory=list)
    changed: list[LibraryFile] = field(default_factory=list)
    waiting: list[LibraryFile] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    gone: list[LibraryFile] = field(default_factory=list)
    missing: list[LibraryFile] = field(default_factory=list)
    unknown: list[LibraryFile] = field(default_factory=list)


def sort(known: Iterable[LibraryFile], seen: Mapping[str, Look], failed: Collection[str]) -> Sorted:
    """Compare the records with what was seen; ``failed`` are folders that were not."""
    found, there = Sorted(), dict[str, LibraryFile]()
    for file in sorted(known, key=lambda each: (not _fits(each, seen.get(each.path)), each.id)):
        if file.state == "missing":
            found.missing.append(file)
        elif file.path in seen and file.path not in there:
            there[file.path] = file
        elif file.path not in seen and is_below(file.path, failed):
            found.unknown.append(file)
        else:
            found.gone.append(file)
    inodes = {file.look.inode for file in there.values()}
    for path, file in there.items():
        _place(found, file, seen[path], inodes)
    found.fresh = sorted(seen.keys() - there.keys())
    return found


def is_below(path: str, folders: Collection[str]) -> bool:
    """Whether a path lies below one of these folders."""
    parts = path.split("/")[:-1]
    return bool(folders) and any("/".join(parts[:n]) in folders for n in range(len(parts) + 1))


def _place(found: Sorted, file: LibraryFile, look: Look, inodes: Collection[int]) -> None:
    if file.state == "waiting":
        found.waiting.append(file)
    elif not _fits(file, look) or (look.inode != file.look.inode and look.inode in inodes):
        # The number on the disk of another file that is known: names may have been swapped.
        found.changed.append(file)
    else:
        found.kept.append(file)


def _fits(file: LibraryFile, look: Look | None) -> bool:
    """Whether this is most likely the file of that record. Its number on the disk is not asked:
    network shares give other ones each time they are mounted.
    """
    told = file.look
    return look is not None and (look.size, look.mtime_ns) == (told.size, told.mtime_ns)


def is_settled(file: LibraryFile | None, look: Look, now: int, settle_ms: int) -> bool:
    """Whether a file has looked like this for long enough."""
    before = None
    if file is not None:
        before = file.look if file.state == "waiting" else file.pending
    since = before.at if before is not None and is_same(before, look) else now
    return now - since >= settle_ms
