"""Recurring jobs: what is kept of them, and the messages that change them (owner: jobs)."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from shared.contracts.base import Query
from shared.contracts.records import Record

Overlap = Literal["skip", "allow"]


class Schedule(Record, frozen=True, kw_only=True):
    """A job that is made again and again: each ``every`` seconds, or by a ``cron`` expression of
    five fields in a ``timezone``.

    ``overlap`` says what happens while the job before has not ended. ``next_at`` is 0 when it does
    not recur. ``last_at`` is the time it was last meant for, ``last_outcome`` is ``fired`` or why
    no job was made then; ``last_job`` is the last that was. Times are milliseconds.
    """

    tenant: str
    name: str
    flow: str
    subject: str
    params: dict[str, Any] = {}
    every: int = 0
    cron: str = ""
    timezone: str = "UTC"
    overlap: Overlap = "skip"
    enabled: bool = True
    next_at: int = 0
    last_at: int = 0
    last_outcome: str = ""
    last_job: str = ""
    fired: int = 0
    skipped: int = 0
    created_at: int = 0
    updated_at: int = 0


class PutSchedule(Query[Schedule], frozen=True, kw_only=True, tag="jobs.put_schedule.v1"):
    """Make a schedule, or change the one of that name. When nothing about its times is changed, its
    next time stays.
    """

    name: str
    flow: str
    subject: str
    params: dict[str, Any] = {}
    every: int = 0
    cron: str = ""
    timezone: str = "UTC"
    overlap: Overlap = "skip"
    enabled: bool = True


class ScheduleGone(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule that is no more; jobs it has made go on."""

    name: str


class DeleteSchedule(Query[ScheduleGone], frozen=True, kw_only=True, tag="jobs.delete_schedule.v1"):
    """Remove a schedule. One that is not there answers ``not_found``."""

    name: str
