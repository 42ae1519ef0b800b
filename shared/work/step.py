"""The contract between a flow's step and whoever runs it.

A *child step* is untrusted work in a process of its own (rule 10): a synchronous function
``run(task, report) -> result`` in ``services/jobs/steps/<name>.py``. The parent and the child speak
JSON lines: the task on the child's standard input, :data:`Line` on its standard output.

Files are named relative to ``task.workdir``, which belongs to this attempt of this step alone.
Inputs are local paths that the parent prepared. A step that is started again after a crash gets
the ``checkpoint`` it reported last together with the artifacts it had named then, laid out in the
workdir again; it must then end with the same result as if it had never been interrupted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

ErrorClass = Literal[
    "bad_input", "transient", "dependency", "quota", "bug", "worker_lost", "cancelled"
]


class StepTask(msgspec.Struct, frozen=True, kw_only=True):
    """What a child step shall do.

    ``params`` are small and JSON-like. ``inputs`` maps names to absolute local paths: ``source``
    is the video; the artifacts of earlier steps appear under their file names.
    """

    step: str
    params: dict[str, Any]
    inputs: dict[str, str]
    workdir: str
    checkpoint: dict[str, Any] | None = None

    def path(self, name: str) -> Path:
        """Where a file called ``name`` belongs in this attempt's workdir."""
        return Path(self.workdir) / name


class ProgressLine(msgspec.Struct, frozen=True, tag="progress"):
    """How far the step is, 0 to 1, and a word about it."""

    fraction: float
    message: str = ""


class CheckpointLine(msgspec.Struct, frozen=True, tag="checkpoint"):
    """A place to go on from: JSON-like state (at most 24 KB) and files of the workdir to keep."""

    state: dict[str, Any]
    artifacts: tuple[str, ...] = ()


class ResultLine(msgspec.Struct, frozen=True, tag="result"):
    """The step is done: its small result and the files of the workdir to keep."""

    result: dict[str, Any]
    artifacts: tuple[str, ...] = ()


class ErrorLine(msgspec.Struct, frozen=True, tag="error"):
    """The step failed: a stable code, its class, one sentence, and what the person can do."""

    code: str
    error_class: ErrorClass
    detail: str
    hint: str = ""


Line = ProgressLine | CheckpointLine | ResultLine | ErrorLine


class StepFailed(Exception):
    """Raised by a step to end its attempt with a known error. ``tail`` is the last that its process
    wrote.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        error_class: ErrorClass,
        hint: str = "",
        tail: tuple[str, ...] = (),
    ) -> None:
        self.code = code
        self.detail = detail
        self.error_class: ErrorClass = error_class
        self.hint = hint
        self.tail = tail
        super().__init__(detail)


class Snoozed(Exception):
    """Raised by a step that cannot go on now through nobody's fault (a quota, a provider that is
    away): the job waits ``seconds`` outside of any slot, and no attempt is counted.
    """

    def __init__(self, code: str, detail: str, *, seconds: float) -> None:
        self.code = code
        self.detail = detail
        self.seconds = seconds
        super().__init__(detail)


class BadInput(StepFailed):
    """The content itself is at fault: repeating the step cannot help."""

    def __init__(self, code: str, detail: str, *, hint: str = "") -> None:
        super().__init__(code, detail, error_class="bad_input", hint=hint)


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a step returns; ``artifacts`` are file names in the workdir."""

    result: dict[str, Any] = {}
    artifacts: tuple[str, ...] = ()


class Report(Protocol):
    """How a running step tells its parent about itself. Calls are cheap; throttling is done here,
    so a step may report after every frame.
    """

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far the step is, 0 to 1."""
        ...

    def checkpoint(self, state: dict[str, Any], artifacts: tuple[str, ...] = ()) -> None:
        """Leave a place to go on from. Files named here must not change afterwards; name all the
        files that are needed to go on, not only new ones.
        """
        ...
