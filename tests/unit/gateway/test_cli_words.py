from __future__ import annotations

import io
from typing import Any

import pytest

from services.gateway.cli import shown_desk, shown_jobs
from services.gateway.cli.parser import parser
from services.gateway.cli.run import is_meant
from services.gateway.cli.screen import Screen, plain, screen
from services.gateway.cli.words import seconds
from shared.settings import SERVICES

ID = "01a1fd77-7e91-7a14-8f45-6609beba27a0"


class Terminal(io.StringIO):
    """A terminal, as far as a program can tell."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("words", "is_command"),
    [
        ([], False),
        (["jobs"], False),
        (["jobs", "drive"], False),
        (["drive", "jobs"], False),
        (["jobs", "list"], True),
        (["jobs", "--help"], True),
        (["jobs", "lst"], True),
        (["pools"], True),
        (["pools", "list"], True),
        (["key", "create", "a"], False),
    ],
)
def test_a_service_called_jobs_is_told_from_the_commands(
    words: list[str], is_command: bool
) -> None:
    assert is_meant(words, SERVICES) is is_command


@pytest.mark.parametrize(
    "words",
    [
        "jobs",
        "jobs lst",
        "jobs show",
        "jobs show nonsense",
        "jobs list --state dancing",
        "jobs list --limit 0",
        "jobs priority x",
        f"jobs priority {ID} --boost fast",
        f"jobs priority {ID} --age-boosting maybe",
        "jobs dead",
        "jobs dead retry --id x",
        "pools limit media many",
    ],
)
def test_what_is_not_understood_ends_with_2(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(words.split())
    assert caught.value.code == 2
    assert "usage: reelway" in capsys.readouterr().err


def test_nothing_that_a_terminal_obeys_is_shown() -> None:
    assert plain("a\x1b[2Jb\rc\u202ed\n") == "a\ufffd[2Jb\ufffdc\ufffdd\ufffd"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, ""), (0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 0 s"), (86_399, "23 h 59 min")],
)
def test_durations_are_told_in_two_figures(count: float, text: str) -> None:
    assert seconds(count) == text


def rows(out: io.StringIO, width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    shown_desk.dead(screen(out), {"items": [dead()]})
    return out.getvalue().splitlines()


def dead() -> dict[str, Any]:
    error = {"step": "store", "code": "not_a_video", "detail": "no [bold]video[/bold] :smile:"}
    return {
        "id": ID,
        "flow": "process_video",
        "finished_at": "2026-11-21T09:37:22.123Z",
        "error": error,
    }


def test_what_nobody_looks_at_is_one_line_for_each_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    head, line = rows(io.StringIO(), 40, monkeypatch)
    assert head.split()[:2] == ["job", "flow"]
    assert line.endswith("2026-11-21 09:37:22  no [bold]video[/bold] :smile:")
    assert "\x1b" not in head + line


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_a_terminal_of_any_width_shows_ids_in_full(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    monkeypatch.setenv("COLUMNS", str(width))
    shown_jobs.failure(screen(out), {**dead()["error"], "error_class": "bug", "hint": ID})
    text = out.getvalue()
    assert ID in text.replace("\n", "").replace(" ", "").replace("\x1b[1m", "").replace(
        "\x1b[0m", ""
    )
    assert max(len(line) for line in text.splitlines()) <= width + len("\x1b[1m\x1b[0m") * 2


def live(monkeypatch: pytest.MonkeyPatch, out: io.StringIO, **environ: str) -> Screen:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, text in environ.items():
        monkeypatch.setenv(name, text)
    return screen(out)


def test_bars_are_for_terminals_that_can_draw_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert live(monkeypatch, Terminal(), TERM="xterm").is_live
    assert not live(monkeypatch, Terminal(), TERM="dumb").is_live
    assert not live(monkeypatch, io.StringIO(), TERM="xterm", FORCE_COLOR="1").is_live


def test_colours_are_left_out_where_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    def written(**environ: str) -> str:
        out = Terminal()
        live(monkeypatch, out, **environ).table(("state",), [("failed",)])
        return out.getvalue()

    assert "\x1b[31mfailed" in written(TERM="xterm-256color")
    assert "\x1b[31m" not in written(TERM="xterm-256color", NO_COLOR="1")
    assert "\x1b" not in written(TERM="dumb")
