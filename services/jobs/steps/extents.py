"""Find when captions come and go, chunk by chunk."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from services.jobs.media.captions.cuts import REACH, Change, Segment, change, segments
from services.jobs.media.captions.extents import Extent, Group, Placed, Placer, Still
from services.jobs.media.captions.ink import Ink, brightened
from services.jobs.media.captions.looks import Look, Looker
from services.jobs.media.captions.strokes import Strokes, strokes_of
from services.jobs.media.crops import CropIndex, Crops
from services.jobs.media.engine import ENGINE
from services.jobs.media.picture import as_gray, write_png
from services.jobs.media.seconds import RATE
from services.jobs.steps.parts import Parts
from shared.work.step import Report, StepResult, StepTask


class Extents(msgspec.Struct, frozen=True, kw_only=True):
    """What ``extents.json`` says: captions in order of time, without their texts."""

    origin: str
    rate: int
    frames: int
    height: int
    width: int
    line: float
    captions: tuple[Extent, ...]


def run(task: StepTask, report: Report) -> StepResult:
    """Scan for changes, look at what is between them, place the boundaries."""
    index = msgspec.json.decode(Path(task.inputs["crop.json"]).read_bytes(), type=CropIndex)
    crops = Crops(index.frames, [Path(task.inputs[name]) for name in index.chunks], index.chunk)
    finder = _Finder(task, report, index, crops)
    captions = finder.captions()
    whole = Extents(
        origin=ENGINE,
        rate=RATE,
        frames=index.frames,
        height=index.height,
        width=index.width,
        line=index.line,
        captions=tuple(captions),
    )
    task.path("extents.json").write_bytes(msgspec.json.encode(whole))
    stills = dict.fromkeys(caption.still.file for caption in captions)
    return StepResult(result={"captions": len(captions)}, artifacts=("extents.json", *stills))


class _Finder:
    """The three passes over the crops: what changes, what is seen in between, where it ends."""

    def __init__(self, task: StepTask, report: Report, index: CropIndex, crops: Crops) -> None:
        self._task = task
        self._report = report
        self._index = index
        self._crops = crops
        self._ink = Ink(index.layout.polarity, index.layout.fill_luminance)
        self._parts = Parts(task, report)
        self._chunks = range(len(index.chunks))
        self._done = 0.0

    def captions(self) -> list[Extent]:
        """All captions in order of time."""
        return self._placed(self._looks(segments(self._changes())))

    def _changes(self) -> list[Change]:
        found: list[Change] = []
        for chunk in self._chunks:
            found += self._parts.get(
                f"changes-{chunk:04d}.json", list[Change], partial(self._changes_in, chunk)
            )
            self._progress(0, chunk)
        return found

    def _changes_in(self, chunk: int) -> list[Change]:
        known: OrderedDict[int, Strokes] = OrderedDict()

        def strokes_at(number: int) -> Strokes | None:
            if not 0 <= number < self._crops.count:
                return None
            if number not in known:
                known[number] = strokes_of(self._crops[number], self._ink)
            while len(known) > 2 * REACH:
                known.popitem(last=False)
            return known[number]

        found: list[Change] = []
        samples = self._samples(chunk)
        for at in samples:
            found.append(change(at, strokes_at))
            self._progress(0, chunk, len(found) / len(samples))
        return found

    def _samples(self, chunk: int) -> range:
        length = self._index.chunk
        return range(chunk * length, min((chunk + 1) * length, self._crops.count))

    def _looks(self, found: list[Segment]) -> list[Look]:
        looker = Looker(self._crops, self._index)
        looks: list[Look] = []
        for chunk in self._chunks:
            mine = [segment for segment in found if segment.first in self._samples(chunk)]
            before = next((look for look in reversed(looks) if look.boxes), None)
            tell = partial(self._progress, 1, chunk)
            look = partial(looker.look_at, mine, before, tell)
            looks += self._parts.get(f"looks-{chunk:04d}.json", list[Look], look)
            self._progress(1, chunk)
        return looks

    def _placed(self, looks: list[Look]) -> list[Extent]:
        placer = Placer(self._crops, self._ink)
        groups = placer.grouped(looks)
        found: list[Extent] = []
        before: Placed | None = None
        for chunk in self._chunks:
            mine = [n for n, group in enumerate(groups) if group.first in self._samples(chunk)]
            file = f"stills-{chunk:04d}.png"
            made = self._parts.get(
                f"placed-{chunk:04d}.json",
                list[Placed],
                partial(self._place, placer, groups, mine, before, file),
                (file,),
            )
            before = made[-1] if made else before
            found += [_extent(place, Still(file, row)) for row, place in enumerate(made)]
            self._progress(2, chunk)
        return found

    def _place(
        self,
        placer: Placer,
        groups: list[Group],
        mine: list[int],
        before: Placed | None,
        file: str,
    ) -> list[Placed]:
        made: list[Placed] = []
        for number in mine:
            after = groups[number + 1] if number + 1 < len(groups) else None
            placed = placer.placed(groups[number], before, after)
            self._report.progress(self._done, "placing boundaries")
            if placed is not None:
                made.append(placed)
                before = placed
        if made:
            pictures = [brightened(placer.picture(one), self._ink.polarity) for one in made]
            write_png(self._task.path(file), as_gray(np.vstack(pictures)))
        return made

    def _progress(self, phase: int, chunk: int, share: float = 1.0) -> None:
        """Say how far it is: ``share`` of a chunk in one of the three passes."""
        names = ("looking for changes", "looking for text", "placing boundaries")
        self._done = (phase + (chunk + share) / len(self._chunks)) / len(names)
        self._report.progress(self._done, names[phase])


def _extent(placed: Placed, still: Still) -> Extent:
    return Extent(start_frame=placed.first, end_frame=placed.last, boxes=placed.boxes, still=still)
