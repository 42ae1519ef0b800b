"""Running child steps in a test: in this process with a report that can stop, or as programs."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from services.jobs.steps.table import CAPTION_VIDEO, PROCESS_VIDEO, find
from shared.work.step import (
    CheckpointLine,
    Line,
    ResultLine,
    StepResult,
    StepTask,
)


class Interrupted(Exception):
    """The report stopped the step."""


class Checkpoints:
    """A report that remembers checkpoints, and stops the step at the one it is told to."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.seen: list[CheckpointLine] = []
        self._stop_at = stop_at

    def progress(self, fraction: float, message: str = "") -> None:
        """Progress is of no interest."""

    def checkpoint(self, state: dict[str, Any], artifacts: tuple[str, ...] = ()) -> None:
        """Remember it, and stop if this is the place."""
        self.seen.append(CheckpointLine(state, artifacts))
        if len(self.seen) == self._stop_at:
            raise Interrupted


def interrupted_at(task: StepTask, number: int, folder: Path) -> StepTask:
    """Run a task up to its checkpoint ``number`` and say what the next attempt would be given."""
    report = Checkpoints(stop_at=number)
    folder.mkdir(parents=True)
    try:
        find(task.step)(msgspec.structs.replace(task, workdir=str(folder)), report)
    except Interrupted:
        pass
    else:
        raise AssertionError(f"{task.step} has fewer than {number} checkpoints")
    last = report.seen[-1]
    again = folder.with_name(f"{folder.name}-again")
    again.mkdir()
    for name in last.artifacts:
        shutil.copy(folder / name, again / name)
    return msgspec.structs.replace(task, workdir=str(again), checkpoint=last.state)


def fingerprint(task: StepTask, result: StepResult) -> dict[str, str]:
    """The result and the hashes of its artifacts."""
    files = {name: hashlib.sha256(task.path(name).read_bytes()) for name in result.artifacts}
    said = msgspec.json.encode(result.result).decode()
    return {"result": said} | {name: hashed.hexdigest() for name, hashed in files.items()}


def run_child(task: StepTask) -> list[Line]:
    """Run a task in the child program; all of its lines."""
    Path(task.workdir).mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "services.jobs.steps"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(task) + b"\n")
        process.stdin.flush()
        lines = [msgspec.json.decode(line, type=Line) for line in process.stdout]
    assert process.wait() in {0, 1}  # 1 after a crash that it has told of
    return lines


class Flow:
    """Runs the steps of both flows one after the other, as child programs."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._folder = folder
        self.inputs = {"source": str(source)}
        self.results: dict[str, dict[str, Any]] = {}

    def process_video(self) -> dict[str, Any]:
        """Everything up to the layout, which is returned."""
        for step in PROCESS_VIDEO:
            self.run(step)
        return self.results["layout"]

    def caption_video(self) -> list[dict[str, Any]]:
        """The captions of the layout that was found."""
        for step in CAPTION_VIDEO:
            self.run(step)
        path = Path(self.inputs["captions.json"])
        captions: list[dict[str, Any]] = msgspec.json.decode(path.read_bytes())["captions"]
        return captions

    def task(self, step: str) -> StepTask:
        """A task for a step whose inputs were made by those before it."""
        params = {"layout": self.results["layout"]} if step in CAPTION_VIDEO else {}
        workdir = str(self._folder / step)
        return StepTask(step=step, params=params, inputs=dict(self.inputs), workdir=workdir)

    def run(self, step: str) -> dict[str, Any]:
        """One step; its result."""
        task = self.task(step)
        last = run_child(task)[-1]
        assert isinstance(last, ResultLine), last
        self.results[step] = last.result
        self.inputs |= {name: str(task.path(name)) for name in last.artifacts}
        return last.result
