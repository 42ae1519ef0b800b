"""Putting boxes and readings together to the lines of a caption."""

from __future__ import annotations

from collections.abc import Sequence

from services.jobs.media.geometry import Rect
from services.jobs.media.reader import Reading


def lines_by_overlap(boxes: Sequence[Rect]) -> list[list[Rect]]:
    """Boxes that overlap in height are one line, left to right; lines from top to bottom."""
    lines: list[list[Rect]] = []
    for box in sorted(boxes, key=lambda box: box.centre[1]):
        home = next((line for line in lines if _level(line[0], box)), None)
        if home is None:
            lines.append([box])
        else:
            home.append(box)
    return [sorted(line) for line in lines]


def _level(one: Rect, other: Rect) -> bool:
    shared = min(one.y1, other.y1) - max(one.y0, other.y0)
    return shared > 0.5 * min(one.height, other.height)


def widened(line: Sequence[Rect], margin: float) -> list[Rect]:
    """The boxes of one line with some room at its two ends, where the detector may have cut off
    part of a letter; ``margin`` is in the boxes' unit.
    """
    first, last = line[0], line[-1]
    room = [first._replace(x0=first.x0 - margin), *line[1:]]
    return [*room[:-1], room[-1]._replace(x1=last.x1 + margin)]


def joined(readings: Sequence[Reading]) -> Reading:
    """The parts of one line as one reading; confidence is weighed by length."""
    said = [reading for reading in readings if reading.text]
    if not said:
        return Reading("", 0.0)
    letters = sum(len(reading.text) for reading in said)
    sure = sum(len(reading.text) * reading.confidence for reading in said) / letters
    return Reading(" ".join(reading.text for reading in said), round(sure, 4))


def joined_text(lines: Sequence[Sequence[Reading]]) -> str:
    """The text of several lines, one below the other."""
    return "\n".join(line.text for line in map(joined, lines) if line.text)
