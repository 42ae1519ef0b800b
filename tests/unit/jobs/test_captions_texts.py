from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.jobs.media.captions.extents import Extent, Still
from services.jobs.media.captions.lines import joined, lines_by_overlap, widened
from services.jobs.media.captions.similar import distinct_texts, texts_agree
from services.jobs.media.captions.texts import ReadCaption, merged, read_still
from services.jobs.media.geometry import Rect
from services.jobs.media.picture import Bgr
from services.jobs.media.reader import Reading


class Readings:
    """A reader that knows what stands where: by the box's upper side."""

    def __init__(self, said: dict[int, Reading]) -> None:
        self._said = said

    def detect(self, picture: Bgr) -> list[Rect]:
        return []

    def recognise(self, picture: Bgr, boxes: Sequence[Rect]) -> list[Reading]:
        return [self._said[round(box.y0)] for box in boxes]


def read(start: int, end: int, text: str, confidence: float = 0.9) -> ReadCaption:
    return ReadCaption(start_frame=start, end_frame=end, text=text, lines=(), confidence=confidence)


def test_boxes_are_read_line_by_line_from_left_to_right() -> None:
    boxes = [Rect(100, 52, 150, 90), Rect(10, 50, 90, 90), Rect(40, 0, 120, 40)]
    assert lines_by_overlap(boxes) == [[boxes[2]], [boxes[1], boxes[0]]]


def test_only_the_ends_of_a_line_get_room() -> None:
    line = [Rect(10, 0, 20, 8), Rect(30, 0, 40, 8)]
    assert widened(line, 2) == [Rect(8, 0, 20, 8), Rect(30, 0, 42, 8)]
    assert widened(line[:1], 2) == [Rect(8, 0, 22, 8)]


def test_confidence_of_a_line_is_weighed_by_length() -> None:
    assert joined([Reading("abc", 1.0), Reading("", 0.1), Reading("d", 0.6)]) == ("abc d", 0.9)
    assert joined([]) == ("", 0.0)


def test_a_caption_is_as_sure_as_its_least_sure_line() -> None:
    extent = Extent(
        start_frame=3,
        end_frame=9,
        boxes=((0, 50, 90, 90), (0, 0, 90, 40)),
        still=Still("stills-0000.png", 0),
    )
    reader = Readings({0: Reading("first", 0.99), 50: Reading("second", 0.8)})
    caption = read_still(reader, np.zeros((100, 100, 3), dtype=np.uint8), extent)
    assert caption.text == "first\nsecond"
    assert [line.confidence for line in caption.lines] == [0.99, 0.8]
    assert caption.confidence == 0.8


def test_readings_with_other_digits_never_agree() -> None:
    assert texts_agree("The harbour wakes", "The harbuor wakes")
    assert not texts_agree("Chapter 1 begins", "Chapter 2 begins")
    assert not texts_agree("Good morning", "Good night")
    assert distinct_texts(["Chapter 1", "Chapter 2", "Chapter 2"]) == 2


def test_touching_captions_that_say_the_same_are_one() -> None:
    found = merged([read(0, 9, "Good morning", 0.8), read(10, 19, "Good mornlng", 0.7)])
    assert found == [read(0, 19, "Good morning", 0.8)]


def test_a_caption_said_twice_with_a_gap_stays_two() -> None:
    twice = [read(0, 9, "Good morning"), read(11, 19, "Good morning")]
    assert merged(twice) == twice


def test_what_cannot_be_read_is_no_caption() -> None:
    assert merged([read(0, 9, "", 0.0), read(20, 29, "l|/", 0.3)]) == []
