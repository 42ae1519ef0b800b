from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from services.gateway import schemas, views
from shared.contracts import records
from shared.contracts.library import FileState, LibraryFile, Look
from shared.contracts.records import JobState

ACCEPTED = records.Accepted(video_id="v", job_id="j", name="a.mp4", size=7, accepted_at=1_000)
JOB = records.Job(
    id="j",
    tenant="acme",
    flow="process_video",
    subject="v",
    pool="media",
    state="running",
    base=50,
    waiting_since=0,
    created_at=1_000,
    updated_at=2_000,
    steps=(
        records.StepStatus(name="store", pool="drive", state="done", started_at=1, finished_at=2),
        records.StepStatus(name="probe", pool="media", state="running", started_at=3),
        records.StepStatus(name="poster", pool="media"),
    ),
    step="probe",
    progress=0.25,
    message="looking",
    attempt=1,
    lost=2,
    interrupts=3,
    started_at=1_500,
)
VIDEO = records.Video(
    id="v",
    name="a.mp4",
    file_id="f",
    location="acme/files/f/original",
    size=7,
    sha256="00",
    media_type="video/mp4",
    created_at=1_000,
    updated_at=2_000,
    version=1,
    process_job="j",
)
MEDIA = records.MediaFacts(duration=26.0, width=640, height=360, fps=25.0, codec="h264")
ERROR = records.JobError(
    code="not_a_video", error_class="bad_input", detail="a picture", hint="no", step="store"
)


def job(state: JobState, error: records.JobError | None = None) -> records.Job:
    return msgspec.structs.replace(JOB, state=state, error=error)


def video(
    layout: str = "", captions: int | None = None, media: records.MediaFacts | None = None
) -> records.Video:
    changed = {"layout": layout, "captions": captions, "media": media}
    return msgspec.structs.replace(VIDEO, **changed)


def test_every_state_of_a_job_is_a_stage() -> None:
    assert set(views.STAGE_OF) == set(get_args(JobState))
    assert set(views.STAGE_OF.values()) <= set(get_args(schemas.Stage))


def test_what_was_just_accepted_waits() -> None:
    waiting = views.accepted_video(ACCEPTED, None)
    assert (waiting.status, waiting.stages.process) == ("wait", "wait")
    assert waiting.jobs.process == "j"
    assert waiting.stream_url is None


def test_an_upload_that_was_refused_is_shown_as_an_error_with_its_reason() -> None:
    shown = views.accepted_video(ACCEPTED, job("failed", ERROR))
    assert shown.status == "error"
    assert shown.error is not None
    assert shown.error.code == "not_a_video"


PROPOSED, APPROVED = "proposed", "approved"


@pytest.mark.parametrize(
    ("record", "process", "captioning", "stages", "status"),
    [
        (video(), job("ready"), None, ("wait", "wait", "wait"), "wait"),
        (video(), job("running"), None, ("processing", "processing", "wait"), "processing"),
        (video(), job("failed", ERROR), None, ("error", "wait", "wait"), "error"),
        (
            video(PROPOSED, media=MEDIA),
            job("succeeded"),
            None,
            ("done", "annotate", "wait"),
            "annotate",
        ),
        (video("none", media=MEDIA), job("succeeded"), None, ("done", "done", "done"), "done"),
        (
            video(APPROVED, media=MEDIA),
            job("succeeded"),
            None,
            ("done", "done", "wait"),
            "processing",
        ),
        (
            video(APPROVED, media=MEDIA),
            job("succeeded"),
            job("retrying"),
            ("done", "done", "processing"),
            "processing",
        ),
        (
            video(APPROVED, media=MEDIA),
            job("succeeded"),
            job("cancelled"),
            ("done", "done", "error"),
            "error",
        ),
        (
            video(APPROVED, 3, MEDIA),
            job("succeeded"),
            job("succeeded"),
            ("done", "done", "done"),
            "done",
        ),
    ],
)
def test_stages_follow_from_jobs_and_from_what_they_wrote(
    record: records.Video,
    process: records.Job,
    captioning: records.Job | None,
    stages: tuple[str, str, str],
    status: str,
) -> None:
    found = views.stages_of(record, process, captioning)
    assert (found.process, found.layout, found.captions) == stages
    assert views.status_of(found) == status


def test_a_video_whose_jobs_are_forgotten_is_as_far_as_its_record_says() -> None:
    done = views.stages_of(video(APPROVED, 3, MEDIA), None, None)
    assert (done.process, done.layout, done.captions) == ("done", "done", "done")
    bare = views.stages_of(video(), None, None)
    assert (bare.process, bare.layout, bare.captions) == ("wait", "wait", "wait")


def test_a_video_shows_its_facts_and_where_its_bytes_are() -> None:
    record = msgspec.structs.replace(video(APPROVED, 3, MEDIA), poster="acme/videos/v/j/poster.jpg")
    shown = views.video(record, job("succeeded"), job("succeeded"))
    assert shown.media is not None
    assert (shown.media.width, shown.media.codec) == (640, "h264")
    assert (shown.stream_url, shown.thumbnail_url) == (
        "/v1/videos/v/stream",
        "/v1/videos/v/thumbnail",
    )
    assert b"acme" not in msgspec.json.encode(shown)


def test_a_video_without_a_poster_names_no_thumbnail() -> None:
    assert views.video(VIDEO, JOB, None).thumbnail_url is None


def test_frames_are_numbered_and_their_keys_stay_inside() -> None:
    box = records.TextBox(box=(0.1, 0.8, 0.9, 0.9), text="Good night", confidence=0.9)
    frames = records.Frames(
        video_id="v",
        frames=(
            records.Frame(time=1.0, key="acme/videos/v/j/1.jpg", boxes=(box,)),
            records.Frame(time=3.0, key="acme/videos/v/j/2.jpg"),
        ),
    )
    shown = views.frames("v", frames)
    assert [each.url for each in shown.items] == ["/v1/videos/v/frames/0", "/v1/videos/v/frames/1"]
    assert shown.items[0].texts[0].text == "Good night"
    assert b"acme" not in msgspec.json.encode(shown)


def test_captions_are_shown_in_seconds() -> None:
    caption = records.Caption(id="c", start_frame=10, end_frame=35, text="a", confidence=0.5)
    record = records.Captions(
        video_id="v", origin="engine", updated_at=1, version=2, captions=(caption,)
    )
    shown = views.captions("v", record).items[0]
    assert (shown.start, shown.end, shown.state) == (1.0, 3.6, "predicted")


def test_a_video_without_captions_shows_none() -> None:
    assert views.captions("v", None) == schemas.Captions(video="v", origin="", items=())


@pytest.mark.parametrize(
    ("state", "since"), [("present", None), ("missing", "1970-01-01T00:00:05")]
)
def test_a_video_in_a_library_says_where_it_is_and_since_when_it_is_not(
    state: FileState, since: str | None
) -> None:
    file = LibraryFile(
        id="f",
        library="l",
        video_id="v",
        job_id="j",
        path="autumn/a.mp4",
        look=Look(size=7, mtime_ns=1),
        state=state,
        created_at=1,
        updated_at=1,
        version=1,
        missing_since=5_000,
    )
    shown = views.video(VIDEO, None, None, file).library
    assert shown
    assert (shown.id, shown.path) == ("l", "autumn/a.mp4")
    assert (shown.missing_since or "")[:19] == (since or "")
    assert views.video(VIDEO, None, None).library is None
