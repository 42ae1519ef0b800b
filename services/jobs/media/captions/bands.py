"""Grouping the boxes of many frames into horizontal bands: lines of text at one height."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import Literal, NamedTuple

import msgspec

from services.jobs.media.captions.ink import Polarity
from services.jobs.media.captions.similar import distinct_texts
from services.jobs.media.geometry import Rect, around

Anchor = Literal["centre", "left", "right"]

_NEAR_CENTRE = 0.6
_HEIGHT_RATIO = (0.6, 1.6)
_SPREAD = 0.03
_WORD_GAP = 2.0


class SeenBox(msgspec.Struct, frozen=True):
    """A line of text found in a frame: ``box`` is 0 to 1 of the picture's width and height."""

    box: tuple[float, float, float, float]
    text: str
    confidence: float
    luminance: float
    polarity: Polarity

    @property
    def rect(self) -> Rect:
        """The box as a rectangle."""
        return Rect(*self.box)


class SeenFrame(msgspec.Struct, frozen=True):
    """A sampled frame, its time in seconds and what was read in it."""

    name: str
    time: float
    boxes: tuple[SeenBox, ...] = ()


class SeenFrames(msgspec.Struct, frozen=True, kw_only=True):
    """What ``frames.json`` says: each frame with its boxes, and the whole picture's size."""

    origin: str
    width: int
    height: int
    frames: tuple[SeenFrame, ...]


class Line(NamedTuple):
    """A line of one frame: boxes beside each other, taken together."""

    frame: int
    rect: Rect
    text: str
    boxes: tuple[SeenBox, ...]


class Band(NamedTuple):
    """Lines at one height in several frames."""

    lines: tuple[Line, ...]

    @property
    def centre(self) -> float:
        """The usual height in the picture, 0 to 1."""
        return median(line.rect.centre[1] for line in self.lines)

    @property
    def line_height(self) -> float:
        """The usual height of a line, 0 to 1."""
        return median(line.rect.height for line in self.lines)

    @property
    def frames(self) -> int:
        """In how many frames it was seen."""
        return len({line.frame for line in self.lines})


def lines_of(number: int, boxes: Iterable[SeenBox], shape: float) -> list[Line]:
    """Join boxes of frame ``number`` that stand beside each other; ``shape`` is the picture's
    width over its height, as gaps are measured in line heights.
    """
    lines: list[list[SeenBox]] = []
    for box in sorted(boxes, key=lambda seen: seen.box[0]):
        for line in lines:
            if _beside(line[-1].rect, box.rect, shape):
                line.append(box)
                break
        else:
            lines.append([box])
    return [
        Line(number, around([b.rect for b in line]), " ".join(b.text for b in line), tuple(line))
        for line in lines
    ]


def _beside(left: Rect, right: Rect, shape: float) -> bool:
    height = min(left.height, right.height)
    level = abs(left.centre[1] - right.centre[1]) < 0.5 * height
    return level and (right.x0 - left.x1) * shape < _WORD_GAP * height


def group(lines: Iterable[Line]) -> list[Band]:
    """Bands of lines whose centres lie within 0.6 line heights and whose heights agree."""
    bands: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: line.rect.centre[1]):
        home = next((band for band in bands if _belongs(line, Band(tuple(band)))), None)
        if home is None:
            bands.append([line])
        else:
            home.append(line)
    return [Band(tuple(band)) for band in bands]


def _belongs(line: Line, band: Band) -> bool:
    height = band.line_height
    low, high = _HEIGHT_RATIO
    near = abs(line.rect.centre[1] - band.centre) < _NEAR_CENTRE * height
    return near and low < line.rect.height / height < high


def anchor_of(lines: Sequence[Line]) -> tuple[Anchor, float, float]:
    """The edge that moves least from line to line: its name, its position, its spread."""
    edges: dict[Anchor, list[float]] = {
        "centre": [line.rect.centre[0] for line in lines],
        "left": [line.rect.x0 for line in lines],
        "right": [line.rect.x1 for line in lines],
    }
    spreads = {name: _spread(values) for name, values in edges.items()}
    # Where lines are equally long every edge is steady: captions are centred more often than not.
    best = min(spreads, key=lambda name: spreads[name] + 0.004 * (name != "centre"))
    return best, median(edges[best]), spreads[best]


def _spread(values: Sequence[float]) -> float:
    """Mean deviation without the worst tenth, so that one stray line does not count."""
    middle = median(values)
    away = sorted(abs(value - middle) for value in values)
    return fmean(away[: max(1, math.ceil(len(away) * 0.9))])


def score(band: Band, frames: int) -> float:
    """How much a band looks like captions, 0 to 1, seen over so many frames."""
    texts = [line.text for line in band.lines]
    _, _, spread = anchor_of(band.lines)
    seen = min(1.0, band.frames / max(2.0, 0.3 * frames))
    distinct = distinct_texts(texts)
    variety = distinct / len(texts) * min(1.0, distinct / 3)
    tight = math.exp(-spread / _SPREAD)
    sure = fmean(box.confidence for line in band.lines for box in line.boxes)
    return seen * math.sqrt(variety) * tight * _clear_of_edges(band) * sure * _wordy(texts)


def _clear_of_edges(band: Band) -> float:
    """Captions keep away from the sides; tickers and cut-off text do not."""
    touching = sum(line.rect.x0 < 0.005 or line.rect.x1 > 0.995 for line in band.lines)
    return 1.0 - touching / len(band.lines)


def _wordy(texts: Sequence[str]) -> float:
    """Almost nothing for clocks and scores, which are mostly digits and always much alike."""
    letters = sum(char.isalpha() for text in texts for char in text)
    digits = sum(char.isdigit() for text in texts for char in text)
    if letters + digits == 0:
        return 0.0
    return 0.05 if digits > letters else 1.0
