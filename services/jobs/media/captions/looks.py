"""What a segment between two cuts shows: boxes of caption text, and whether it is the caption of
the segment before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import msgspec
import numpy as np

from services.jobs.media.captions.cuts import Segment
from services.jobs.media.captions.ink import Ink, Mask
from services.jobs.media.captions.layout import edge
from services.jobs.media.captions.lines import joined_text, lines_by_overlap
from services.jobs.media.captions.similar import texts_agree
from services.jobs.media.captions.stills import readable, still
from services.jobs.media.captions.strokes import (
    MIN_STROKES,
    Strokes,
    count,
    difference,
    letter_change,
    strokes,
)
from services.jobs.media.crops import CropIndex, Crops
from services.jobs.media.geometry import Rect, around
from services.jobs.media.picture import Gray
from services.jobs.media.reader import RapidReader, Reader

_HEIGHTS = (0.5, 1.7)
_OFF_ANCHOR = 0.1
_INKED = 0.03
_SAME = 0.12
_ALIKE = 0.7
_LETTER = 0.3
_HOLE = 3


class Look(msgspec.Struct, frozen=True):
    """A segment's samples (both ends inclusive), its boxes in crop pixels, and whether it shows
    the caption of the last look that had boxes.
    """

    first: int
    last: int
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    same: bool = False

    @property
    def rects(self) -> list[Rect]:
        """The boxes as rectangles."""
        return [Rect(*box) for box in self.boxes]


class Seen(NamedTuple):
    """A look with the still it was made from and the still's strokes."""

    look: Look
    picture: Gray
    strokes: Strokes


class Looker:
    """Looks at segments in order; remembers the last one with text."""

    def __init__(self, crops: Crops, index: CropIndex) -> None:
        self._crops = crops
        self._index = index
        self._ink = Ink(index.layout.polarity, index.layout.fill_luminance)
        self._before: Seen | None = None

    @cached_property
    def _reader(self) -> Reader:
        return RapidReader()

    def look_at(
        self, found: Sequence[Segment], before: Look | None, tell: Callable[[float], None]
    ) -> list[Look]:
        """What each of these segments shows; ``before`` is the last look with text so far.
        ``tell`` hears how far it is, 0 to 1.
        """
        if before is not None and (self._before is None or self._before.look != before):
            self._before = self._see(before)
        looks: list[Look] = []
        for segment in found:
            looks.append(self.look(segment))
            tell(len(looks) / len(found))
        return looks

    def look(self, segment: Segment) -> Look:
        """What this segment shows."""
        seen = self._see(Look(segment.first, segment.last))
        if count(seen.strokes.high) < MIN_STROKES:
            return seen.look
        boxes = self._known_boxes(seen) or self._boxes(seen)
        if not boxes:
            return seen.look
        found = Look(segment.first, segment.last, tuple((*box,) for box in boxes))
        now = Seen(found, seen.picture, seen.strokes)
        same = self._before is not None and self._is_same(self._before, now)
        self._before = Seen(msgspec.structs.replace(found, same=same), now.picture, now.strokes)
        return self._before.look

    def _see(self, look: Look) -> Seen:
        picture = still(self._crops, look.first, look.last, self._ink)
        return Seen(look, picture, strokes(picture, self._ink))

    def _known_boxes(self, seen: Seen) -> list[Rect]:
        """The boxes of the segment before, where the picture has hardly changed since: most false
        cuts need no second detection.
        """
        before = self._before
        if before is None or difference(before.strokes, seen.strokes) >= _SAME:
            return []
        return before.look.rects

    def _boxes(self, seen: Seen) -> list[Rect]:
        boxes = self._reader.detect(readable(seen.picture, self._ink))
        sized = [box for box in boxes if self._fits(box, seen.strokes)]
        return [box for line in lines_by_overlap(sized) if self._anchored(line) for box in line]

    def _fits(self, box: Rect, found: Strokes) -> bool:
        low, high = _HEIGHTS
        area = found.high[int(box.y0) : int(box.y1) + 1, int(box.x0) : int(box.x1) + 1]
        return low < box.height / self._index.line < high and count(area) >= max(
            MIN_STROKES // 2, _INKED * area.size
        )

    def _anchored(self, line: Sequence[Rect]) -> bool:
        layout = self._index.layout
        x0, _, x1, _ = layout.region
        at = x0 + (x1 - x0) * edge(around(list(line)), layout.anchor) / self._index.width
        return abs(at - layout.anchor_position) < _OFF_ANCHOR

    def _is_same(self, before: Seen, now: Seen) -> bool:
        if now.look.first - before.look.last - 1 > _HOLE:
            return False
        area = box_mask([*before.look.rects, *now.look.rects], now.picture.shape)
        one, other = _within(before.strokes, area), _within(now.strokes, area)
        apart = difference(one, other)
        if apart < _SAME and letter_change(one, other) < _LETTER:
            return True
        return apart < _ALIKE and texts_agree(self._read(before), self._read(now))

    def _read(self, seen: Seen) -> str:
        picture = readable(seen.picture, self._ink)
        lines = lines_by_overlap(seen.look.rects)
        return joined_text([self._reader.recognise(picture, line) for line in lines])


def box_mask(boxes: Sequence[Rect], shape: tuple[int, ...]) -> Mask:
    """True inside any of the boxes (pixels) of a picture of this shape (height, width)."""
    mask = np.zeros(shape, dtype=np.bool_)
    for box in boxes:
        mask[max(0, int(box.y0)) : int(box.y1) + 1, max(0, int(box.x0)) : int(box.x1) + 1] = True
    return mask


def _within(found: Strokes, area: Mask) -> Strokes:
    return Strokes(found.high & area, found.low)
