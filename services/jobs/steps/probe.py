"""What kind of video this is, and whether it is one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from services.jobs.media.duration import find_end
from services.jobs.media.video import Video
from shared.work.step import Report, StepResult, StepTask


def run(task: StepTask, report: Report) -> StepResult:
    """Describe the source as shown: size in pixels, duration in seconds."""
    with Video(Path(task.inputs["source"])) as video:
        report.progress(0.3, "the first frame can be decoded")
        alive = partial(report.progress, 0.6, "looking for the last frame")
        return StepResult(result=describe(video, alive))


def describe(video: Video, alive: Callable[[], None]) -> dict[str, Any]:
    """The result of the step."""
    end = find_end(video, alive)
    stream = video.stream
    described = {
        "duration": round(end.seconds, 3),
        "width": video.width,
        "height": video.height,
        "rotation": 90 * video.quarter_turns,
        "fps": round(video.fps, 3),
        "codec": stream.codec_context.codec.canonical_name,
        "container": video.container.format.name.split(",")[0],
        "has_audio": bool(video.container.streams.audio),
        "frames_estimate": stream.frames or round(end.seconds * video.fps),
    }
    return described | ({"damaged": True} if end.damaged else {})
