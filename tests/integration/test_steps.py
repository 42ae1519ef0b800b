"""Real steps on real small clips, most of them through the child program."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.jobs.media.clip import DEMO, DEMO_SECONDS, ClipCaption, make_clip
from services.jobs.media.seconds import seconds
from services.jobs.media.video import Video
from services.jobs.steps.table import find
from shared.work.step import ErrorLine, ProgressLine, ResultLine, StepTask
from tests.support import media
from tests.support.steps import Checkpoints, Flow, fingerprint, interrupted_at, run_child

TOLERANCE = 0.2 + 1e-9


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Flow:
    folder = tmp_path_factory.mktemp("demo")
    make_clip(folder / "demo.mp4", DEMO, duration=DEMO_SECONDS)
    flow = Flow(folder / "demo.mp4", folder)
    flow.process_video()
    return flow


def assert_captions(captions: list[dict[str, Any]], expected: tuple[ClipCaption, ...]) -> None:
    assert [caption["text"] for caption in captions] == [caption.text for caption in expected]
    for caption, wanted in zip(captions, expected, strict=True):
        start, end = seconds(caption["start_frame"], caption["end_frame"])
        assert abs(start - wanted.start) <= TOLERANCE, wanted
        assert abs(end - wanted.end) <= TOLERANCE, wanted


def test_all_captions_of_the_demo_are_read_exactly(demo: Flow) -> None:
    layout = demo.results["layout"]
    assert layout["found"]
    assert layout["sure"]
    assert layout["polarity"] == "bright"
    assert layout["anchor"] == "centre"
    captions = demo.caption_video()
    assert_captions(captions, DEMO)
    assert all(caption["confidence"] > 0.9 for caption in captions)


@pytest.mark.parametrize("make", [media.vertical, media.uneven, media.rotated, media.dark])
def test_captions_of_unusual_videos_are_read_exactly(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / "clip.mp4")
    flow = Flow(tmp_path / "clip.mp4", tmp_path)
    assert flow.process_video()["sure"]
    assert_captions(flow.caption_video(), media.SHORT)


def test_a_video_without_captions_has_no_layout(tmp_path: Path) -> None:
    media.without_captions(tmp_path / "clip.mp4")
    layout = Flow(tmp_path / "clip.mp4", tmp_path).process_video()
    assert layout == {"found": False, "sure": False, "confidence": 0.0}


def test_pictures_are_made_in_display_orientation(tmp_path: Path) -> None:
    media.rotated(tmp_path / "clip.mp4")
    flow = Flow(tmp_path / "clip.mp4", tmp_path)
    probe, sprite = flow.run("probe"), flow.run("poster")["sprite"]
    assert (probe["width"], probe["height"], probe["rotation"]) == (640, 360, 90)
    assert (sprite["tile_width"], sprite["tile_height"]) == (160, 90)
    assert sprite["columns"] * sprite["rows"] >= sprite["tiles"] == 5
    assert len(flow.run("frames")["frames"]) == 12
    assert Path(flow.inputs["poster.jpg"]).stat().st_size > 1000


@pytest.mark.parametrize("kind", media.REFUSED)
def test_what_is_no_video_is_refused_with_a_stable_code(kind: str, tmp_path: Path) -> None:
    make, code = media.REFUSED[kind]
    make(tmp_path / "source.mp4")
    task = StepTask(
        step="probe",
        params={},
        inputs={"source": str(tmp_path / "source.mp4")},
        workdir=str(tmp_path),
    )
    last = run_child(task)[-1]
    assert isinstance(last, ErrorLine)
    assert (last.code, last.error_class) == (code, "bad_input")
    assert last.detail
    assert last.hint


def test_a_truncated_video_ends_where_decoding_ends(tmp_path: Path) -> None:
    media.truncated(tmp_path / "clip.mp4")
    flow = Flow(tmp_path / "clip.mp4", tmp_path)
    probe = flow.run("probe")
    assert probe["damaged"]
    assert 2.0 < probe["duration"] < 8.0
    assert flow.run("frames")["frames"][-1]["time"] < probe["duration"]


def test_damaged_packets_are_skipped_and_counted(tmp_path: Path) -> None:
    media.corrupt(tmp_path / "clip.mp4")
    flow = Flow(tmp_path / "clip.mp4", tmp_path)
    flow.process_video()
    captions = flow.caption_video()
    assert flow.results["crop"]["frames"] == 100
    assert flow.results["crop"]["damaged_packets"] > 0
    assert captions[0]["text"] == media.SHORT[0].text


def test_ten_bit_pictures_are_read_as_eight_bit(tmp_path: Path) -> None:
    media.ten_bit(tmp_path / "clip.mkv")
    with Video(tmp_path / "clip.mkv") as video:
        assert [shown.time for shown in video.frames()][-1] == pytest.approx(1.96, abs=0.002)


@pytest.mark.parametrize("step", ["frames", "read_frames", "crop", "extents", "read_captions"])
def test_an_interrupted_step_ends_with_the_same_result(
    step: str, demo: Flow, tmp_path: Path
) -> None:
    if "captions.json" not in demo.inputs:
        demo.caption_video()
    whole = msgspec.structs.replace(demo.task(step), workdir=str(tmp_path / "whole"))
    Path(whole.workdir).mkdir()
    report = Checkpoints()
    expected = fingerprint(whole, find(step)(whole, report))
    for number in range(1, len(report.seen) + 1):
        again = interrupted_at(whole, number, tmp_path / f"stopped-{number}")
        assert fingerprint(again, find(step)(again, Checkpoints())) == expected, number


def test_chunks_make_no_difference_to_what_is_found(demo: Flow, tmp_path: Path) -> None:
    """The demo cut into chunks of five seconds has the captions of the demo in one chunk."""
    task = msgspec.structs.replace(demo.task("crop"), workdir=str(tmp_path))
    task.params["chunk"] = 50
    inputs = dict(demo.inputs)
    for step in ("crop", "extents", "read_captions"):
        result = find(step)(msgspec.structs.replace(task, step=step, inputs=inputs), Checkpoints())
        inputs |= {name: str(tmp_path / name) for name in result.artifacts}
    assert len(list(tmp_path.glob("crop-*.nut"))) == 6
    found = msgspec.json.decode((tmp_path / "captions.json").read_bytes())
    assert_captions(found["captions"], DEMO)


def test_the_child_keeps_its_output_clean_and_reports_progress(demo: Flow, tmp_path: Path) -> None:
    task = msgspec.structs.replace(demo.task("read_frames"), workdir=str(tmp_path))
    lines = run_child(task)
    fractions = [line.fraction for line in lines if isinstance(line, ProgressLine)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert isinstance(lines[-1], ResultLine)


def test_a_step_nobody_knows_is_a_bug(tmp_path: Path) -> None:
    last = run_child(StepTask(step="publish", params={}, inputs={}, workdir=str(tmp_path)))[-1]
    assert isinstance(last, ErrorLine)
    assert (last.code, last.error_class) == ("unknown_step", "bug")


def test_a_crash_is_said_in_one_line(tmp_path: Path) -> None:
    last = run_child(StepTask(step="layout", params={}, inputs={}, workdir=str(tmp_path)))[-1]
    assert isinstance(last, ErrorLine)
    assert (last.code, last.error_class) == ("step_crashed", "bug")
    assert "KeyError" in last.detail


def test_the_child_leaves_when_its_parent_is_gone(demo: Flow, tmp_path: Path) -> None:
    task = msgspec.structs.replace(demo.task("read_frames"), workdir=str(tmp_path))
    process = subprocess.run(
        [sys.executable, "-m", "services.jobs.steps"],
        input=msgspec.json.encode(task) + b"\n",
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert process.returncode == 3
    assert b'"result"' not in process.stdout


def test_the_origin_names_the_engine_and_its_libraries(demo: Flow) -> None:
    layout = msgspec.json.decode(Path(demo.inputs["layout.json"]).read_bytes())
    assert layout["origin"].startswith("reelway-captions/")
    assert "rapidocr/" in layout["origin"]
