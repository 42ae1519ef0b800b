"""Read the captions' stills."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from pathlib import Path

import msgspec
import numpy as np

from services.jobs.media.captions.extents import Extent
from services.jobs.media.captions.texts import ReadCaption, merged, read_still
from services.jobs.media.engine import ENGINE
from services.jobs.media.picture import read_bgr
from services.jobs.media.reader import RapidReader, Reader
from services.jobs.media.seconds import RATE
from services.jobs.steps.extents import Extents
from services.jobs.steps.parts import Parts
from shared.work.step import Report, StepResult, StepTask


class Captions(msgspec.Struct, frozen=True, kw_only=True):
    """What ``captions.json`` says."""

    origin: str
    rate: int
    frames: int
    captions: tuple[ReadCaption, ...]


def run(task: StepTask, report: Report) -> StepResult:
    """Recognise each caption's lines; one part for each file of stills."""
    index = msgspec.json.decode(Path(task.inputs["extents.json"]).read_bytes(), type=Extents)
    parts = Parts(task, report)
    reader = RapidReader()
    read: list[ReadCaption] = []
    done = 0
    for file, group in groupby(index.captions, key=lambda caption: caption.still.file):
        some = list(group)
        make = partial(_read_file, reader, Path(task.inputs[file]), some, index.height)
        read += parts.get(f"texts-{Path(file).stem}.json", list[ReadCaption], make)
        done += len(some)
        report.progress(done / len(index.captions), f"{done} of {len(index.captions)} read")
    captions = merged(read)
    whole = Captions(origin=ENGINE, rate=RATE, frames=index.frames, captions=tuple(captions))
    task.path("captions.json").write_bytes(msgspec.json.encode(whole))
    return StepResult(result={"captions": len(captions)}, artifacts=("captions.json",))


def _read_file(
    reader: Reader, path: Path, captions: list[Extent], height: int
) -> list[ReadCaption]:
    sheet = read_bgr(path)
    read = []
    for caption in captions:
        top = caption.still.row * height
        picture = np.ascontiguousarray(sheet[top : top + height])
        read.append(read_still(reader, picture, caption))
    return read
