from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.jobs.media.captions.boundaries import (
    Contrast,
    Pattern,
    place,
    really_away,
    side_after,
    side_before,
)
from services.jobs.media.captions.cuts import Change, Segment, change, segments
from services.jobs.media.captions.ink import Ink, measure
from services.jobs.media.captions.stills import spread
from services.jobs.media.captions.strokes import Strokes, difference, strokes_of
from services.jobs.media.picture import Gray

WHITE = Ink("bright", 250.0)
NOTHING = Change(0.0, 0.0, 0.0)
CUT = Change(3.0, 3.0, 0.0)


def crop(*bars: int, level: int = 250, ground: int = 90) -> Gray:
    """A picture with upright strokes, each five pixels wide and 30 high."""
    picture = np.full((60, 400), ground, dtype=np.uint8)
    for bar in bars:
        picture[15:45, bar : bar + 5] = level
    return picture


HELLO = crop(*range(60, 340, 20))
OTHER = crop(*range(70, 340, 20))
EMPTY = crop()


class Sequence:
    """Crops kept in memory."""

    def __init__(self, *crops: Gray) -> None:
        self._crops = crops
        self.count = len(crops)

    def __getitem__(self, number: int) -> Gray:
        return self._crops[number]

    def strokes(self, number: int) -> Strokes | None:
        return strokes_of(self._crops[number], WHITE) if 0 <= number < self.count else None


def cuts(*crops: Gray) -> list[Segment]:
    sequence = Sequence(*crops)
    return segments([change(at, sequence.strokes) for at in range(len(crops))])


def test_strokes_are_narrow_and_as_bright_as_the_text() -> None:
    found = strokes_of(HELLO, WHITE)
    assert found.high.sum() == 14 * 5 * 30
    assert not strokes_of(crop(level=250, ground=250), WHITE).high.any()
    assert not strokes_of(crop(100, level=160), WHITE).high.any()


def test_dark_strokes_are_found_on_bright_ground() -> None:
    assert strokes_of(255 - HELLO, Ink("dark", 5.0)).high.sum() == 14 * 5 * 30


def test_equal_strokes_do_not_differ_and_others_do() -> None:
    hello, other = strokes_of(HELLO, WHITE), strokes_of(OTHER, WHITE)
    assert difference(hello, hello) == 0
    assert difference(hello, other) > 0.9


def test_a_caption_is_a_segment_of_its_own() -> None:
    found = cuts(*[EMPTY] * 10, *[HELLO] * 15, *[EMPTY] * 10)
    assert found == [Segment(0, 9), Segment(10, 24), Segment(25, 34)]


def test_captions_that_follow_without_a_gap_are_cut_apart() -> None:
    assert cuts(*[HELLO] * 10, *[OTHER] * 10) == [Segment(0, 9), Segment(10, 19)]


def test_a_gap_of_one_sample_is_a_cut() -> None:
    found = cuts(*[HELLO] * 10, EMPTY, *[HELLO] * 10)
    assert found == [Segment(0, 9), Segment(11, 20)]


def test_a_single_letter_that_changes_is_a_cut() -> None:
    changed = crop(*range(60, 320, 20), 326)
    assert len(cuts(*[HELLO] * 10, *[changed] * 10)) == 2


def test_background_that_gets_brighter_is_no_cut() -> None:
    grounds = [crop(*range(60, 340, 20), ground=80 + 5 * step) for step in range(20)]
    assert cuts(*grounds) == [Segment(0, 19)]


def test_a_slow_fade_is_a_cut() -> None:
    rising = [crop(*range(60, 340, 20), level=90 + 16 * step) for step in range(11)]
    found = cuts(*[EMPTY] * 10, *rising, *[HELLO] * 10)
    assert len(found) >= 2
    assert found[-1].last == 30


def test_many_cuts_in_a_row_are_not_dropped() -> None:
    changes = [NOTHING] * 5 + [CUT] * 6 + [NOTHING] * 5
    covered = {n for piece in segments(changes) for n in range(piece.first, piece.last + 1)}
    assert covered >= set(range(4)) | set(range(11, 16))
    assert len(covered) >= 15


@given(st.lists(st.sampled_from([NOTHING, CUT]), min_size=1, max_size=60))
def test_segments_are_in_order_and_never_overlap(changes: list[Change]) -> None:
    found = segments(changes)
    ends = [-1] + [piece.last for piece in found]
    assert all(piece.first > end for piece, end in zip(found, ends, strict=False))
    assert all(piece.first <= piece.last < len(changes) for piece in found)


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 9))
def test_samples_for_a_still_lie_inside_the_extent(first: int, length: int, most: int) -> None:
    numbers = spread(first, first + length, most)
    assert 1 <= len(numbers) <= most
    assert first <= min(numbers) <= max(numbers) <= first + length
    assert numbers == sorted(numbers)


def contrast_of(*crops: Gray) -> Contrast:
    pattern = Pattern.of(strokes_of(HELLO, WHITE).high, HELLO)
    return Contrast(Sequence(*crops), pattern, WHITE)


def test_boundaries_move_to_where_the_strokes_are() -> None:
    contrast = contrast_of(*[EMPTY] * 12, *[HELLO] * 20, *[EMPTY] * 12)
    sides = side_before(14, None), side_after(29, None, 44)
    assert place(contrast, 14, 29, sides) == (12, 31)
    sides = side_before(10, None), side_after(33, None, 44)
    assert place(contrast, 10, 33, sides) == (12, 31)


def test_a_fade_belongs_to_the_caption() -> None:
    steps = [crop(*range(60, 340, 20), level=90 + 32 * step) for step in range(1, 5)]
    contrast = contrast_of(*[EMPTY] * 12, *steps, *[HELLO] * 12, *reversed(steps), *[EMPTY] * 12)
    sides = side_before(16, None), side_after(27, None, 44)
    first, last = place(contrast, 16, 27, sides)
    assert 12 <= first <= 14
    assert 29 <= last <= 31


def test_neighbours_meet_half_way() -> None:
    contrast = contrast_of(*[HELLO] * 15, *[OTHER] * 15)
    sides = side_before(0, None), side_after(14, (15, 29), 30)
    assert place(contrast, 0, 14, sides) == (0, 14)


def test_a_hole_is_real_only_if_the_strokes_were_away() -> None:
    gone = contrast_of(*[HELLO] * 10, EMPTY, *[HELLO] * 10)
    assert really_away(gone, 9, range(10, 11))
    dimmed = contrast_of(*[HELLO] * 10, crop(*range(60, 340, 20), level=170), *[HELLO] * 10)
    assert not really_away(dimmed, 9, range(10, 11))


def test_ink_is_told_from_its_outline() -> None:
    outlined = np.full((40, 200), 120, dtype=np.uint8)
    for bar in range(20, 180, 20):
        outlined[8:32, bar - 3 : bar + 8] = 10
        outlined[11:29, bar : bar + 5] = 250
    assert measure(outlined) == Ink("bright", 250.0)
    assert measure(255 - outlined) == Ink("dark", 5.0)


def test_plain_ink_is_measured() -> None:
    assert measure(crop(*range(20, 380, 20), level=230, ground=60)[10:50]) == Ink("bright", 230.0)
    assert measure(crop(*range(20, 380, 20), level=20, ground=200)[10:50]) == Ink("dark", 20.0)
