"""What happened to jobs, in the order in which it happened, and where each thing is noted."""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.contracts.records import Job
from shared.work.jobs import job_from_hash

LEASES = "rw:jobs:leases"
ILLEGAL = "rw:jobs:illegal"
EFFECTS = "rw:test:effects"
"""Where steps note what they have done, in the same commit as what they do: ``job`` (its key),
``what``, ``epoch``, ``fence``.
"""
TOUCHES = "rw:test:touches"
"""The same for what steps may do any number of times, but only while they hold the job."""
TOLD = "rw:test:told"
"""Where messages about jobs are noted by whoever is told by them: ``job`` and ``what``."""


@dataclass(frozen=True)
class Move:
    """A job went from one state to another, at a time of the server's clock in milliseconds;
    ``epoch`` and ``fence`` are those after it.
    """

    job: str
    was: str
    state: str
    epoch: int
    fence: int
    at: int = 0


@dataclass
class Hold:
    """A worker held a job. ``spans`` are the times during which its lease was alive, in
    milliseconds: more than one when a heartbeat came too late and nobody had minded yet.
    """

    job: str
    lock: str
    """What else nobody may work at meanwhile: a video; empty when there is no such thing."""
    fence: int
    spans: list[tuple[int, int]]
    worker: str = ""
    pool: str = ""
    ended: int | None = None
    was_taken: bool = False
    """Whether it was taken away from its worker, instead of being let go."""

    @property
    def since(self) -> int:
        """When the job was claimed."""
        return self.spans[0][0]

    @property
    def until(self) -> int:
        """When the lease runs out, or would have."""
        return self.spans[-1][1]

    def renew(self, at: int, until: int) -> None:
        """A heartbeat."""
        begin, end = self.spans[-1]
        if at <= end:
            self.spans[-1] = (begin, until)
        else:
            self.spans.append((at, until))

    def live(self) -> list[tuple[int, int]]:
        """The times during which it counts: until it ended, or the lease ran out before."""
        end = self.until if self.ended is None else self.ended
        return [(begin, min(until, end)) for begin, until in self.spans]


@dataclass(frozen=True)
class Entry:
    """One entry of the event stream of a job, or of all jobs of a tenant."""

    stream: str
    epoch: int
    seq: int
    type: str


@dataclass(frozen=True)
class Effect:
    """Something that a step has done under a fence; ``current`` was the job's at that moment."""

    job: str
    what: str
    epoch: int
    fence: int
    current: int


@dataclass
class History:
    """What happened; ``jobs`` are the fields of each job in the end, or when it was forgotten."""

    jobs: dict[str, dict[str, str]] = field(default_factory=dict)
    moves: list[Move] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    touches: list[Effect] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)
    illegal: dict[str, int] = field(default_factory=dict)

    def state(self, job: str) -> str:
        """The state of a job in the end; empty when there is no such job."""
        return self.jobs.get(job, {}).get("state", "")

    def job(self, key: str) -> Job:
        """A job in the end, as it would be read."""
        raw = {name.encode(): text.encode() for name, text in self.jobs[key].items()}
        return job_from_hash(raw)

    def number(self, job: str, name: str) -> int:
        """A number among a job's fields in the end."""
        return int(self.jobs.get(job, {}).get(name) or 0)
