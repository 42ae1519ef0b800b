"""The latest progress of each job of a tenant, for whoever follows the tenant.

Progress is told by the bus alone, late or twice, and never kept; a straggler must not be shown
after the state that followed it. So it is shown only of a job of which the stream has said that it
moves, and only what came after that.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from services.gateway.entries import MOVING, Entry, Position

MOST_JOBS = 256
"""Of how many jobs of a tenant progress is kept; those of which something was heard last stay."""

AT_A_TIME = 64


@dataclass(slots=True)
class _Job:
    """A job that may make progress, and the latest. ``since`` is the event from which on that may
    be shown; None while the stream has not said so.
    """

    since: Position | None
    version: int = 0
    entry: Entry | None = None


@dataclass(eq=False, slots=True)
class Board:
    """Progress by job. ``version`` grows with all that is new to be shown."""

    version: int = 0
    _jobs: OrderedDict[str, _Job] = field(default_factory=OrderedDict)

    def clear(self) -> None:
        """States were missed: nothing is known."""
        self._jobs.clear()

    def seen(self, entries: Iterable[Entry]) -> None:
        """States from the stream, in their order."""
        for entry in entries:
            self._is_at(entry.job, entry.state, entry.at)

    def unfinished(self, jobs: Iterable[dict[str, Any]]) -> None:
        """Jobs as the ledger knows them where the stream begins."""
        for job in jobs:
            self._is_at(job["job"], job["state"], (job["epoch"], job["seq"]))

    def moved(self, entry: Entry) -> bool:
        """A job made progress; False when there is nothing new to be shown, or not yet."""
        known = self._jobs.get(entry.job) or _Job(None)
        latest = known.entry.at if known.entry else known.since
        if entry.state not in MOVING or (latest is not None and entry.at < latest):
            return False
        self._show(entry.job, known.since, entry)
        return known.since is not None

    def after(self, version: int) -> list[tuple[int, Entry]]:
        """What is newer than a version, with its own, oldest first; at most :data:`AT_A_TIME`."""
        newest_first = takewhile(lambda each: each[0] > version, self._shown())
        return list(newest_first)[: -AT_A_TIME - 1 : -1]

    def _shown(self) -> Iterator[tuple[int, Entry]]:
        for job in reversed(self._jobs.values()):
            if job.entry is not None and job.since is not None:
                yield job.version, job.entry

    def _is_at(self, job: str, state: str, at: Position) -> None:
        """A job is in this state since its event ``at``."""
        entry = known.entry if (known := self._jobs.get(job)) else None
        is_later = entry is not None and entry.at > at
        if state in MOVING:
            if known is None or known.since is None or known.since < at:
                self._show(job, at, entry if is_later else None)
        elif not is_later:
            self._jobs.pop(job, None)
        elif known is not None:
            known.since = None

    def _show(self, job: str, since: Position | None, entry: Entry | None) -> None:
        self.version += 1
        self._jobs[job] = _Job(since, self.version, entry)
        self._jobs.move_to_end(job)
        if len(self._jobs) > MOST_JOBS:
            self._jobs.popitem(last=False)
