from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.catalog.model import (
    ReadCaption,
    ReadCaptions,
    ReadFrame,
    ReadFrames,
    caption_job_id,
    described,
    frames_of,
    named,
    new_video,
    numbered,
    proposed_layout,
)
from shared.contracts.drive import FileStored
from shared.contracts.records import Artifact, CaptionLine, StepOutput, TextBox, Video
from shared.ids import is_id

STORED = FileStored(
    file_id="f",
    video_id="v",
    job_id="j",
    name="a.mp4",
    size=7,
    sha256="00",
    media_type="video/mp4",
    location="acme/files/f/original",
)
PROBED = {
    "duration": 26,
    "width": 640,
    "height": 360,
    "fps": 25.0,
    "codec": "h264",
    "container": "mp4",
    "rotation": 90,
    "has_audio": True,
    "damaged": False,
    "something_newer": 1,
}
SPRITE = {"columns": 5, "rows": 2, "tile_width": 160, "tile_height": 90, "interval": 2.6}
FOUND: dict[str, Any] = {"found": True, "sure": True, "region": [0, 0.8, 1, 1]}


def video() -> Video:
    return new_video(STORED, 1_000)


def outputs(poster: dict[str, Any]) -> dict[str, StepOutput]:
    return {"probe": StepOutput(result=PROBED), "poster": StepOutput(result=poster)}


def test_a_new_video_is_what_drive_has_stored() -> None:
    made = video()
    assert (made.id, made.name, made.location) == ("v", "a.mp4", "acme/files/f/original")
    assert (made.process_job, made.version) == ("j", 1)
    assert (made.created_at, made.updated_at) == (1_000, 1_000)
    assert made.media is None
    assert made.captions is None


def test_a_described_video_has_its_facts_and_a_later_version() -> None:
    made = described(video(), outputs({"sprite": SPRITE}), {}, at=2_000)
    assert made.media is not None
    assert (made.media.duration, made.media.rotation, made.media.has_audio) == (26.0, 90, True)
    assert (made.version, made.updated_at, made.created_at) == (2, 2_000, 1_000)


@pytest.mark.parametrize("shape", [{"sprite": SPRITE}, SPRITE])
def test_pictures_are_named_when_they_were_kept(shape: dict[str, Any]) -> None:
    kept = {"poster.jpg": "acme/videos/v/j/poster.jpg", "sprite.jpg": "acme/videos/v/j/sprite.jpg"}
    made = described(video(), outputs(shape), kept, at=2_000)
    assert made.poster == "acme/videos/v/j/poster.jpg"
    assert made.sprite is not None
    assert (made.sprite.key, made.sprite.columns) == ("acme/videos/v/j/sprite.jpg", 5)


def test_a_sprite_without_a_picture_or_a_shape_is_none() -> None:
    assert described(video(), outputs({"sprite": SPRITE}), {}, at=2).sprite is None
    assert described(video(), outputs({}), {"sprite.jpg": "k"}, at=2).sprite is None


def test_frames_whose_picture_is_missing_are_left_out() -> None:
    box = TextBox(box=(0, 0, 1, 1), text="a", confidence=1)
    found = ReadFrames(
        frames=(ReadFrame(name="1.jpg", time=1.0, boxes=(box,)), ReadFrame(name="2.jpg", time=2.0))
    )
    kept = frames_of(found, {"1.jpg": "acme/videos/v/j/1.jpg", "poster.jpg": "p"})
    assert [(frame.time, frame.key) for frame in kept] == [(1.0, "acme/videos/v/j/1.jpg")]
    assert kept[0].boxes == (box,)


@pytest.mark.parametrize(
    ("proposal", "auto_approve", "state", "by"),
    [
        ({"found": False}, True, "none", ""),
        ({}, True, "none", ""),
        (FOUND, True, "approved", "policy"),
        (FOUND, False, "proposed", ""),
        ({**FOUND, "sure": False}, True, "proposed", ""),
        ({"found": True}, True, "proposed", ""),
    ],
)
def test_only_a_sure_layout_of_a_tenant_who_allows_it_passes(
    proposal: dict[str, Any], auto_approve: bool, state: str, by: str
) -> None:
    layout = proposed_layout("v", proposal, auto_approve=auto_approve, at=5)
    assert (layout.state, layout.approved_by, layout.updated_at) == (state, by, 5)
    assert layout.proposal == proposal


def test_asking_twice_for_the_captions_of_one_layout_is_one_job() -> None:
    layout = proposed_layout("v", FOUND, auto_approve=True, at=5)
    later = msgspec.structs.replace(layout, updated_at=6)
    assert caption_job_id("v", layout) == caption_job_id("v", layout)
    assert len({caption_job_id("v", layout), caption_job_id("w", layout)}) == 2
    assert caption_job_id("v", layout) != caption_job_id("v", later)


def read(*spans: tuple[int, int]) -> ReadCaptions:
    line = CaptionLine(text="a", confidence=0.5)
    return ReadCaptions(
        captions=tuple(
            ReadCaption(start_frame=start, end_frame=end, text="a", confidence=0.5, lines=(line,))
            for start, end in spans
        )
    )


def test_captions_read_again_keep_their_ids() -> None:
    first, again = numbered("v", read((1, 5), (7, 9))), numbered("v", read((7, 9)))
    assert first[1] == again[0]
    assert first[0].id != first[1].id
    assert all(is_id(caption.id) for caption in first)
    assert numbered("w", read((1, 5)))[0].id != first[0].id


def test_what_was_read_of_a_caption_is_kept() -> None:
    caption = numbered("v", read((10, 35)))[0]
    assert (caption.start, caption.end) == (1.0, 3.6)
    assert (caption.text, caption.confidence, caption.state) == ("a", 0.5, "predicted")
    assert caption.lines[0].text == "a"


def test_an_artifact_is_found_by_its_name() -> None:
    one, two = (Artifact(name=name, key=name, size=1, sha256="") for name in ("a", "b"))
    assert named((one, two), "b") is two
