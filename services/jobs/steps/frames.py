"""Full frames, evenly over the video: what the layout is found in and a person looks at."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from services.jobs.media.duration import find_end
from services.jobs.media.picture import colour, write_jpeg
from services.jobs.media.playhead import Playhead
from services.jobs.media.video import Video
from services.jobs.steps.parts import Parts
from shared.work.step import Report, StepResult, StepTask

LONG_SIDE = 1280
_PER_SECOND = 0.1
_FEWEST, _MOST = 12, 120
_PER_PART = 10


class TakenFrame(msgspec.Struct, frozen=True):
    """A frame's file and its time in seconds."""

    name: str
    time: float


class TakenFrames(msgspec.Struct, frozen=True, kw_only=True):
    """What ``times.json`` says: the frames, and the size of the whole picture as shown."""

    frames: tuple[TakenFrame, ...]
    width: int
    height: int


def run(task: StepTask, report: Report) -> StepResult:
    """Take frames at 0.1 a second, but at least 12 and at most 120."""
    parts = Parts(task, report)
    taken: list[TakenFrame] = []
    with Video(Path(task.inputs["source"])) as video:
        times = sample_times(find_end(video).seconds)
        names = tuple(f"frame-{number:04d}.jpg" for number in range(len(times)))
        taker = _Taker(task, video)
        for at in range(0, len(times), _PER_PART):
            some = slice(at, at + _PER_PART)
            taken += parts.get(
                f"times-{at // _PER_PART:04d}.json",
                list[TakenFrame],
                partial(taker.take, names[some], times[some]),
                names[some],
            )
            report.progress(len(taken) / len(times), f"{len(taken)} of {len(times)} frames")
        index = TakenFrames(frames=tuple(taken), width=video.width, height=video.height)
    task.path("times.json").write_bytes(msgspec.json.encode(index))
    listed = msgspec.to_builtins(taken)
    return StepResult(
        result={"frames": listed}, artifacts=(*(frame.name for frame in taken), "times.json")
    )


def sample_times(duration: float) -> list[float]:
    """The middles of equal shares of the duration, in seconds."""
    count = max(_FEWEST, min(_MOST, round(duration * _PER_SECOND)))
    return [round((number + 0.5) / count * duration, 3) for number in range(count)]


class _Taker:
    """Writes the frames shown at given times."""

    def __init__(self, task: StepTask, video: Video) -> None:
        self._task = task
        self._playhead = Playhead(video)
        self._size = (video.width, video.height)
        self._quarter_turns = video.quarter_turns

    def take(self, names: tuple[str, ...], times: list[float]) -> list[TakenFrame]:
        """One picture for each name and time (seconds)."""
        for name, time in zip(names, times, strict=True):
            shown = self._playhead.at(time)
            assert shown is not None
            picture = colour(shown.frame, self._size, self._quarter_turns, LONG_SIDE)
            write_jpeg(self._task.path(name), picture)
        return [TakenFrame(name, time) for name, time in zip(names, times, strict=True)]
