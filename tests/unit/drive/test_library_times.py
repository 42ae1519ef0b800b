"""When a library is looked through."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from watchfiles import Change

from services.drive.library.watch import Times, _matters
from shared.contracts.library import Library, ScanPlan

TIMES = Times(settle_ms=10_000, every_ms=900_000)
AT = 1_000_000


def library(restless: int = 0, scan_ms: int = 10, suspicious: str = "", **counts: int) -> Library:
    return Library(
        id="l1",
        place="/films",
        created_at=1,
        version=1,
        scanned_at=AT,
        scan_ms=scan_ms,
        restless=restless,
        plan=ScanPlan(state="ok", counts=counts, suspicious=suspicious),
    )


def due_after(given: Library, touched_at: int = 0) -> int:
    """After how many seconds it is due."""
    return next(s for s in range(1000) if TIMES.is_due(given, AT + s * 1000, touched_at))


def test_a_folder_that_was_never_scanned_is_due() -> None:
    never = msgspec.structs.replace(library(), scanned_at=0)
    assert TIMES.is_due(None, AT)
    assert TIMES.is_due(never, AT)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, 900),
        ({"kept": 5}, 900),
        ({"waiting": 1, "new": 1}, 10),
        ({"waiting": 1, "restless": 1}, 10),
        ({"waiting": 1, "restless": 2}, 20),
        ({"waiting": 1, "restless": 4}, 80),
        ({"waiting": 1, "restless": 40}, 300),
        ({"held": 5}, 60),
        ({"unreadable": 1}, 60),
        ({"suspicious": "incomplete: x"}, 60),
        ({"suspicious": "shrunken: 3 of 4"}, 900),
        ({"waiting": 1, "restless": 1, "scan_ms": 5000}, 50),
    ],
)
def test_the_next_scan_is_due_when_it_may_see_something(given: Any, seconds: int) -> None:
    assert due_after(library(**given)) == seconds


def test_a_change_after_the_scan_began_is_seen_to_soon() -> None:
    assert due_after(library(), touched_at=AT + 1) == 10
    assert due_after(library(scan_ms=500), touched_at=AT - 400) == 10
    assert due_after(library(scan_ms=500), touched_at=AT - 600) == 900
    assert due_after(library(waiting=1, restless=3), touched_at=AT + 1) == 40


def test_a_clock_that_was_set_back_does_not_stop_scans() -> None:
    assert TIMES.is_due(library(), AT - 1)


def test_only_what_may_be_a_video_is_heard_of(tmp_path: Any) -> None:
    (tmp_path / "season.1").mkdir()
    (tmp_path / "notes.txt").touch()
    heard = {
        (Change.added, "a.mp4"): True,
        (Change.added, "season.1"): True,
        (Change.modified, "notes.txt"): False,
        (Change.deleted, "season.2"): True,
        (Change.added, ".reelway-library"): False,
        (Change.modified, "a.mp4.part"): False,
        (Change.added, "@eaDir"): False,
    }
    found = {key: _matters(key[0], str(tmp_path / key[1])) for key in heard}
    assert found == heard
