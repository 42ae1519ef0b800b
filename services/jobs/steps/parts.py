"""Work in parts: each part is written to a file and checkpointed, and read back after a crash."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from shared.work.step import Report, StepTask

T = TypeVar("T")


class Parts:
    """The parts of one attempt, in a fixed order. A part that an earlier attempt finished is read
    from its file instead of being made again, so that a resumed step ends like an uninterrupted
    one.
    """

    def __init__(self, task: StepTask, report: Report) -> None:
        self._task = task
        self._report = report
        self._kept: int = (task.checkpoint or {}).get("parts", 0)
        self._done = 0
        self._files: list[str] = []

    def get(self, name: str, kind: type[T], make: Callable[[], T], also: tuple[str, ...] = ()) -> T:
        """The part ``name``, which is made by ``make`` unless it is there. Making it may write
        those of the files ``also`` that it needs.
        """
        path = self._task.path(name)
        self._done += 1
        fresh = self._done > self._kept
        if fresh:
            path.write_bytes(msgspec.json.encode(make()))
        self._files += [name, *(file for file in also if self._task.path(file).exists())]
        if fresh:
            self._report.checkpoint({"parts": self._done}, tuple(self._files))
        # Also a fresh part is read back: what a file cannot hold must not make a difference.
        return msgspec.json.decode(path.read_bytes(), type=kind)
