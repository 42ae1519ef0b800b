"""Decode once and keep the caption region at ten pictures a second."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
from av.video.frame import VideoFrame

from services.jobs.media.captions.layout import Layout
from services.jobs.media.crops import (
    CHUNK,
    ChunkWriter,
    CropIndex,
    crop_size,
    region_of,
    sampled,
)
from services.jobs.media.duration import find_end
from services.jobs.media.engine import ENGINE
from services.jobs.media.picture import gray_crop
from services.jobs.media.seconds import RATE
from services.jobs.media.video import Video
from services.jobs.steps.parts import Parts
from shared.work.step import Report, StepResult, StepTask


class _Chunk(msgspec.Struct, frozen=True):
    """How many samples a chunk has, and how many damaged packets were met making it."""

    samples: int
    damaged: int


def run(task: StepTask, report: Report) -> StepResult:
    """Write the crops of ``params["layout"]`` in chunks of ``params["chunk"]`` samples, a minute
    unless said otherwise.
    """
    layout = msgspec.convert(task.params["layout"], Layout, strict=False)
    with Video(Path(task.inputs["source"])) as video:
        maker = _Cropper(task, report, video, layout)
        chunks = maker.chunks()
        width, height, line = crop_size(layout, (video.width, video.height))
    names = tuple(_name(number) for number in range(len(chunks)))
    index = CropIndex(
        frames=sum(chunk.samples for chunk in chunks),
        height=height,
        width=width,
        line=round(line, 3),
        layout=layout,
        chunks=names,
        chunk=maker.chunk,
        damaged_packets=sum(chunk.damaged for chunk in chunks),
        origin=ENGINE,
    )
    task.path("crop.json").write_bytes(msgspec.json.encode(index))
    result = {
        "frames": index.frames,
        "rate": RATE,
        "height": height,
        "width": width,
        "damaged_packets": index.damaged_packets,
    }
    return StepResult(result=result, artifacts=("crop.json", *names))


class _Cropper:
    """Makes chunk after chunk from one pass over the video."""

    def __init__(self, task: StepTask, report: Report, video: Video, layout: Layout) -> None:
        self._task = task
        self._report = report
        self._video = video
        self._region = region_of(layout)
        self.chunk = int(task.params.get("chunk", CHUNK))
        self._size = crop_size(layout, (video.width, video.height))[:2]
        self._end = find_end(video).seconds
        self._total = max(1, round(self._end * RATE))
        self._frames: Iterator[VideoFrame] | None = None

    def chunks(self) -> list[_Chunk]:
        """All chunks; those an earlier attempt finished are not made again."""
        parts = Parts(self._task, self._report)
        done: list[_Chunk] = []
        for number in range(math.ceil(self._total / self.chunk)):
            name = f"chunk-{number:04d}.json"
            done.append(parts.get(name, _Chunk, partial(self._write, number), (_name(number),)))
        return done

    def _write(self, chunk: int) -> _Chunk:
        first = chunk * self.chunk
        if self._frames is None:
            self._frames = sampled(self._video.frames(first / RATE), first)
        writer = ChunkWriter(self._task.path(_name(chunk)), self._size)
        last = min(first + self.chunk, self._total)
        for number, frame in zip(range(first, last), self._frames, strict=False):
            writer.add(gray_crop(frame, self._region, self._video.quarter_turns, self._size))
            self._report.progress(number / self._total, f"{number // RATE} of {self._end:.0f} s")
        writer.close()
        damaged = self._video.damaged_packets(first / RATE, last / RATE)
        return _Chunk(last - first, damaged)


def _name(chunk: int) -> str:
    return f"crop-{chunk:04d}.nut"
