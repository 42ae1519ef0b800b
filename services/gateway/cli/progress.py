"""Jobs on their way: bars where a terminal can draw them, lines elsewhere, JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.table import Column

from services.gateway.cli import shown_jobs
from services.gateway.cli.screen import Screen, plain
from services.gateway.cli.stream import Sent
from services.gateway.cli.words import percent, state

_ENDED = frozenset({"succeeded", "failed", "cancelled", "expired"})


class Follower(Protocol):
    """Shows what becomes of jobs."""

    def show(self, job_id: str, sent: Sent) -> None:
        """Something has happened to a job."""
        ...


@contextmanager
def following(screen: Screen) -> Iterator[Follower]:
    """What suits the screen."""
    if screen.is_json:
        yield JsonLines(screen)
    elif not screen.is_live:
        yield Lines(screen)
    else:
        words = Column(ratio=2, no_wrap=True, overflow="ellipsis")
        columns = (
            TextColumn("{task.description}", markup=False, table_column=words),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=8)),
            TaskProgressColumn(),
        )
        with Progress(*columns, console=screen.console, expand=True) as progress:
            yield Bars(screen, progress)


@dataclass(frozen=True, slots=True)
class JsonLines:
    """One document for each event."""

    screen: Screen

    def show(self, job_id: str, sent: Sent) -> None:
        """Print the event as it is."""
        line = {"job": job_id, "event": sent.event, "id": sent.id, "data": sent.data}
        self.screen.json_line(line)


@dataclass(frozen=True, slots=True)
class Lines:
    """One line for each new state, each new step, and every tenth of the way."""

    screen: Screen
    _last: dict[str, tuple[str, str, int]] = field(default_factory=dict)

    def show(self, job_id: str, sent: Sent) -> None:
        """Print a line if there is something new."""
        data = sent.data
        tenths = round(data["progress"] * 100) // 10
        now = (state(data), str(data["step"]), tenths)
        if self._last.get(job_id) == now:
            return
        self._last[job_id] = now
        self.screen.line(_words(job_id, data))
        _tell_failure(self.screen, data)


@dataclass(frozen=True, slots=True)
class Bars:
    """A bar for each job that is on its way; what has ended stands above them."""

    screen: Screen
    progress: Progress
    _tasks: dict[str, TaskID] = field(default_factory=dict)
    _ended: set[str] = field(default_factory=set)

    def show(self, job_id: str, sent: Sent) -> None:
        """Let the job's bar grow, or take it away when the job has ended."""
        data = sent.data
        if data["state"] in _ENDED:
            self._end(job_id, data)
            return
        self._ended.discard(job_id)
        if job_id not in self._tasks:
            self._tasks[job_id] = self.progress.add_task("", total=1.0)
        now = state(data) if state(data) != "running" else ""
        words = " ".join(part for part in (now, data["step"], data["message"]) if part)
        self.progress.update(
            self._tasks[job_id],
            completed=float(data["progress"]),
            description=plain(f"{job_id[-12:]} {words}"),
        )

    def _end(self, job_id: str, data: Any) -> None:
        if job_id in self._tasks:
            self.progress.remove_task(self._tasks.pop(job_id))
        if job_id not in self._ended:
            self._ended.add(job_id)
            self.screen.line(_words(job_id, data))
            _tell_failure(self.screen, data)


def _words(job_id: str, data: Any) -> str:
    step = f" {data['step']}" if data["step"] else ""
    message = f": {data['message']}" if data["message"] else ""
    return f"{job_id} {state(data)}{step} {percent(data['progress'])}{message}"


def _tell_failure(screen: Screen, data: Any) -> None:
    if data["state"] in _ENDED and data.get("error"):
        shown_jobs.failure(screen, data["error"])
