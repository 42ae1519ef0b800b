"""Placing a caption's first and last sample where the contrast of its own strokes says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from services.jobs.media.captions.ink import Ink, Mask, brightened
from services.jobs.media.captions.stills import spread
from services.jobs.media.picture import Gray, as_gray

_EMPTY_LEVEL = 0.22
_NEXT_LEVEL = 0.35
_REACH = 20
_STILL_ON = 0.5
_CLEAR = 3
_PICTURES = 9


class Pictures(Protocol):
    """Crops by sample number."""

    def __getitem__(self, number: int, /) -> Gray:
        """One crop."""
        ...


class Pattern(NamedTuple):
    """A caption's own strokes and the ground right around them, each (height, width)."""

    ink: Mask
    ground: Mask

    @classmethod
    def of(cls, ink: Mask, picture: Gray) -> Pattern:
        """The pattern of a stroke mask. Of the pixels around it the darker half is taken: where
        letters have an outline, that is the outline and not what moves behind it.
        """
        far = cv2.dilate(ink.astype(np.uint8), np.ones((9, 9), dtype=np.uint8))
        around = (as_gray(far) > 0) & ~ink
        if not around.any():
            return cls(ink, around)
        return cls(ink, around & (picture <= np.median(picture[around])))


class Side(NamedTuple):
    """What lies beside a caption: its samples away from the caption, nearest last, the furthest
    sample the caption may reach, and whether another caption is shown there.
    """

    samples: Sequence[int]
    limit: int
    taken: bool


class Contrast:
    """How strongly a pattern stands out, sample by sample."""

    def __init__(self, crops: Pictures, pattern: Pattern, ink: Ink) -> None:
        self._crops = crops
        self._pattern = pattern
        self._ink = ink
        self._known: dict[int, float] = {}

    def __getitem__(self, number: int) -> float:
        if number not in self._known:
            crop = brightened(self._crops[number], self._ink.polarity)
            inside = float(crop[self._pattern.ink].mean())
            self._known[number] = inside - float(crop[self._pattern.ground].mean())
        return self._known[number]

    def lowest(self, numbers: Sequence[int]) -> float:
        """The contrast that a quarter of these samples do not reach, 0 for none."""
        return float(np.quantile([self[number] for number in numbers], 0.25)) if numbers else 0.0

    def level(self, numbers: Sequence[int]) -> float:
        """The usual contrast over these samples, 0 for none."""
        return float(np.median([self[number] for number in numbers])) if numbers else 0.0


def place(contrast: Contrast, first: int, last: int, sides: tuple[Side, Side]) -> tuple[int, int]:
    """First and last sample (inclusive) on which the caption is on show."""
    inside = contrast.level(spread(first, min(last, first + 60), _PICTURES))
    inside_end = contrast.level(spread(max(first, last - 60), last, _PICTURES))
    middle = (first + last) // 2
    start = _walk(contrast, first, middle, sides[0], inside, -1)
    end = _walk(contrast, last, middle, sides[1], inside_end, +1)
    return start, max(start, end)


def _walk(contrast: Contrast, edge: int, middle: int, side: Side, inside: float, step: int) -> int:
    """From a sample a little inside ``edge``, outwards while the contrast stays up."""
    # Where the caption stays on show beyond the cut, what is outside was not seen there.
    outside = min(contrast.lowest(side.samples), _STILL_ON * inside)
    enough = outside + (_NEXT_LEVEL if side.taken else _EMPTY_LEVEL) * (inside - outside)
    at = max(edge - step * _CLEAR, middle, key=lambda number: step * number)
    while contrast[at] < enough and step * (middle - at) < 0:
        at -= step
    while step * (side.limit - at) > 0 and contrast[at + step] >= enough:
        at += step
    return at


def side_before(first: int, before: tuple[int, int] | None) -> Side:
    """The side before ``first``, where ``before`` is the placed caption before it."""
    free = 0 if before is None else before[1] + 1
    if before is None or first - free > 1:
        return Side(
            range(max(free, first - _REACH), max(free, first - _CLEAR)),
            max(free, first - _REACH),
            taken=False,
        )
    low, high = before
    return Side(
        range(max(low, high - _REACH), max(low, high - _CLEAR) + 1),
        max(low + 1, first - _CLEAR),
        taken=True,
    )


def side_after(last: int, after: tuple[int, int] | None, count: int) -> Side:
    """The side after ``last``, where ``after`` is the caption after it, not placed yet."""
    free = count - 1 if after is None else after[0] - 1
    if after is None or free - last > 1:
        return Side(
            range(min(free, last + _CLEAR) + 1, min(free, last + _REACH) + 1),
            min(free, last + _REACH),
            taken=False,
        )
    low, high = after
    return Side(
        range(min(high, low + _CLEAR), min(high, low + _REACH) + 1),
        min(high - 1, last + _CLEAR),
        taken=True,
    )


def really_away(contrast: Contrast, last: int, hole: Sequence[int]) -> bool:
    """Whether the strokes shown up to sample ``last`` were gone somewhere in ``hole``."""
    inside = contrast.level(spread(max(0, last - _REACH), last, _PICTURES))
    return min(contrast[number] for number in hole) < _EMPTY_LEVEL * inside
