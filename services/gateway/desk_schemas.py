"""What the desk for failed jobs takes and gives."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from services.gateway.schemas import Cursor, Id, MaybeId, Page

Moment = Annotated[datetime, msgspec.Meta(tz=True, description="A time as in RFC 3339")]
Word = Annotated[str, msgspec.Meta(max_length=100)]


class DeadPage(Page, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which failed jobs, and which page of them. `before` and `after` are about their end."""

    flow: Word = ""
    step: Word = ""
    code: Word = ""
    error_class: Word = ""
    video: MaybeId = ""
    before: Moment | None = None
    after: Moment | None = None


class Clearing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which failed jobs to see to. What is not given does not matter, but something must be, or
    `all`. With `dry_run` they are only named. `limit` is about those found, not about `ids`.
    """

    ids: Annotated[tuple[Id, ...], msgspec.Meta(max_length=500)] = ()
    flow: Word = ""
    step: Word = ""
    code: Word = ""
    error_class: Word = ""
    video: MaybeId = ""
    before: Moment | None = None
    after: Moment | None = None
    all: bool = False
    dry_run: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100
    cursor: Cursor = ""


class Cleared(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one job. `missing` are ids that are not on the desk or do not match, `refused`
    says why in `detail`.
    """

    id: str
    outcome: Literal["matched", "retried", "discarded", "refused", "missing"]
    detail: str = ""


class Clearance(msgspec.Struct, frozen=True, kw_only=True):
    """What was done, newest first. There may be more: ask again with `cursor` from `next`."""

    matched: int
    dry_run: bool
    items: tuple[Cleared, ...]
    next: str | None


class DeadGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Failed jobs with the same flow, step and code: how many, and the newest."""

    flow: str
    step: str
    code: str
    error_class: str
    count: int
    newest: str
    newest_at: str


class DeadSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Failed jobs in groups, the largest first. Unless `complete`, only the newest `counted` were
    looked at.
    """

    counted: int
    complete: bool
    items: tuple[DeadGroup, ...]
