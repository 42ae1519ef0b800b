"""Figures and times as people read them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]


def state(job: Document) -> str:
    """The state of a job in one word."""
    is_pausing = job.get("pausing") and job["state"] == "running"
    return "pausing" if is_pausing else str(job["state"])


def percent(fraction: float) -> str:
    """A fraction as people write it."""
    return f"{fraction:.0%}"


def moment(text: str | None) -> str:
    """A time in UTC, to the second.

    >>> moment("2026-01-02T03:04:05.678Z")
    '2026-01-02 03:04:05'
    """
    return text[:19].replace("T", " ") if text else ""


def seconds(count: float) -> str:
    """How long something takes.

    >>> [seconds(count) for count in (0, 0.25, 75, 7290)]
    ['', '0.2 s', '1 min 15 s', '2 h 1 min']
    """
    if not count:
        return ""
    if count < 60:
        return f"{count:.1f} s"
    minutes, rest = divmod(round(count), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
