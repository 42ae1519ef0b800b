"""What the HTTP interface takes and gives about recurring jobs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Overlap = Literal["skip", "allow"]
ScheduleName = Annotated[
    str, msgspec.Meta(pattern="^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$", description="Its name")
]
Text = Annotated[str, msgspec.Meta(max_length=200)]


class ScheduleBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recurring job: `flow` on `video`, each `every` seconds or by a `cron` expression of five
    fields in `timezone` (one of the two). `overlap` says what happens at a time when the job before
    has not ended: `skip` passes it over, `allow` makes another job all the same.
    """

    flow: Text
    video: Text
    every: Annotated[int, msgspec.Meta(ge=60, le=366 * 24 * 3600)] | None = None
    cron: Text | None = None
    timezone: Text = "UTC"
    overlap: Overlap = "skip"
    enabled: bool = True
    params: dict[str, Any] = {}


class ScheduleView(msgspec.Struct, frozen=True, kw_only=True):
    """A recurring job. `last_at` is the time it was last meant for, `last_outcome` is `fired` or
    why no job was made then (`overlap`, `queue_full`, `layout_not_approved`, …). After
    `subject_gone` it is no longer `enabled`: its video was deleted.
    """

    name: str
    flow: str
    video: str
    every: int | None
    cron: str | None
    timezone: str
    overlap: Overlap
    enabled: bool
    params: dict[str, Any]
    next_at: str | None
    last_at: str | None
    last_outcome: str | None
    last_job: str | None
    fired: int
    skipped: int
    created_at: str
    updated_at: str


class SchedulesView(msgspec.Struct, frozen=True, kw_only=True):
    """All recurring jobs of a tenant, by name."""

    items: tuple[ScheduleView, ...]
