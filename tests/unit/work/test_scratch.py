"""Folders for work in progress: none is taken from the living, none of the dead is kept."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from shared.work.scratch import scratch_folder

DIES = """
import os, sys
from pathlib import Path
from shared.work.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1]), "dead") as folder:
    (folder / "left").write_text("x")
    os._exit(9)
"""


def test_a_folder_is_gone_with_its_block(tmp_path: Path) -> None:
    with scratch_folder(tmp_path, "mine") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("x")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_what_the_dead_left_is_removed_and_the_living_keep_theirs(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DIES, str(tmp_path)], check=False)
    assert (tmp_path / "scratch" / "dead" / "left").exists()
    with scratch_folder(tmp_path, "one") as one, scratch_folder(tmp_path, "two") as two:
        assert not (tmp_path / "scratch" / "dead").exists()
        assert one.exists()
        assert two.exists()


def test_a_lock_that_was_tidied_away_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scratch" / "mine.lock"
    real, calls = fcntl.flock, []

    def flock(lock: int, how: int) -> None:
        calls.append(how)
        if len(calls) == 1:
            path.unlink()  # what a process that starts at this moment does
        real(lock, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with scratch_folder(tmp_path, "mine"):
        assert path.exists()
    assert len(calls) == 2
