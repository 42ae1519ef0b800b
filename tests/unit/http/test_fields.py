"""Dates and content dispositions."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http.fields import content_disposition, http_date, parse_http_date, safe_name


@given(st.integers(0, 4_102_444_800))
def test_date_comes_back_as_it_went(seconds: int) -> None:
    assert parse_http_date(http_date(seconds)) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "784111777",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT; length=3",
        "Sun, \u0660\u0666 Nov 1994 08:49:37 GMT",
    ],
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert parse_http_date(text) is None


def test_two_digit_year_far_ahead_is_past() -> None:
    assert parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT") == 784111777


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clip.mp4", 'inline; filename="clip.mp4"'),
        ("my clip.mp4", 'inline; filename="my clip.mp4"'),
        (
            'a"b.mp4',
            "inline; filename=\"a_b.mp4\"; filename*=UTF-8''a%22b.mp4",
        ),
        ("50%.mp4", "inline; filename=\"50_.mp4\"; filename*=UTF-8''50%25.mp4"),
        (
            "日本.mp4",
            "inline; filename=\"download.mp4\"; filename*=UTF-8''%E6%97%A5%E6%9C%AC.mp4",
        ),
        ("../../etc/passwd", 'inline; filename="_.._etc_passwd"'),
        ("a\r\nSet-Cookie: x", 'inline; filename="a__Set-Cookie: x"'),
        ("", 'inline; filename="download"'),
        ("...", 'inline; filename="download"'),
        ("\ud800", 'inline; filename="_"'),
        ("gpj.\u202eexe", 'inline; filename="gpj._exe"'),
    ],
)
def test_disposition_names_the_file(name: str, expected: str) -> None:
    assert content_disposition("inline", name) == expected


@given(st.text(max_size=400))
def test_disposition_is_one_safe_line_that_gives_the_name_back(name: str) -> None:
    value = content_disposition("attachment", name)
    assert re.fullmatch(
        r"attachment; filename=\"[ -!#-~]+\"(; filename\*=UTF-8''[A-Za-z0-9!#$&+\-.^_`|~%]+)?",
        value,
    )
    given_back = unquote(value.split("UTF-8''")[1]) if "UTF-8''" in value else value.split('"')[1]
    assert given_back == safe_name(name)
    assert len(given_back) <= 201
