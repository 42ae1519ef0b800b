"""What text is painted with: brighter or darker than what is around it, and how bright."""

from __future__ import annotations

from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from services.jobs.media.picture import Gray, as_gray

Polarity = Literal["bright", "dark"]

_STROKE_SHARE = 0.3
_MIN_CONTRAST = 36
# Closer than this share of the contrast to the background, an ink is the background itself.
_BOTH = 0.2

Mask = npt.NDArray[np.bool_]
"""One truth per pixel, (height, width)."""


class Ink(NamedTuple):
    """Text colour: ``bright`` on dark or ``dark`` on bright, and the luminance, 0 to 255."""

    polarity: Polarity
    luminance: float


def brightened(gray: Gray, polarity: Polarity) -> Gray:
    """The picture with its text bright: inverted where the text is dark."""
    return gray if polarity == "bright" else as_gray(255 - gray)


def kernel(line_height: float) -> Gray:
    """A square a little wider than a stroke of text of this line height in pixels."""
    side = max(3, round(line_height * _STROKE_SHARE)) | 1
    return np.ones((side, side), dtype=np.uint8)


def measure(gray: Gray) -> Ink:
    """The ink of a grey cut-out around one line of text.

    An outline answers like a stroke of the other polarity. Where both stand out from the
    background, the ink is the one that the other keeps away from it.
    """
    square = kernel(gray.shape[0])
    bright = _strong(cv2.morphologyEx(gray, cv2.MORPH_TOPHAT, square))
    dark = _strong(cv2.morphologyEx(gray, cv2.MORPH_BLACKHAT, square))
    if not bright.any() or not dark.any():
        return _ink(gray, "bright" if bright.any() else "dark", bright if bright.any() else dark)
    high, low = float(np.median(gray[bright])), float(np.median(gray[dark]))
    ground = float(np.median(np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])))
    share = (high - ground) / max(1.0, high - low)
    if _BOTH < share < 1 - _BOTH:
        lighter = gray > ground + 0.4 * (high - ground)
        darker = gray < ground - 0.4 * (ground - low)
        outlined = _open_share(darker, lighter) > _open_share(lighter, darker)
        return _ink(gray, "bright", bright) if outlined else _ink(gray, "dark", dark)
    return _ink(gray, "bright", bright) if share >= 1 - _BOTH else _ink(gray, "dark", dark)


def _strong(hat: object) -> Mask:
    values = as_gray(hat)
    return values > max(_MIN_CONTRAST, int(values.max()) // 2)


def _ink(gray: Gray, polarity: Polarity, mask: Mask) -> Ink:
    fill = float(np.median(gray[mask])) if mask.any() else 255.0 * (polarity == "bright")
    return Ink(polarity, round(fill, 1))


def _open_share(mask: Mask, other: Mask) -> float:
    """The share of a mask that touches ground which is connected with the cut-out's border."""
    ground = np.pad(~(mask | other), 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(ground, connectivity=4)
    outside = (labels == labels[0, 0]).astype(np.uint8)
    near = cv2.dilate(outside, np.ones((3, 3), dtype=np.uint8))[1:-1, 1:-1]
    return float((mask & (near > 0)).sum()) / max(1.0, float(mask.sum()))
