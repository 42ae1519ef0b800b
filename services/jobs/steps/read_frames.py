"""Read all text in the sampled frames."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import msgspec

from services.jobs.media.captions.bands import SeenBox, SeenFrame, SeenFrames
from services.jobs.media.captions.ink import measure
from services.jobs.media.captions.layout import rounded
from services.jobs.media.engine import ENGINE
from services.jobs.media.geometry import Rect
from services.jobs.media.picture import Gray, as_gray, read_bgr
from services.jobs.media.reader import RapidReader, Reader
from services.jobs.steps.frames import TakenFrame, TakenFrames
from services.jobs.steps.parts import Parts
from shared.work.step import Report, StepResult, StepTask

_PER_PART = 10


def run(task: StepTask, report: Report) -> StepResult:
    """Detect and recognise text on each picture."""
    index = msgspec.json.decode(Path(task.inputs["times.json"]).read_bytes(), type=TakenFrames)
    parts = Parts(task, report)
    reader = RapidReader()
    seen: list[SeenFrame] = []
    for at in range(0, len(index.frames), _PER_PART):
        some = index.frames[at : at + _PER_PART]
        seen += parts.get(
            f"read-{at // _PER_PART:04d}.json",
            list[SeenFrame],
            partial(_read_all, task, reader, some),
        )
        report.progress(len(seen) / len(index.frames), f"{len(seen)} of {len(index.frames)} read")
    whole = SeenFrames(origin=ENGINE, width=index.width, height=index.height, frames=tuple(seen))
    task.path("frames.json").write_bytes(msgspec.json.encode(whole))
    boxes = sum(len(frame.boxes) for frame in seen)
    return StepResult(result={"frames": len(seen), "boxes": boxes}, artifacts=("frames.json",))


def _read_all(task: StepTask, reader: Reader, frames: tuple[TakenFrame, ...]) -> list[SeenFrame]:
    return [_read(task, reader, frame) for frame in frames]


def _read(task: StepTask, reader: Reader, frame: TakenFrame) -> SeenFrame:
    picture = read_bgr(Path(task.inputs[frame.name]))
    gray = as_gray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
    rects = reader.detect(picture)
    boxes = [
        _seen(rect, gray, reading.text, reading.confidence)
        for rect, reading in zip(rects, reader.recognise(picture, rects), strict=True)
        if reading.text
    ]
    return SeenFrame(frame.name, frame.time, tuple(boxes))


def _seen(rect: Rect, gray: Gray, text: str, confidence: float) -> SeenBox:
    height, width = gray.shape
    ink = measure(gray[int(rect.y0) : int(rect.y1) + 1, int(rect.x0) : int(rect.x1) + 1])
    shares = Rect(rect.x0 / width, rect.y0 / height, rect.x1 / width, rect.y1 / height)
    return SeenBox(rounded(shares), text, confidence, ink.luminance, ink.polarity)
