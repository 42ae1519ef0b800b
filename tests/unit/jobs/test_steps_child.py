from __future__ import annotations

import io
import resource
from pathlib import Path

import msgspec

from services.jobs.steps import limits
from services.jobs.steps.frames import sample_times
from services.jobs.steps.lines_out import LineReport
from services.jobs.steps.parts import Parts
from services.jobs.steps.table import STEPS, find
from shared.work.step import CheckpointLine, Line, ProgressLine, ResultLine, StepTask
from tests.support.steps import Checkpoints


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def written(output: io.BytesIO) -> list[Line]:
    return [msgspec.json.decode(line, type=Line) for line in output.getvalue().splitlines()]


def test_progress_is_written_four_times_a_second_and_the_last_always() -> None:
    output, clock = io.BytesIO(), Clock()
    report = LineReport(output, clock)
    for number in range(101):
        clock.now = number / 100
        report.progress(number / 100)
    report.send(ResultLine({}))
    lines = written(output)
    fractions = [line.fraction for line in lines if isinstance(line, ProgressLine)]
    assert 4 <= len(fractions) <= 6
    assert fractions[-1] == 1.0
    assert lines[-1] == ResultLine({})


def test_checkpoints_are_written_at_once() -> None:
    output = io.BytesIO()
    report = LineReport(output, Clock())
    for number in range(5):
        report.checkpoint({"parts": number}, ("a.json",))
    assert written(output) == [CheckpointLine({"parts": n}, ("a.json",)) for n in range(5)]


def task(folder: Path, checkpoint: dict[str, int] | None = None) -> StepTask:
    return StepTask(step="crop", params={}, inputs={}, workdir=str(folder), checkpoint=checkpoint)


def test_finished_parts_are_read_back_and_not_made_again(tmp_path: Path) -> None:
    first = Checkpoints()
    parts = Parts(task(tmp_path), first)
    assert parts.get("a.json", list[int], lambda: [1, 2]) == [1, 2]

    def never() -> list[int]:
        raise AssertionError

    again = Checkpoints()
    parts = Parts(task(tmp_path, first.seen[-1].state), again)
    assert parts.get("a.json", list[int], never) == [1, 2]
    assert parts.get("b.json", list[int], lambda: [3]) == [3]
    assert again.seen == [CheckpointLine({"parts": 2}, ("a.json", "b.json"))]


def test_a_part_that_was_not_in_the_checkpoint_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"half wri")
    assert Parts(task(tmp_path), Checkpoints()).get("a.json", list[int], lambda: [7]) == [7]


def test_every_step_has_a_function() -> None:
    assert all(callable(find(step)) for step in STEPS)


def test_frames_are_taken_evenly_but_not_too_many() -> None:
    assert len(sample_times(30)) == 12
    assert len(sample_times(600)) == 60
    assert len(sample_times(36_000)) == 120
    assert sample_times(24)[:2] == [1.0, 3.0]


def test_a_limit_that_is_lower_already_stays() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    allowed = limits.lowered(1 << 40, 1 << 20)
    assert allowed == 1 << 20
    assert limits.lowered(1 << 20, resource.RLIM_INFINITY) == 1 << 20
    assert resource.getrlimit(resource.RLIMIT_CORE) == (soft, hard)
