"""The figures of ``make bench-drive`` as one text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

import msgspec

from tests.load.bench_drive_crowd import Memory
from tests.load.bench_jobs_table import aligned

Laps = Mapping[str, Sequence[float]]

DOWNLOAD_RATIO = 0.8
UPLOAD_RATIO = 0.7
RANGES = 1000
MEMORY_MB = 150
"""What is aimed at."""

_MB = 1e6


class Report(msgspec.Struct, kw_only=True):
    """All figures of one run: bytes or requests a second in each lap, by contestant."""

    size: int
    people: int
    load: float
    downloads: dict[str, list[float]] = {}
    uploads: dict[str, list[float]] = {}
    ranges: dict[str, list[float]] = {}
    memory: Memory | None = None


def table(report: Report) -> str:
    """For people."""
    size = f"{report.size / 1024**2:,.0f} MiB"
    lines = [f"\nload {report.load:.1f} at the start"]
    lines += _race(f"Download of {size}, MB/s", report.downloads, _MB)
    lines += _ratios(report.downloads, "nginx", DOWNLOAD_RATIO)
    lines += _race(f"Upload of {size}, MB/s", report.uploads, _MB)
    lines += _ratios(report.uploads, "bare aiohttp", UPLOAD_RATIO)
    lines += _race("Small ranges a second, 16 connections", report.ranges, 1)
    lines += _ratios(report.ranges, "nginx", 0)
    reached = median(report.ranges["reelway"])
    lines += [f"  at least {RANGES:,}: {_verdict(reached >= RANGES)} ({reached:,.0f})"]
    return "\n".join([*lines, *_memory(report)])


def _race(title: str, laps: Laps, unit: float) -> list[str]:
    rows = [
        (name, *(f"{of(each) / unit:,.0f}" for of in (median, min, max)))
        for name, each in laps.items()
    ]
    return aligned(title, ("", "median", "lowest", "highest"), rows)


def _ratios(laps: Laps, rival: str, goal: float) -> Iterator[str]:
    theirs = median(laps[rival])
    for name in laps:
        if name != rival:
            ratio = median(laps[name]) / theirs
            aim = f", at least {goal:g}: {_verdict(ratio >= goal)}" if goal else ""
            yield f"  {name} / {rival}: {ratio:.2f}{aim}"


def _memory(report: Report) -> list[str]:
    if not report.memory:
        return []
    of, people = report.memory, report.people
    title = f"Memory of a gateway with {people} uploads and {people} downloads at once, MB"
    row = ("gateway", f"{of.before:.0f}", f"{of.highest:.0f}", f"{of.seconds:.1f}")
    lines = aligned(title, ("", "before", "highest", "seconds"), [row])
    return [*lines, f"  less than {MEMORY_MB}: {_verdict(of.highest < MEMORY_MB)}"]


def _verdict(is_reached: bool) -> str:
    return "yes" if is_reached else "NO"
