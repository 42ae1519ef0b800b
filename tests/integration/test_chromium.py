"""Which browser the tests take, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import chromium as support
from tests.support.chromium import CHOSEN, NoChromium

chromium = support.chromium.__wrapped__  # as it is asked for the first time


def a_program(path: Path, says: str, status: int = 0) -> str:
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {status}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without a browser, and the one folder of programs that it has."""
    monkeypatch.delenv(CHOSEN, raising=False)
    monkeypatch.setattr(support, "APPS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(support, "_fetched", lambda: str(tmp_path / "fetched"))
    return tmp_path


def test_the_one_that_is_chosen_is_taken(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_program(nothing / "chromium", "Chromium 1")
    chosen = a_program(nothing / "mine", "Google Chrome 2")
    monkeypatch.setenv(CHOSEN, chosen)
    assert chromium() == chosen


@pytest.mark.parametrize("says", ["", "install me with snap"])
def test_a_chosen_one_that_is_none_is_no_reason_to_take_another(
    nothing: Path, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    a_program(nothing / "chromium", "Chromium 1")
    monkeypatch.setenv(CHOSEN, a_program(nothing / "mine", says))
    with pytest.raises(NoChromium, match=f"{CHOSEN}=.* does not run: name a Chromium"):
        chromium()


def test_a_hint_at_a_package_is_passed_over(nothing: Path) -> None:
    a_program(nothing / "chromium-browser", "Command requires the Chromium snap", 1)
    chrome = a_program(nothing / "google-chrome", "Google Chrome 3")
    assert chromium() == chrome


def test_the_one_that_was_fetched_is_the_last(nothing: Path) -> None:
    fetched = a_program(nothing / "fetched", "Chromium 4")
    assert chromium() == fetched


def test_where_there_is_none_one_line_says_what_to_do(nothing: Path) -> None:
    with pytest.raises(NoChromium) as caught:
        chromium()
    said = str(caught.value)
    assert "deploy/setup-browser.sh" in said
    assert CHOSEN in said
    assert "\n" not in said


async def test_where_a_fetched_one_would_be_can_be_asked_in_a_running_loop() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(support, "NAMES", ())
        patch.setattr(support, "APPS", ())
        (where,) = support._candidates()
    assert Path(where).is_absolute()
