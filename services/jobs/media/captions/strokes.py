"""Stroke masks: which pixels of a crop look like the inside of a letter."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from services.jobs.media.captions.ink import Ink, Mask, brightened, kernel
from services.jobs.media.crops import LINE
from services.jobs.media.picture import Gray, as_gray

MIN_STROKES = 80
"""Fewer stroke pixels than this are no letter at the crops' line height."""

_HIGH = 36
_LOW = 18
_NEAR_HIGH = 55
_NEAR_LOW = 100
_KERNEL = kernel(LINE)


class Strokes(NamedTuple):
    """Surely strokes and possibly strokes, each (height, width)."""

    high: Mask
    low: Mask


def strokes(crop: Gray, ink: Ink) -> Strokes:
    """The strokes of a crop that was brightened, painted about as bright as ``ink``."""
    fill = ink.luminance if ink.polarity == "bright" else 255 - ink.luminance
    hat = as_gray(cv2.morphologyEx(crop, cv2.MORPH_TOPHAT, _KERNEL))
    high = (hat > _HIGH) & (crop > max(0, fill - _NEAR_HIGH))
    low = (hat > _LOW) & (crop > max(0, fill - _NEAR_LOW))
    return Strokes(high, low)


def strokes_of(crop: Gray, ink: Ink) -> Strokes:
    """The strokes of a crop as it was cut."""
    return strokes(brightened(crop, ink.polarity), ink)


def count(mask: Mask) -> int:
    """How many pixels are set."""
    return int(np.count_nonzero(mask))


def worst_block(lost: Mask, gained: Mask, kept: Mask) -> float:
    """How much of the worst square of one line height changed, 0 to 1: what was lost and what was
    gained there, whichever is less, against what stayed. It shows a single letter that changes
    in a long line.
    """
    away, come, stay = (_blocks(mask) for mask in (lost, gained, kept))
    both = np.minimum(away, come)
    share = both / np.maximum(both + stay, 1)
    return float(np.where(both >= MIN_STROKES // 2, share, 0.0).max(initial=0.0))


def _blocks(mask: Mask) -> npt.NDArray[np.int64]:
    """How many pixels are set in each square of one line height."""
    height, width = (LINE * (side // LINE) for side in mask.shape)
    squares = mask[:height, :width].reshape(height // LINE, LINE, width // LINE, LINE)
    return np.asarray(np.count_nonzero(squares, axis=(1, 3)), dtype=np.int64)


def letter_change(one: Strokes, other: Strokes) -> float:
    """The share of the worst square in which both have strokes that the other lacks."""
    return worst_block(one.high & ~other.low, other.high & ~one.low, one.high & other.low)


def difference(one: Strokes, other: Strokes) -> float:
    """The share of sure strokes of either side that the other side does not even possibly have:
    0 for the same caption, near 1 for different ones.
    """
    total = count(one.high) + count(other.high)
    if total == 0:
        return 0.0
    lost = count(one.high & ~other.low) + count(other.high & ~one.low)
    return lost / total
