"""Extents are stored as sample numbers; this is the one place that turns them into seconds."""

from __future__ import annotations

RATE = 10
"""Samples per second of video."""


def seconds(start_frame: int, end_frame: int) -> tuple[float, float]:
    """Start and end in seconds of an extent whose both ends are inclusive sample numbers."""
    return start_frame / RATE, (end_frame + 1) / RATE
