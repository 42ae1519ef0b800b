"""The child's side of the pipe: lines to the parent, progress not more often than it is read."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, BinaryIO

import msgspec

from shared.work.step import CheckpointLine, Line, ProgressLine

_PROGRESS_SECONDS = 0.25


class LineReport:
    """Reports as JSON lines. Progress is written at most four times a second; the newest waits
    and goes out before the next line that is not progress. Checkpoints always go out.
    """

    def __init__(self, output: BinaryIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._clock = clock
        self._written_at = -_PROGRESS_SECONDS
        self._waiting: ProgressLine | None = None

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far the step is, 0 to 1."""
        self._waiting = ProgressLine(round(min(1.0, max(0.0, fraction)), 4), message)
        if self._clock() - self._written_at >= _PROGRESS_SECONDS:
            self._flush_progress()

    def checkpoint(self, state: dict[str, Any], artifacts: tuple[str, ...] = ()) -> None:
        """Leave a place to go on from."""
        self.send(CheckpointLine(state, artifacts))

    def send(self, line: Line) -> None:
        """Write a line now, after the progress that waits."""
        self._flush_progress()
        self._write(line)

    def _flush_progress(self) -> None:
        if self._waiting is not None:
            self._write(self._waiting)
            self._waiting = None
            self._written_at = self._clock()

    def _write(self, line: Line) -> None:
        self._output.write(msgspec.json.encode(line) + b"\n")
        self._output.flush()
