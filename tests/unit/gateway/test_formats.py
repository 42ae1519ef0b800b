from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.formats import srt, vtt
from shared.contracts.records import Caption

TIME = re.compile(r"\d{2,}:[0-5]\d:[0-5]\d[.,]\d{3} --> \d{2,}:[0-5]\d:[0-5]\d[.,]\d{3}")


def caption(start: int, end: int, text: str) -> Caption:
    return Caption(id="c", start_frame=start, end_frame=end, text=text, confidence=1.0)


TWO = (caption(10, 35, "Good morning"), caption(36_615, 36_699, "Two\nlines"))


def test_vtt_begins_with_its_name_and_has_a_cue_for_every_caption() -> None:
    assert vtt(TWO) == (
        "WEBVTT\n\n"
        "00:00:01.000 --> 00:00:03.600\nGood morning\n\n"
        "01:01:01.500 --> 01:01:10.000\nTwo\nlines\n"
    )


def test_srt_counts_from_one_and_has_commas_in_its_times() -> None:
    assert srt(TWO) == (
        "1\n00:00:01,000 --> 00:00:03,600\nGood morning\n\n"
        "2\n01:01:01,500 --> 01:01:10,000\nTwo\nlines\n"
    )


def test_a_video_without_captions_is_an_empty_but_valid_file() -> None:
    assert vtt(()) == "WEBVTT\n"
    assert srt(()) == ""


def test_what_looks_like_markup_is_text_in_vtt() -> None:
    assert "a &lt;b&gt; &amp;amp; c" in vtt([caption(0, 1, "a <b> &amp; c")])
    assert "<b>" in srt([caption(0, 1, "a <b>")])


@pytest.mark.parametrize("render", [vtt, srt])
def test_an_empty_line_in_a_text_does_not_end_its_cue(render: object) -> None:
    assert callable(render)
    assert "one\ntwo" in render([caption(0, 1, "one\n \n\ntwo")])


def test_a_text_cannot_begin_a_cue_of_its_own() -> None:
    rendered = vtt([caption(0, 1, "x\n\n00:00:09.000 --> 00:00:10.000\nfalse")])
    assert len(TIME.findall(rendered)) == 1


def test_hours_may_have_three_digits() -> None:
    assert "100:00:00.000 -->" in vtt([caption(3_600_000, 3_600_001, "late")])


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 600), st.text()), max_size=5))
def test_there_are_as_many_cues_as_captions(given_: list[tuple[int, int, str]]) -> None:
    captions = [caption(start, start + length, text) for start, length, text in given_]
    for rendered in (vtt(captions), srt(captions)):
        cues = [line for line in rendered.split("\n") if TIME.fullmatch(line)]
        assert len(cues) >= len(captions)
