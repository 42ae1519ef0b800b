"""Every fault at every point, in one run of many jobs."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis

from shared.tenancy import blob_key
from tests.integration.work.bench import programs
from tests.recovery.audit import AUDIT
from tests.recovery.clerk import CLOSING
from tests.recovery.crew import LEASE
from tests.recovery.leftovers import is_at_rest
from tests.recovery.outcome import Outcome, outcome_of
from tests.recovery.parcels import TENANTS
from tests.support.forks import Forks, forking
from tests.support.points import all_points
from tests.support.processes import own_redis
from tests.support.stacks import private_names
from tests.support.strikes import FAULTS, HARMLESS, Board, Fault

POSTS = ("door", "desk", "desk", "chores", "chores", "worker", "worker", "worker")
"""The processes; whichever ends is started again."""
STRIKE_SECONDS = 150.0
"""How long to wait for the last fault; a sixth of it is usual on two processors."""
END_SECONDS = 60.0
"""How long all jobs may take to come to their ends; a few seconds are usual."""
CLOSING_SECONDS = LEASE * 2
"""How long after closing time what was late may still come."""
MORE = 3
"""How many faults strike again, at most, between two processes that leave."""
LEAVE_EVERY = 0.3
"""Seconds between two processes that are told to leave in good order."""
STALL_SECONDS = 1.6
"""How long a worker is held still, longer than its leases."""
LEFT = (0, -signal.SIGTERM)
"""How a process ends that was told to leave; by the signal itself when it had hardly begun."""


def strike_everywhere(folder: Path, seed: int) -> Outcome:
    """Run jobs, and let every fault strike at every point once."""
    board = Board(folder / "board")
    board.prepare()
    for tenant in TENANTS:
        source = folder / "blobs" / blob_key(tenant, "source")
        source.parent.mkdir(parents=True)
        source.write_text("source")
    with own_redis(next(iter(programs().values())), appendonly=True) as server:
        place = {"redis": server.url, "amqp": private_names(AUDIT), "folder": str(folder)}
        with forking("tests.recovery.crew", folder / "logs") as forks:
            run = _Run(forks, board, place, random.Random(seed))
            run.strike(all_points())
            run.finish(lambda: is_at_rest(server))
        return outcome_of(server, place, board, tuple(run.failures))


@dataclass
class _Run:
    """The crew at work while faults strike it. ``place`` is what each process is told."""

    forks: Forks
    board: Board
    place: Mapping[str, str]
    chance: random.Random
    failures: list[str] = field(default_factory=list)
    _pids: list[int] = field(default_factory=list)
    _still: int = 0
    _turn_at: float = 0.0

    def strike(self, points: list[str]) -> None:
        """Until each fault has struck everywhere, or the time is over."""
        end = time.monotonic() + STRIKE_SECONDS
        waiting = {point: self.chance.sample(FAULTS, len(FAULTS)) for point in points}
        for point, faults in waiting.items():
            self.board.put(point, faults[-1])
        self._pids = [self.forks.start(role, **self.place) for role in POSTS]
        with redis.Redis.from_url(self.place["redis"]) as eyes:
            while self._put_next(waiting) and time.monotonic() < end:
                self._put_more([point for point, faults in waiting.items() if not faults])
                self._disturb(eyes)
                self._mind(time.monotonic() + LEAVE_EVERY, lambda: False)
        self.board.clear()

    def finish(self, is_at_rest: Callable[[], bool]) -> None:
        """Let all jobs come to their ends, then let everybody leave."""
        with redis.Redis.from_url(self.place["redis"]) as eyes:
            eyes.set(CLOSING, 1)
        if self._still:
            _tell(self._still, signal.SIGCONT)
        self._mind(time.monotonic() + CLOSING_SECONDS, lambda: False)
        self._mind(time.monotonic() + END_SECONDS, self._has_door_left)
        self._mind(time.monotonic() + END_SECONDS, is_at_rest)
        for pid in self._pids[1:]:
            _tell(pid, signal.SIGTERM)
        for at, role in enumerate(POSTS):
            if at:
                self._note_end(self._pids[at], role)

    def _put_next(self, waiting: dict[str, list[Fault]]) -> bool:
        """Put up the next fault wherever the last one has struck; whether any are left."""
        for point, faults in waiting.items():
            if faults and self.board.has_struck(point, faults[-1]):
                faults.pop()
                if faults:
                    self.board.put(point, faults[-1])
        return any(waiting.values())

    def _put_more(self, done: list[str]) -> None:
        """While faults still wait at rare points, let some strike again at those that are not."""
        for point in self.chance.sample(done, min(MORE, len(done))):
            if self.board.is_free(point):
                self.board.put(point, self.chance.choice(HARMLESS))

    def _disturb(self, eyes: redis.Redis) -> None:
        """What also happens in a day: somebody leaves, somebody stands still for a while, and
        somebody writes nonsense.
        """
        _tell(self.chance.choice(self._pids[1:]), signal.SIGTERM)
        eyes.xadd("rw:outbox:jobs", {"kind": "nonsense"})
        if time.monotonic() > self._turn_at:
            self._turn_at = time.monotonic() + STALL_SECONDS
            self._still = self._hold_still(self._still)

    def _hold_still(self, still: int) -> int:
        """Let the last worker stand still and go on in turn; answers which process stands still."""
        if still:
            _tell(still, signal.SIGCONT)
            return 0
        _tell(self._pids[-1], signal.SIGSTOP)
        return self._pids[-1]

    def _mind(self, end: float, is_over: Callable[[], bool]) -> None:
        """Start again whoever has ended."""
        while time.monotonic() < end and not is_over():
            for at, role in enumerate(POSTS):
                if self.forks.has_ended(self._pids[at]) and not (at == 0 and self._has_door_left()):
                    self._note_end(self._pids[at], role)
                    self._pids[at] = self.forks.start(role, **self.place)
            time.sleep(0.01)

    def _has_door_left(self) -> bool:
        return self.forks.has_ended(self._pids[0]) and not self.forks.status(self._pids[0])

    def _note_end(self, pid: int, role: str) -> None:
        status = self.forks.status(pid)
        self.board.inherit(pid)
        struck = any(strike.pid == pid for strike in self.board.strikes())
        if status not in ((*LEFT, -signal.SIGKILL) if struck else LEFT):
            log = (self.forks.folder / f"{role}-{pid}.log").read_text(errors="replace")
            self.failures.append(f"{role} {pid} ended with {status}:\n{log[-3000:]}")


def _tell(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):  # struck in this very moment
        os.kill(pid, number)
