"""From looks at segments to captions with placed boundaries."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.jobs.media.captions.boundaries import (
    Contrast,
    Pattern,
    place,
    really_away,
    side_after,
    side_before,
)
from services.jobs.media.captions.ink import Ink
from services.jobs.media.captions.looks import Look, box_mask
from services.jobs.media.captions.stills import still
from services.jobs.media.captions.strokes import count, strokes
from services.jobs.media.crops import Crops
from services.jobs.media.geometry import Rect, around
from services.jobs.media.picture import Gray

Boxes = tuple[tuple[float, float, float, float], ...]


class Still(msgspec.Struct, frozen=True):
    """Where a caption's still picture is: a file of stills one below the other, and its row."""

    file: str
    row: int


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """A caption without its text: samples (both ends inclusive), boxes in pixels of its still."""

    start_frame: int
    end_frame: int
    boxes: Boxes
    still: Still


class Group(msgspec.Struct, frozen=True):
    """Samples between cuts that show one caption, and the boxes it was seen in."""

    first: int
    last: int
    boxes: Boxes

    @property
    def rects(self) -> list[Rect]:
        """The boxes as rectangles."""
        return [Rect(*box) for box in self.boxes]


class Placed(msgspec.Struct, frozen=True):
    """A caption's place in time (both ends inclusive) and on the crops."""

    first: int
    last: int
    boxes: Boxes


class Placer:
    """Finds out where captions begin and end by what is in the crops around them."""

    def __init__(self, crops: Crops, ink: Ink) -> None:
        self._crops = crops
        self._ink = ink

    def grouped(self, looks: Sequence[Look]) -> list[Group]:
        """Join looks at the same caption, unless its strokes really were away in between."""
        groups: list[Group] = []
        for look in looks:
            if not look.boxes:
                continue
            if look.same and groups and not self._away_between(groups[-1], look):
                groups[-1] = _joined(groups[-1], look)
            else:
                groups.append(Group(look.first, look.last, look.boxes))
        return groups

    def placed(self, group: Group, before: Placed | None, after: Group | None) -> Placed | None:
        """The caption with exact ends; ``before`` is placed already, ``after`` is not yet."""
        contrast = self._contrast(group)
        if contrast is None:
            return None
        sides = (
            side_before(group.first, None if before is None else (before.first, before.last)),
            side_after(
                group.last, None if after is None else (after.first, after.last), self._crops.count
            ),
        )
        first, last = place(contrast, group.first, group.last, sides)
        if before is not None:
            first = max(first, before.last + 1)
        return Placed(first, last, group.boxes) if last >= first else None

    def picture(self, placed: Placed) -> Gray:
        """The caption's still picture, brightened."""
        return still(self._crops, placed.first, placed.last, self._ink)

    def _contrast(self, group: Group) -> Contrast | None:
        picture = still(self._crops, group.first, group.last, self._ink)
        ink = strokes(picture, self._ink).high & box_mask(group.rects, picture.shape)
        pattern = Pattern.of(ink, picture)
        if count(pattern.ink) == 0 or count(pattern.ground) == 0:
            return None
        return Contrast(self._crops, pattern, self._ink)

    def _away_between(self, group: Group, look: Look) -> bool:
        hole = range(group.last + 1, look.first)
        contrast = self._contrast(group) if hole else None
        return contrast is not None and really_away(contrast, group.last, hole)


def _joined(group: Group, look: Look) -> Group:
    """One group over both, with the boxes of whichever saw more."""
    longer = look.last - look.first > group.last - group.first
    wider = _area(look.rects) > 1.1 * _area(group.rects)
    boxes = look.boxes if longer and wider else group.boxes
    return Group(group.first, look.last, boxes)


def _area(rects: Sequence[Rect]) -> float:
    whole = around(list(rects))
    return whole.width * whole.height
