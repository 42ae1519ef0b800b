"""One still picture per caption: text as it stood, moving background darkened away."""

from __future__ import annotations

import cv2
import numpy as np

from services.jobs.media.captions.ink import Ink, brightened
from services.jobs.media.crops import Crops
from services.jobs.media.picture import Bgr, Gray, as_gray

_PICTURES = 9
_SPAN = 120
_QUANTILE = 0.3
_EDGE = 2


def still(crops: Crops, first: int, last: int, ink: Ink) -> Gray:
    """The low quantile over time of up to nine brightened crops away from both ends.

    Samples are taken from the beginning of long extents, so that no more than a minute of crops
    is needed at once.
    """
    numbers = spread(first, min(last, first + _SPAN), _PICTURES)
    stack = brightened(crops.several(numbers), ink.polarity)
    rank = int(_QUANTILE * (len(numbers) - 1))
    return as_gray(np.partition(stack, rank, axis=0)[rank])


def spread(first: int, last: int, most: int) -> list[int]:
    """At most so many sample numbers, evenly over an extent and away from its ends."""
    edge = min(_EDGE, (last - first) // 4)
    low, high = first + edge, last - edge
    wanted = min(most, high - low + 1)
    return [round(low + (high - low) * k / max(1, wanted - 1)) for k in range(wanted)]


def readable(picture: Gray, ink: Ink) -> Bgr:
    """A brightened still in the colours it was shown in, as the recogniser wants it."""
    return np.asarray(
        cv2.cvtColor(brightened(picture, ink.polarity), cv2.COLOR_GRAY2BGR), dtype=np.uint8
    )
