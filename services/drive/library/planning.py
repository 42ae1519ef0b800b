"""What follows from a look at a folder: every change of the index, before any is made. Pure.

Three things are never concluded: that a file is gone because nothing was seen, that another content
is the same file because it has its name, and that anything is to be removed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from services.drive.library.moves import Arrival, matched
from services.drive.library.sorting import Sorted, is_settled
from shared.contracts.library import LibraryFile, Look

SHRUNK = 0.5
"""When more than this part of the videos is gone at once, it is the folder that is not well."""


class Act(NamedTuple):
    """One change of the index. ``before`` is the record that is changed or dropped, ``path`` where
    the file is now, with this look and content. ``reason`` says more.
    """

    kind: str
    path: str
    before: LibraryFile | None = None
    look: Look | None = None
    fingerprint: str = ""
    reason: str = ""


@dataclass
class Plan:
    """All that is to be done, and what was found to be in order."""

    acts: list[Act] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    suspicious: str = ""

    def add(self, act: Act) -> None:
        """One change more."""
        self.acts.append(act)
        self.counts[act.kind] += 1


class Situation(NamedTuple):
    """What a plan is made from. ``prints`` are the contents that were looked at, by path, empty
    where that was not possible; ``room`` is how many new videos may be begun, ``failed`` why parts
    of the folder could not be listed.
    """

    found: Sorted
    seen: Mapping[str, Look]
    prints: Mapping[str, str]
    failed: Mapping[str, str]
    now: int
    settle_ms: int
    room: int
    force: bool = False


def paths_to_read(
    found: Sorted, seen: Mapping[str, Look], now: int, settle_ms: int, room: int
) -> list[str]:
    """Where the content must be looked at: what may have been moved there, since something of its
    size is no longer in its place, and what has settled. Of new files no more than can be begun:
    reading ten thousand of them each minute, while they wait for their turn, would be a load.
    """
    vacated = [*found.gone, *found.missing, *found.changed]
    sizes = {file.look.size for file in vacated if file.fingerprint}
    paths = [*found.fresh, *(file.path for file in (*found.waiting, *found.changed))]
    maybe_moved = {path for path in paths if seen[path].size in sizes}
    new = [*_by_turn(found.waiting), *((path, None) for path in found.fresh)]
    whole = [path for path, file in new if is_settled(file, seen[path], now, settle_ms)]
    whole = [path for path in whole if path not in maybe_moved][:room]
    changed = {
        file.path for file in found.changed if is_settled(file, seen[file.path], now, settle_ms)
    }
    return sorted(maybe_moved | changed | set(whole))


def _by_turn(waiting: Iterable[LibraryFile]) -> list[tuple[str, LibraryFile | None]]:
    """Files that wait to be taken in: the oldest first, but what could not be read at last."""

    def turn(file: LibraryFile) -> tuple[bool, int, str]:
        return file.reason == "unreadable", file.created_at, file.path

    return [(file.path, file) for file in sorted(waiting, key=turn)]


def planned(situation: Situation) -> Plan:
    """What is to be done."""
    plan, found = Plan(), situation.found
    plan.counts["kept"] = sum(file.state != "ignored" for file in found.kept)
    plan.counts["ignored"] = len(found.kept) - plan.counts["kept"]
    moved = matched(_vacated(situation), _arrivals(situation))
    moved_ids = {file.id for file in moved.values()}
    for path, file in sorted(moved.items()):
        kind = "returned" if file.state == "missing" else "moved"
        plan.add(Act(kind, path, file, situation.seen[path], file.fingerprint))
    _plan_new(plan, situation, moved)
    _plan_changed(plan, situation, moved, moved_ids)
    _plan_lost(plan, situation, [file for file in found.gone if file.id not in moved_ids])
    return plan


def _vacated(situation: Situation) -> Iterator[LibraryFile]:
    """Records whose place is empty, or holds another content now."""
    yield from situation.found.gone
    yield from situation.found.missing
    for file in situation.found.changed:
        if situation.prints.get(file.path) not in {None, "", file.fingerprint}:
            yield file


def _arrivals(situation: Situation) -> Iterator[Arrival]:
    """Contents at paths where they were not before."""
    known = {file.path: file.fingerprint for file in situation.found.changed}
    paths = [*situation.found.fresh, *(file.path for file in situation.found.waiting), *known]
    for path in paths:
        content = situation.prints.get(path, "")
        if content and content != known.get(path):
            yield Arrival(path, situation.seen[path], content)


def _plan_new(plan: Plan, situation: Situation, moved: Mapping[str, LibraryFile]) -> None:
    """Paths that nobody knows, or that were waiting to be taken in."""
    for path in situation.found.fresh:
        if path not in moved:
            _take_in(plan, situation, path, None)
    for path, file in _by_turn(situation.found.waiting):
        if path in moved:  # it was an old friend who was still on the way
            plan.add(Act("forgotten", path, file))
        else:
            _take_in(plan, situation, path, file)


def _take_in(plan: Plan, situation: Situation, path: str, file: LibraryFile | None) -> None:
    """A new content at this path, once it has settled and there is room."""
    look, content = situation.seen[path], situation.prints.get(path, "")
    if not is_settled(file, look, situation.now, situation.settle_ms):
        plan.add(Act("waiting", path, file, look))
    elif content:
        _begin(plan, situation, path, file)
    else:
        reason = "unreadable" if path in situation.prints else "queue_full"
        plan.add(Act("held", path, file, look, reason=reason))


def _begin(plan: Plan, situation: Situation, path: str, file: LibraryFile | None) -> None:
    """A new content that has settled, if now is the time for it."""
    look, content = situation.seen[path], situation.prints[path]
    if content in {each.fingerprint for each in situation.found.unknown}:
        plan.add(Act("held", path, file, look, reason="listing_incomplete"))
    elif plan.counts["new"] >= situation.room:
        plan.add(Act("held", path, file, look, reason="queue_full"))
    else:
        plan.add(Act("new", path, file, look, content))


def _plan_changed(
    plan: Plan, situation: Situation, moved: Mapping[str, LibraryFile], moved_ids: set[str]
) -> None:
    """Paths whose file looks different from what it was."""
    for file in situation.found.changed:
        look, content = situation.seen[file.path], situation.prints.get(file.path, "")
        if content == file.fingerprint != "":
            plan.add(Act("touched", file.path, file, look, content))
        elif file.id not in moved_ids:
            _plan_other(plan, situation, file, is_taken=file.path in moved)
        elif file.path not in moved:  # it is elsewhere, and something new has taken its place
            _take_in(plan, situation, file.path, None)


def _plan_other(plan: Plan, situation: Situation, file: LibraryFile, *, is_taken: bool) -> None:
    """A file is not what it was, and what it was is nowhere else."""
    look, content = situation.seen[file.path], situation.prints.get(file.path, "")
    if is_taken:  # by something that is known from elsewhere
        _replaced(plan, file)
    elif not is_settled(file, look, situation.now, situation.settle_ms):
        plan.add(Act("changing", file.path, file, look))
    elif not content:
        plan.add(Act("unreadable", file.path, file, look))
    elif file.state == "present" and not file.sha256:  # nobody has worked on it yet
        plan.add(Act("changed", file.path, file, look, content))
    else:
        _replaced(plan, file)
        _begin(plan, situation, file.path, None)


def _replaced(plan: Plan, file: LibraryFile) -> None:
    """Another content is where this one was."""
    if file.state == "present":
        plan.add(Act("missing", file.path, file, reason="replaced"))
    else:
        plan.add(Act("forgotten", file.path, file))


def _plan_lost(plan: Plan, situation: Situation, gone: list[LibraryFile]) -> None:
    """Files that are nowhere. Nothing of it is believed when the listing looks wrong."""
    lost = [file for file in gone if file.state == "present"]
    plan.suspicious = _suspicion(situation, len(lost))
    if plan.suspicious and not situation.force:
        plan.counts["unconfirmed"] = len(lost)
        return
    for file in lost:
        plan.add(Act("missing", file.path, file, reason="gone"))
    for file in gone:
        if file.state in {"waiting", "refused"}:
            plan.add(Act("forgotten", file.path, file))


def _suspicion(situation: Situation, lost: int) -> str:
    """Why it would be rash to believe that files are gone; empty when it is not."""
    found = situation.found
    files = [*found.kept, *found.changed, *found.gone, *found.unknown]
    known = sum(file.state == "present" for file in files)
    if situation.failed:
        folder, why = min(situation.failed.items())
        more = f" and {len(situation.failed) - 1} more" if len(situation.failed) > 1 else ""
        return f"incomplete: {folder or 'the folder itself'} could not be listed ({why}){more}"
    if known and not situation.seen:
        return f"empty: none of {known} videos is there"
    if lost > known * SHRUNK:
        return f"shrunken: {lost} of {known} videos are not there"
    return ""
