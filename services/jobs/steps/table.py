"""Which step is which module. Modules are imported when they run: probing needs no recogniser."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from shared.work.step import Report, StepFailed, StepResult, StepTask

Run = Callable[[StepTask, Report], StepResult]

PROCESS_VIDEO = ("probe", "poster", "frames", "read_frames", "layout")
CAPTION_VIDEO = ("crop", "extents", "read_captions")
STEPS = frozenset({*PROCESS_VIDEO, *CAPTION_VIDEO})


def find(step: str) -> Run:
    """The function behind a step's name."""
    if step not in STEPS:
        raise StepFailed("unknown_step", f"there is no step called {step}", error_class="bug")
    return cast("Run", import_module(f"services.jobs.steps.{step}").run)
