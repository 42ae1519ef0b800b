from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.names import LONGEST, video_name
from shared.errors import Invalid


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        ("a.mp4", "a.mp4"),
        ("/films/2024/a.mp4", "a.mp4"),
        (r"C:\films\a.mp4", "a.mp4"),
        ("../../etc/passwd", "passwd"),
        ("  a b.mp4 ", "a b.mp4"),
        ("día 1, 朝.mp4", "día 1, 朝.mp4"),
        ("", "video"),
        (".", "video"),
        ("..", "video"),
        ("films/", "video"),
        ("a" * LONGEST, "a" * LONGEST),
    ],
)
def test_a_name_is_the_last_part_of_a_path(given_: str, shown: str) -> None:
    assert video_name(given_) == shown


@pytest.mark.parametrize(
    "name",
    [
        "a\x00.mp4",
        "a\r\nSet-Cookie: b",
        "a\x7f",
        "a\x85",
        "gp4.\u202eexe",
        "\u2066a",
        "a\u2028b",
        "\ud800",
    ],
)
def test_characters_that_cannot_be_shown_are_refused(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        video_name(name)
    assert refused.value.code == "invalid_name"


def test_a_name_that_is_too_long_is_refused_with_its_length() -> None:
    with pytest.raises(Invalid, match="256 characters"):
        video_name("a" * (LONGEST + 1))


@given(st.text())
def test_whatever_passes_can_stand_in_a_header_and_in_a_list(text: str) -> None:
    try:
        name = video_name(text)
    except Invalid:
        return
    assert 0 < len(name) <= LONGEST
    assert not set(name) & set("/\\\r\n\x00")
    assert name == name.strip()
    assert video_name(name) == name
