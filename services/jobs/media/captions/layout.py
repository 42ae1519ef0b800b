"""Proposing where a video's captions are and what they look like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

import msgspec
from rapidfuzz.fuzz import ratio

from services.jobs.media.captions.bands import (
    Anchor,
    Band,
    Line,
    SeenBox,
    SeenFrame,
    anchor_of,
    group,
    lines_of,
    score,
)
from services.jobs.media.captions.ink import Polarity
from services.jobs.media.geometry import Rect, around

SURE_AT = 0.4
_FOUND_AT = 0.2
_STATIC_SHARE = 0.3
_HEIGHTS = (0.012, 0.2)
_MIN_CONFIDENCE = 0.5
_SECOND_LINE = 1.25
_TURN = 0.2
_OTHER_TEXT = 60
_RIVALS = 0.25


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Where captions stand. ``region`` (x0, y0, x1, y1), ``line_height`` and
    ``anchor_position`` are 0 to 1 of the picture's width or height; ``fill_luminance`` 0 to 255.
    """

    region: tuple[float, float, float, float]
    line_height: float
    anchor: Anchor
    anchor_position: float
    fill_luminance: float
    polarity: Polarity


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A layout if any was found, how sure it is, and the label of every box of every frame."""

    layout: Layout | None
    confidence: float
    labels: tuple[tuple[str, ...], ...]


def propose(frames: Sequence[SeenFrame], size: tuple[int, int]) -> Proposal:
    """The caption layout behind boxes read in sampled frames of ``size`` (width, height)."""
    shape = size[0] / size[1]
    static = static_boxes(frames)
    lines = [
        line
        for number, frame in enumerate(frames)
        for line in lines_of(number, _plausible(frame, static, shape), shape)
    ]
    scored = [(score(band, len(frames)), band) for band in group(lines)]
    best = max(scored, key=lambda pair: pair[0], default=(0.0, Band(())))
    if best[0] < _FOUND_AT:
        return Proposal(layout=None, confidence=round(best[0], 3), labels=_labels(frames, set()))
    chosen = _with_neighbours(best[1], [band for _, band in scored])
    inside = {id(box) for line in chosen for box in line.boxes}
    layout = _layout(best[1], chosen, shape)
    return Proposal(
        layout=_kept_clear(layout, static),
        confidence=round(min(1.0, best[0]), 3),
        labels=_labels(frames, inside),
    )


def static_boxes(frames: Sequence[SeenFrame]) -> list[SeenBox]:
    """Boxes whose text stays at one place through much of the video: logos and watermarks."""
    groups: list[tuple[SeenBox, list[float]]] = []
    for frame in frames:
        for box in frame.boxes:
            times = next((times for first, times in groups if _same_sign(first, box)), None)
            if times is None:
                groups.append((box, [frame.time]))
            else:
                times.append(frame.time)
    return [
        box for box, times in groups if _stays(times, frames) and _is_alone(box, len(times), frames)
    ]


def _same_sign(one: SeenBox, other: SeenBox) -> bool:
    return one.text == other.text and one.rect.overlap(other.rect) > 0.5


def _stays(times: Sequence[float], frames: Sequence[SeenFrame]) -> bool:
    """A caption on show for long is in a row; a sign is there from beginning to end."""
    long = len(times) >= max(3, _STATIC_SHARE * len(frames))
    return long and times[-1] - times[0] >= 0.5 * (frames[-1].time - frames[0].time)


def _is_alone(sign: SeenBox, times: int, frames: Sequence[SeenFrame]) -> bool:
    """Captions take turns at their place, even those that come again; signs do not."""
    rivals = [
        frame
        for frame in frames
        if any(
            box.rect.overlap(sign.rect) > _TURN and ratio(box.text, sign.text) < _OTHER_TEXT
            for box in frame.boxes
        )
    ]
    return len(rivals) < _RIVALS * times


def _plausible(frame: SeenFrame, static: Sequence[SeenBox], shape: float) -> list[SeenBox]:
    low, high = _HEIGHTS
    return [
        box
        for box in frame.boxes
        if low < box.rect.height < high
        and box.rect.width * shape > 0.6 * box.rect.height
        and box.confidence >= _MIN_CONFIDENCE
        and not any(_over_sign(box, sign) for sign in static)
    ]


def _over_sign(box: SeenBox, sign: SeenBox) -> bool:
    return box.rect.overlap(sign.rect) > 0.5


def _with_neighbours(best: Band, bands: Sequence[Band]) -> list[Line]:
    """Lines of the best band and of bands of the same style right above or below it."""
    anchor, position, _ = anchor_of(best.lines)
    chosen = list(best.lines)
    for band in bands:
        distance = abs(band.centre - best.centre) / best.line_height
        alike = 0.7 < band.line_height / best.line_height < 1.4
        if band is not best and distance < 2.6 and alike:
            chosen += [x for x in band.lines if abs(edge(x.rect, anchor) - position) < 0.06]
    return chosen


def edge(rect: Rect, anchor: Anchor) -> float:
    """Where a rectangle's anchor lies, in its own unit."""
    return {"centre": rect.centre[0], "left": rect.x0, "right": rect.x1}[anchor]


def _layout(best: Band, chosen: Sequence[Line], shape: float) -> Layout:
    anchor, position, _ = anchor_of(best.lines)
    height = best.line_height
    boxes = [box for line in chosen for box in line.boxes]
    polarity: Polarity = Counter(box.polarity for box in boxes).most_common(1)[0][0]
    fills = [box.luminance for box in boxes if box.polarity == polarity]
    rect = around([line.rect for line in chosen])
    x0, x1 = _sides(rect, anchor, position, height / shape)
    # Lines within one frame show that there are two of them; else the second may be unseen.
    room = _SECOND_LINE if rect.height < 1.8 * height else 0.4
    region = Rect(x0, rect.y0 - room * height, x1, rect.y1 + min(room, 1.0) * height).clipped()
    return Layout(
        region=rounded(region),
        line_height=round(height, 5),
        anchor=anchor,
        anchor_position=round(position, 5),
        fill_luminance=round(median(fills), 1),
        polarity=polarity,
    )


def _sides(rect: Rect, anchor: Anchor, position: float, line: float) -> tuple[float, float]:
    """Left and right side of the region, with room for longer lines; ``line`` is a line's height
    in shares of the width.
    """
    if anchor == "centre":
        half = max(0.36, 1.1 * max(position - rect.x0, rect.x1 - position)) + line
        return max(0.005, position - half), min(0.995, position + half)
    length = max(0.6, 1.15 * rect.width)
    if anchor == "left":
        return max(0.005, rect.x0 - line), min(0.995, rect.x0 + length + line)
    return max(0.005, rect.x1 - length - line), min(0.995, rect.x1 + line)


def _kept_clear(layout: Layout, static: Sequence[SeenBox]) -> Layout:
    """Move the region's upper and lower side so that signs outside its core stay out."""
    x0, y0, x1, y1 = layout.region
    core = (y0 + y1) / 2
    for sign in static:
        if sign.rect.x1 < x0 or sign.rect.x0 > x1:
            continue
        if y0 < sign.rect.y1 < core - 0.5 * layout.line_height:
            y0 = sign.rect.y1
        elif core + 0.5 * layout.line_height < sign.rect.y0 < y1:
            y1 = sign.rect.y0
    return msgspec.structs.replace(layout, region=rounded(Rect(x0, y0, x1, y1)))


def _labels(frames: Sequence[SeenFrame], inside: set[int]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        tuple("in" if id(box) in inside else "out" for box in frame.boxes) for frame in frames
    )


def rounded(rect: Rect) -> tuple[float, float, float, float]:
    """A rectangle with five decimals, as it is stored."""
    x0, y0, x1, y1 = (round(value, 5) for value in rect)
    return x0, y0, x1, y1
