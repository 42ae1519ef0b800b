from __future__ import annotations

from services.jobs.media.captions.bands import SeenBox, SeenFrame, anchor_of, group, lines_of
from services.jobs.media.captions.layout import Proposal, propose

WORDS = [
    "harbour",
    "lantern",
    "market",
    "sunrise",
    "silver",
    "quay",
    "crate",
    "music",
    "island",
    "letter",
    "garden",
    "window",
]
SIZE = (1280, 720)


def box(
    text: str,
    centre: float = 0.5,
    y: float = 0.9,
    *,
    height: float = 0.06,
    confidence: float = 0.98,
) -> SeenBox:
    half = 0.012 * len(text) / 2
    rect = (centre - half, y - height / 2, centre + half, y + height / 2)
    return SeenBox(rect, text, confidence, 250.0, "bright")


def frames(*boxes: tuple[SeenBox, ...]) -> list[SeenFrame]:
    return [SeenFrame(f"frame-{n}.jpg", 10.0 * n, shown) for n, shown in enumerate(boxes)]


def caption(number: int) -> str:
    return " ".join(WORDS[(number + step) % len(WORDS)] for step in range(2 + number % 3))


def found(proposal: Proposal) -> tuple[float, float, float, float]:
    assert proposal.layout is not None
    return proposal.layout.region


def test_captions_at_one_height_are_the_layout() -> None:
    proposal = propose(frames(*((box(caption(n)),) for n in range(12))), SIZE)
    assert proposal.confidence > 0.8
    x0, y0, x1, y1 = found(proposal)
    assert (x0 < 0.2, x1 > 0.8) == (True, True)
    assert (y0 < 0.87, y1 > 0.93) == (True, True)
    assert proposal.layout is not None
    assert proposal.layout.anchor == "centre"
    assert abs(proposal.layout.line_height - 0.06) < 0.001
    assert all(labels == ("in",) for labels in proposal.labels)


def test_there_is_room_for_a_second_line_that_was_not_seen() -> None:
    proposal = propose(frames(*((box(caption(n), y=0.8),) for n in range(12))), SIZE)
    _, y0, _, y1 = found(proposal)
    assert y0 <= 0.77 - 1.2 * 0.06
    assert y1 >= 0.83 + 0.9 * 0.06


def test_a_second_line_belongs_to_the_region() -> None:
    pairs = ((box(caption(n), y=0.82), box(caption(n + 5), y=0.9)) for n in range(12))
    _, y0, _, y1 = found(propose(frames(*pairs), SIZE))
    assert y0 < 0.79
    assert y1 > 0.93


def test_a_logo_is_no_caption() -> None:
    logo = box("CHANNEL 9", centre=0.85, y=0.08)
    proposal = propose(frames(*((logo,) for _ in range(12))), SIZE)
    assert proposal.layout is None
    assert set(proposal.labels) == {("out",)}


def test_a_logo_beside_captions_stays_out() -> None:
    logo = box("CHANNEL 9", centre=0.5, y=0.79, height=0.05)
    proposal = propose(frames(*((logo, box(caption(n))) for n in range(12))), SIZE)
    assert found(proposal)[1] >= 0.79
    assert all(labels == ("out", "in") for labels in proposal.labels)


def test_captions_that_come_again_are_no_logo() -> None:
    texts = ["Silver boats return", "Nobody hurries today", "Good night"]
    proposal = propose(frames(*((box(texts[n % 3]),) for n in range(12))), SIZE)
    assert proposal.layout is not None


def test_a_clock_is_no_caption() -> None:
    clocks = ((box(f"12:{n:02d}:{7 * n % 60:02d}", centre=0.9, y=0.1),) for n in range(12))
    assert propose(frames(*clocks), SIZE).layout is None


def test_a_caption_that_counts_is_a_caption() -> None:
    counted = ((box(f"Chapter {n} of the long story"),) for n in range(12))
    assert propose(frames(*counted), SIZE).layout is not None


def test_a_ticker_that_touches_the_sides_is_no_caption() -> None:
    tickers = (
        (SeenBox((0.0, 0.94, 1.0, 0.99), caption(n) * 4, 0.98, 250.0, "bright"),) for n in range(12)
    )
    assert propose(frames(*tickers), SIZE).layout is None


def test_text_here_and_there_is_no_layout() -> None:
    scattered = ((box(caption(n), centre=0.2 + 0.05 * n, y=0.1 + 0.07 * n),) for n in range(12))
    assert propose(frames(*scattered), SIZE).layout is None


def test_nothing_read_is_no_layout() -> None:
    proposal = propose(frames(*(() for _ in range(12))), SIZE)
    assert proposal.layout is None
    assert proposal.confidence == 0


def test_left_aligned_captions_are_anchored_left() -> None:
    lines = [
        line
        for n in range(12)
        for line in lines_of(n, [box(caption(n), centre=0.1 + 0.006 * len(caption(n)))], 16 / 9)
    ]
    anchor, position, spread = anchor_of(lines)
    assert anchor == "left"
    assert abs(position - 0.1) < 0.001
    assert spread < 0.001


def test_boxes_side_by_side_are_one_line() -> None:
    beside = [box("Good", centre=0.4), box("night", centre=0.47)]
    assert [line.text for line in lines_of(0, beside, 16 / 9)] == ["Good night"]


def test_lines_far_apart_are_different_bands() -> None:
    lines = [*lines_of(0, [box("up", y=0.1), box("down", y=0.9)], 16 / 9)]
    assert len(group(lines)) == 2
