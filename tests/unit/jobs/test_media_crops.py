from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
from av.video.frame import VideoFrame

from services.jobs.media.captions.layout import Layout
from services.jobs.media.crops import ChunkWriter, Crops, crop_size, sampled
from services.jobs.media.seconds import seconds
from services.jobs.media.video import Shown

LAYOUT = Layout(
    region=(0.1, 0.7, 0.9, 0.95),
    line_height=0.08,
    anchor="centre",
    anchor_position=0.5,
    fill_luminance=250.0,
    polarity="bright",
)


def shown(*times: float) -> list[Shown]:
    return [Shown(time, cast("VideoFrame", time)) for time in times]


def taken(frames: list[Shown], first: int, count: int) -> list[float]:
    """The times that stand for frames here, sample by sample."""
    return cast("list[float]", list(islice(sampled(frames, first), count)))


def test_a_sample_shows_what_was_on_in_its_middle() -> None:
    frames = shown(0.0, 0.04, 0.08, 0.12, 0.16, 0.2, 0.24)
    assert taken(frames, 0, 3) == [0.04, 0.12, 0.24]


def test_frames_that_stay_are_sampled_again_and_again() -> None:
    assert taken(shown(0.0, 0.31), 0, 5) == [0.0, 0.0, 0.0, 0.31, 0.31]


def test_sampling_goes_on_at_any_number() -> None:
    frames = shown(*(number / 25 for number in range(100)))
    assert taken(frames, 0, 30)[12:] == taken(frames[29:], 12, 18)


def test_the_last_sample_of_a_caption_counts_to_its_end() -> None:
    assert seconds(10, 35) == (1.0, 3.6)


def test_lines_have_one_height_in_all_crops() -> None:
    for size in ((640, 360), (1920, 1080)):
        width, height, line = crop_size(LAYOUT, size)
        assert line == 40
        assert width % 2 == height % 2 == 0
        assert abs(width / height - 0.8 * size[0] / (0.25 * size[1])) < 0.1


def test_crops_come_back_in_order_and_nearly_as_they_were(tmp_path: Path) -> None:
    paths = [tmp_path / "a.nut", tmp_path / "b.nut"]
    for number, path in enumerate(paths):
        writer = ChunkWriter(path, (64, 32))
        for sample in range(5):
            writer.add(np.full((32, 64), 20 * (5 * number + sample), dtype=np.uint8))
        writer.close()
    crops = Crops(10, paths, chunk=5)
    values = [round(float(crop.mean())) for crop in crops.several(range(10))]
    assert all(abs(value - 20 * number) <= 2 for number, value in enumerate(values))


def test_the_same_crops_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.nut", "b.nut"):
        writer = ChunkWriter(tmp_path / name, (64, 32))
        for sample in range(5):
            writer.add(np.full((32, 64), 9 * sample, dtype=np.uint8))
        writer.close()
    assert (tmp_path / "a.nut").read_bytes() == (tmp_path / "b.nut").read_bytes()
