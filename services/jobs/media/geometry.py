"""Rectangles and sizes in display orientation: what a viewer sees, not what is coded."""

from __future__ import annotations

from typing import NamedTuple


class Rect(NamedTuple):
    """A rectangle; 0 to 1 of the picture's width and height unless said otherwise."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        """From left to right."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """From top to bottom."""
        return self.y1 - self.y0

    @property
    def centre(self) -> tuple[float, float]:
        """The point in the middle, (x, y)."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def clipped(self) -> Rect:
        """The part inside the picture."""
        return Rect(max(0.0, self.x0), max(0.0, self.y0), min(1.0, self.x1), min(1.0, self.y1))

    def overlap(self, other: Rect) -> float:
        """Intersection over union, 0 to 1."""
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        if width <= 0 or height <= 0:
            return 0.0
        shared = width * height
        return shared / (self.width * self.height + other.width * other.height - shared)


def around(rects: list[Rect]) -> Rect:
    """The smallest rectangle around at least one other."""
    return Rect(
        min(rect.x0 for rect in rects),
        min(rect.y0 for rect in rects),
        max(rect.x1 for rect in rects),
        max(rect.y1 for rect in rects),
    )


def coded_rect(shown: Rect, quarter_turns: int) -> Rect:
    """Where a rectangle of the shown picture lies in the coded one, which is turned
    counterclockwise by ``quarter_turns`` to be shown.
    """
    x0, y0, x1, y1 = shown
    for _ in range(quarter_turns % 4):
        x0, y0, x1, y1 = 1 - y1, x0, 1 - y0, x1
    return Rect(x0, y0, x1, y1)


def fitted(width: int, height: int, long_side: int) -> tuple[int, int]:
    """Size in pixels with the same shape and at most ``long_side`` pixels on its longer side."""
    scale = min(1.0, long_side / max(width, height))
    return max(2, round(width * scale)), max(2, round(height * scale))
