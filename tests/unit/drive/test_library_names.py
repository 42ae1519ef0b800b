"""Which names in a folder are videos."""

from __future__ import annotations

import pytest

from services.drive.library.names import name_of, reason_to_skip, shown


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.mp4", ""),
        ("A.MKV", ""),
        ("a.b.c.mov", ""),
        ("a", "not_a_video"),
        ("mp4", "not_a_video"),
        ("a.txt", "not_a_video"),
        ("a.mp4.part", "unfinished"),
        ("a.f137.mp4.part", "unfinished"),
        ("a.temp.mp4", "unfinished"),
        ("a.mp4.crdownload", "unfinished"),
        ("a.mp4.!qB", "unfinished"),
        (".a.mp4.Xy12ab", "hidden"),
        ("~a.mp4", "hidden"),
        ("a.mp4~", "hidden"),
        ("part.mp4", ""),
        ("caf\udce9.mp4", "name_not_utf8"),
    ],
)
def test_a_file_is_taken_or_left_for_a_reason(name: str, reason: str) -> None:
    assert reason_to_skip(name, "file") == reason


@pytest.mark.parametrize("name", [".git", "@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found"])
def test_folders_of_systems_are_left_alone(name: str) -> None:
    assert reason_to_skip(name, "folder") == "hidden"


def test_links_and_devices_are_left_alone_whatever_their_names() -> None:
    assert reason_to_skip("a.mp4", "symlink") == "symlink"
    assert reason_to_skip("a.mp4", "special") == "special"


def test_a_name_is_shown_without_what_breaks_a_line_or_turns_it() -> None:
    assert name_of("x/y/a\nb\u202ec\x00d.mp4") == "a_b_c_d.mp4"
    assert name_of("e\u0301.mp4") == "é.mp4"
    assert shown("caf\udce9.mp4") == "caf\\xe9.mp4"
