from __future__ import annotations

import numpy as np
import pytest

from services.jobs.media.geometry import Rect, around, coded_rect, fitted


@pytest.mark.parametrize("turns", range(4))
def test_a_shown_rectangle_is_found_in_the_coded_picture(turns: int) -> None:
    coded = np.arange(6 * 8).reshape(6, 8)
    shown = np.rot90(coded, turns)
    height, width = shown.shape
    part = Rect(1 / width, 2 / height, 4 / width, 5 / height)
    x0, y0, x1, y1 = coded_rect(part, turns)
    rows, columns = slice(round(y0 * 6), round(y1 * 6)), slice(round(x0 * 8), round(x1 * 8))
    assert np.array_equal(np.rot90(coded[rows, columns], turns), shown[2:5, 1:4])


def test_overlap_is_the_shared_part_of_both() -> None:
    one, other = Rect(0, 0, 0.4, 0.4), Rect(0.2, 0, 0.6, 0.4)
    assert one.overlap(other) == pytest.approx(1 / 3)
    assert one.overlap(Rect(0.5, 0.5, 1, 1)) == 0
    assert around([one, other]) == (0, 0, 0.6, 0.4)


def test_pictures_are_made_smaller_but_never_larger() -> None:
    assert fitted(1920, 1080, 1280) == (1280, 720)
    assert fitted(1080, 1920, 1280) == (720, 1280)
    assert fitted(640, 360, 1280) == (640, 360)
