"""Published record types: what a service writes under a key and others may read by that key.

Only the owner writes. A record evolves by optional fields. Times are milliseconds since the epoch,
times inside a video are seconds, boxes are ``(x0, y0, x1, y1)`` from 0 to 1 in display orientation.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Tier = Literal["free", "premium", "enterprise"]
JobState = Literal[
    "accepted",
    "scheduled",
    "ready",
    "running",
    "blocked",
    "retrying",
    "paused",
    "cancelling",
    "succeeded",
    "failed",
    "cancelled",
    "expired",
]
Box = tuple[float, float, float, float]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Anything kept under a key of its own."""


class Tenant(Record, frozen=True, kw_only=True):
    """Who owns videos (owner: gateway). ``auto_approve`` lets a sure layout pass without a
    person; files have ``max_bytes`` in all, or any number (0).
    """

    id: str
    tier: Tier
    created_at: int
    auto_approve: bool = True
    max_bytes: int = 0


class Accepted(Record, frozen=True, kw_only=True):
    """What the gateway answered 202 for; stands in until the owners have written their records
    (owner: gateway; expires by itself).
    """

    video_id: str
    job_id: str
    name: str
    size: int
    accepted_at: int


class File(Record, frozen=True, kw_only=True):
    """A file in its place (owner: drive). ``location`` is its blob key."""

    id: str
    video_id: str
    name: str
    size: int
    sha256: str
    media_type: str
    location: str
    created_at: int


class StepStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step: ``waiting``, ``running`` or ``done``. ``needs``: see ``shared.work.resources``."""

    name: str
    pool: str
    weight: float = 1.0
    needs: str = ""
    state: str = "waiting"
    started_at: int = 0
    finished_at: int = 0


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A file a step made: its name, blob key, size in bytes and SHA-256 in hex."""

    name: str
    key: str
    size: int
    sha256: str


class StepOutput(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished step left behind. ``key`` names what it follows from (empty where nobody
    says), ``taken_from`` the job that made it, if it was there already.
    """

    result: dict[str, Any] = {}
    artifacts: tuple[Artifact, ...] = ()
    key: str = ""
    taken_from: str = ""


class JobError(msgspec.Struct, frozen=True, kw_only=True):
    """Why an attempt ended badly. ``tail`` is the last that the step's process wrote."""

    code: str
    error_class: str
    detail: str
    hint: str = ""
    step: str = ""
    tail: tuple[str, ...] = ()


class Job(Record, frozen=True, kw_only=True):
    """One job of the ledger (owner: jobs).

    ``attempt`` counts business failures, ``lost`` dead workers, ``interrupts`` deploys, ``snoozes``
    waits for something else. ``seq`` is the number of the latest event of epoch ``epoch``, which
    was opened at ``opened_at``. ``base`` and ``boost`` (``rate/step_seconds/cap``) are its law of
    priority. No two jobs of a tenant with the same ``lock`` run at a time. ``parent`` is the key of
    the job it is a part of; ``parts`` and the counts beside it are about its own parts. While a
    worker holds it, ``step_at`` is when that began the present step and ``waited_ms`` how long the
    job was in line before.
    """

    id: str
    tenant: str
    flow: str
    subject: str
    pool: str
    state: JobState
    base: int
    waiting_since: int
    created_at: int
    updated_at: int
    params: dict[str, Any] = {}
    steps: tuple[StepStatus, ...] = ()
    outputs: dict[str, StepOutput] = {}
    step: str = ""
    progress: float = 0.0
    message: str = ""
    attempt: int = 0
    lost: int = 0
    interrupts: int = 0
    snoozes: int = 0
    fence: int = 0
    epoch: int = 1
    seq: int = 0
    started_at: int = 0
    finished_at: int = 0
    due_at: int = 0
    worker: str = ""
    cancel_reason: str = ""
    error: JobError | None = None
    tier: Tier = "free"
    boost: str = "1/3600/20"
    lock: str = ""
    needs: str = ""
    opened_at: int = 0
    ready_at: int = 0
    expires_at: int = 0
    paused_at: int = 0
    pause_requested: bool = False
    discarded_at: int = 0
    forced: str = ""
    parent: str = ""
    parts: int = 0
    parts_succeeded: int = 0
    parts_failed: int = 0
    parts_cancelled: int = 0
    parts_expired: int = 0
    step_at: int = 0
    waited_ms: int = 0


class MediaFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What probing found; seconds and pixels in display orientation."""

    duration: float
    width: int
    height: int
    fps: float = 0.0
    codec: str = ""
    container: str = ""
    rotation: int = 0
    has_audio: bool = False
    damaged: bool = False


class Sprite(msgspec.Struct, frozen=True, kw_only=True):
    """A sheet of preview pictures, one every ``interval`` seconds, row by row."""

    key: str
    columns: int
    rows: int
    tile_width: int
    tile_height: int
    interval: float


class TextBox(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of text seen in a picture."""

    box: Box
    text: str
    confidence: float


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """A sampled picture of a video."""

    time: float
    key: str
    boxes: tuple[TextBox, ...] = ()


class Layout(Record, frozen=True, kw_only=True):
    """Where a video's captions stand (owner: catalog). ``proposal`` is what the layout step found;
    ``state`` is ``none`` (no captions), ``proposed`` or ``approved``.
    """

    video_id: str
    state: Literal["none", "proposed", "approved"]
    proposal: dict[str, Any]
    updated_at: int
    approved_by: str = ""


class Video(Record, frozen=True, kw_only=True):
    """What is known of a video (owner: catalog). Its stages follow from its jobs. ``described``
    is the epoch of its process job that described it last. One in the trash says when it goes.
    """

    id: str
    name: str
    file_id: str
    location: str
    size: int
    sha256: str
    media_type: str
    created_at: int
    updated_at: int
    version: int
    process_job: str
    caption_job: str = ""
    layout: Literal["", "none", "proposed", "approved"] = ""
    captions: int | None = None
    media: MediaFacts | None = None
    poster: str = ""
    sprite: Sprite | None = None
    described: int = 0
    trashed_at: int = 0
    purge_at: int = 0


class Frames(Record, frozen=True, kw_only=True):
    """The sampled pictures of a video (owner: catalog)."""

    video_id: str
    frames: tuple[Frame, ...] = ()


class CaptionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a caption."""

    text: str
    confidence: float


class Caption(msgspec.Struct, frozen=True, kw_only=True):
    """A caption, from the first to the last tenth of a second on screen, both inclusive."""

    id: str
    start_frame: int
    end_frame: int
    text: str
    confidence: float
    lines: tuple[CaptionLine, ...] = ()
    state: Literal["predicted", "confirmed", "gap", "issue"] = "predicted"

    @property
    def start(self) -> float:
        """When it appears, in seconds."""
        return self.start_frame / 10

    @property
    def end(self) -> float:
        """When it is gone, in seconds."""
        return (self.end_frame + 1) / 10


class Captions(Record, frozen=True, kw_only=True):
    """The captions of a video in order of time (owner: catalog)."""

    video_id: str
    origin: str
    updated_at: int
    version: int
    captions: tuple[Caption, ...] = ()
