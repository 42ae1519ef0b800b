"""What the HTTP interface takes and gives. Times are RFC 3339 UTC, positions are seconds."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from services.gateway.library_schemas import InLibrary
from shared.contracts.records import Box, Tier

Stage = Literal["wait", "processing", "annotate", "done", "error"]
StepState = Literal["waiting", "running", "done", "failed"]
Limit = Annotated[int, msgspec.Meta(ge=1, le=200, description="At most so many entries")]
_ID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
Cursor = Annotated[
    str, msgspec.Meta(pattern=f"^({_ID})?$", description="`next` of the page before")
]
IdempotencyKey = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=255,
        pattern="^[!-~]([ -~]*[!-~])?$",
        description="Names this request for 24 hours, so that repeating it has no second effect: a "
        "repetition is answered as the first was, with `Idempotency-Replayed: true`. Choose a new "
        "one, such as a UUID, for each new request.",
    ),
]
Id = Annotated[str, msgspec.Meta(pattern=f"^{_ID}$")]
MaybeId = Annotated[str, msgspec.Meta(pattern=f"^({_ID})?$")]
FlowName = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,63}$")]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why something did not work: a stable code, its class, and what can be done. `tail` is the
    last that the step's process wrote, where one job is shown.
    """

    code: str
    error_class: str
    detail: str
    hint: str = ""
    step: str = ""
    tail: tuple[str, ...] = ()


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a job."""

    name: str
    state: StepState
    started_at: str | None = None
    finished_at: str | None = None


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """What a job is sorted by; `priority` is the effective one, as text."""

    tenant: str
    tier: Tier
    priority: str
    age_boosting: Literal["on", "off"] = msgspec.field(name="age-boosting")


class Priority(msgspec.Struct, frozen=True, kw_only=True):
    """How urgent a job is: `effective` is `base` and what waiting has added. Waiting counts from
    the first time in line until the end, also while it runs, so that it comes back to its old
    place; it does not while the job is paused or not yet due.
    """

    base: int
    effective: int
    boost: int


class PartCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the parts that a job was split into; `waiting` have not ended."""

    total: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int
    waiting: int


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job. `progress` goes from 0 to 1 over all its steps; `attempt` counts failures, `lost`
    workers that died, `interrupts` restarts, `snoozes` waits for something outside. `worker` has it
    now; `pausing` says that it is to rest and has not stopped yet. `due_at` is when it is begun or
    tried again, if it waits for a time. `labels` and `priority` are there once it is in line,
    moments after the upload. A scan is about a `library`, and no video.
    """

    id: str
    flow: str
    state: str
    video: str
    progress: float
    step: str
    message: str
    steps: tuple[Step, ...]
    attempt: int
    lost: int
    interrupts: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    error: Failure | None
    events_url: str
    snoozes: int = 0
    labels: Labels | None = None
    priority: Priority | None = None
    worker: str | None = None
    pausing: bool = False
    due_at: str | None = None
    expires_at: str | None = None
    parent: str | None = None
    parts: PartCounts | None = None
    library: str | None = None


class Jobs(msgspec.Struct, frozen=True, kw_only=True):
    """A page of jobs, newest first."""

    items: tuple[Job, ...]
    next: str | None = None


class JobState(msgspec.Struct, frozen=True, kw_only=True):
    """What a job is after a request to change it; `step` is what it begins with, if it was retried.
    `pausing` stands for a running job that is to rest.
    """

    id: str
    state: str
    step: str | None = None


class Stages(msgspec.Struct, frozen=True, kw_only=True):
    """How far a video is: being taken in and looked at, where its captions stand, its captions."""

    process: Stage
    layout: Stage
    captions: Stage


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the file; seconds, and pixels in display orientation."""

    duration: float
    width: int
    height: int
    fps: float
    codec: str
    container: str
    rotation: int
    has_audio: bool
    damaged: bool


class VideoJobs(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs of a video: taking it in, and reading its captions once its layout is approved."""

    process: str
    captions: str | None = None


class Video(msgspec.Struct, frozen=True, kw_only=True):
    """A video. `status` is the worst of its stages. `library` is there for a file that is indexed
    in place. `version` grows with each change of its record.
    """

    id: str
    name: str
    size: int
    status: Stage
    stages: Stages
    jobs: VideoJobs
    created_at: str
    media_type: str | None = None
    sha256: str | None = None
    media: Media | None = None
    captions: int | None = None
    layout: Literal["none", "proposed", "approved"] | None = None
    error: Failure | None = None
    stream_url: str | None = None
    thumbnail_url: str | None = None
    library: InLibrary | None = None
    version: int = 0


class Videos(msgspec.Struct, frozen=True, kw_only=True):
    """A page of videos, newest first."""

    items: tuple[Video, ...]
    next: str | None = None


class Uploaded(msgspec.Struct, frozen=True, kw_only=True):
    """What an upload has become."""

    video: Video
    job: Job


class FrameText(msgspec.Struct, frozen=True, kw_only=True):
    """Text seen in a frame; its box as x0, y0, x1, y1 from 0 to 1."""

    box: Box
    text: str
    confidence: float


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """A sampled frame."""

    index: int
    time: float
    url: str
    texts: tuple[FrameText, ...]


class Frames(msgspec.Struct, frozen=True, kw_only=True):
    """The sampled frames of a video."""

    items: tuple[Frame, ...]


class Caption(msgspec.Struct, frozen=True, kw_only=True):
    """A caption and when it is on screen."""

    id: str
    start: float
    end: float
    text: str
    confidence: float
    state: str


class Captions(msgspec.Struct, frozen=True, kw_only=True):
    """The captions of a video in order of time."""

    video: str
    origin: str
    items: tuple[Caption, ...]


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A caption found. `snippet` is safe HTML; `stream_url` starts the video there."""

    video: str
    name: str
    start: float
    end: float
    text: str
    snippet: str
    stream_url: str


class Hits(msgspec.Struct, frozen=True, kw_only=True):
    """The captions that answer a search, best first."""

    total: int
    items: tuple[Hit, ...]
    next: str | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page of a list."""

    limit: Limit = 50
    cursor: Cursor = ""


class Search(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to look for: every word, and every "phrase in quotes", must be in the caption."""

    q: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    limit: Annotated[int, msgspec.Meta(ge=1, le=50, description="At most so many hits")] = 20
    cursor: Annotated[
        str,
        msgspec.Meta(pattern="^([0-9]{1,4}|10000)?$", description="`next` of the page before"),
    ] = ""


class UploadName(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the video is called."""

    name: Annotated[str, msgspec.Meta(description="File name; a form may give it itself")] = ""
