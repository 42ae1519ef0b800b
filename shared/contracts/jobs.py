"""Messages owned by the jobs service, which keeps the ledger of work."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from shared.contracts.base import Command, Event, Query

Outcome = Literal["succeeded", "failed", "cancelled", "expired"]


class BoostLaw(msgspec.Struct, frozen=True, kw_only=True):
    """How waiting raises priority: ``rate`` for each whole ``step_seconds``, at most ``cap``. A
    rate of 0 switches it off.
    """

    rate: int = 1
    step_seconds: int = 3600
    cap: int = 20


class SubmitJob(Command, frozen=True, kw_only=True, tag="jobs.submit.v1"):
    """Put one job into the ledger; the same ``job_id`` again changes nothing.

    ``subject`` is the video the job is about. ``base`` overrides the base priority of the
    tenant's tier (0 to 90), ``boost`` how it ages. The job is not begun before ``due_at`` nor after
    ``expires_at`` (milliseconds since the epoch; 0: no such time).
    """

    job_id: str
    flow: str
    subject: str
    params: dict[str, Any] = {}
    base: int | None = None
    boost: BoostLaw | None = None
    due_at: int = 0
    expires_at: int = 0


class JobStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a job is after a request to change it; ``step`` is what it does next, where that was
    asked for.
    """

    job_id: str
    state: str
    step: str = ""


class CancelJob(Query[JobStatus], frozen=True, kw_only=True, tag="jobs.cancel.v1"):
    """Stop a job wherever it is. A job that has ended answers ``conflict``."""

    job_id: str
    reason: str = ""


class RetryJob(Query[JobStatus], frozen=True, kw_only=True, tag="jobs.retry.v1"):
    """Open a new epoch of a job that has ended: from the step that did not end, or from ``step``,
    whose result and all later ones are made anew. The answer names the step it begins with, which
    is an earlier one when what it needs is no longer kept.
    """

    job_id: str
    step: str = ""


class PauseJob(Query[JobStatus], frozen=True, kw_only=True, tag="jobs.pause.v1"):
    """Let a job rest; a running one is ``pausing`` until its worker has let it go."""

    job_id: str


class ResumeJob(Query[JobStatus], frozen=True, kw_only=True, tag="jobs.resume.v1"):
    """Let a paused job go on where it was."""

    job_id: str


class PrioritizeJob(Query[JobStatus], frozen=True, kw_only=True, tag="jobs.prioritize.v1"):
    """Change the law of priority of a job that has not ended; what it has waited is kept."""

    job_id: str
    base: int | None = None
    boost: BoostLaw | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A job's priority and why it waits. Times are milliseconds since the epoch.

    ``ahead`` is how many in line are before it (at least so many, if ``ahead_is_least``).
    ``reason`` is a stable word, ``waits_for`` a sentence. ``estimated_wait_ms`` is None where
    nothing is known.
    """

    job_id: str
    state: str
    tier: str
    base: int
    boost: int
    effective: int
    law: BoostLaw
    waiting_since: int
    next_boost_at: int | None
    pool: str
    reason: str
    waits_for: str
    ahead: int
    ahead_is_least: bool = False
    estimated_wait_ms: int | None = None


class ExplainJob(Query[Explanation], frozen=True, kw_only=True, tag="jobs.explain.v1"):
    """Why a job is where it is in its line."""

    job_id: str


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """Whether more work of a tenant is taken on, and when to ask again if not."""

    admitted: bool
    queued: int
    most: int
    reason: str = ""
    retry_after: int = 0


class AdmitJob(Query[Admission], frozen=True, kw_only=True, tag="jobs.admit.v1"):
    """Keep a place for a job that is about to be submitted (for an hour), or give it back when it
    will not be submitted after all.
    """

    job_id: str
    flow: str
    give_back: bool = False


class DeadFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which failed jobs; what is empty does not matter. ``before`` and ``after`` are about when
    they ended, in milliseconds.
    """

    ids: tuple[str, ...] = ()
    flow: str = ""
    step: str = ""
    code: str = ""
    error_class: str = ""
    subject: str = ""
    after: int = 0
    before: int = 0


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one job: ``retried``, ``discarded``, ``matched`` (dry run), ``missing``, or
    ``refused`` with the reason.
    """

    job_id: str
    outcome: str
    detail: str = ""


class DeskReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was done with failed jobs: how many matched, what became of each, and whether there may
    be more, found with ``cursor`` from ``next``.
    """

    matched: int
    items: tuple[Settled, ...]
    more: bool = False
    next: str = ""


class ClearDead(Query[DeskReport], frozen=True, kw_only=True, tag="jobs.clear_dead.v1"):
    """Retry or discard failed jobs in bulk, newest first, or only say which (``dry_run``). At most
    ``limit`` are settled and a bounded number is looked at, from before the id ``cursor`` on.
    """

    action: Literal["retry", "discard"]
    which: DeadFilter = DeadFilter()
    dry_run: bool = False
    limit: int = 100
    cursor: str = ""


class PoolStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A pool of workers. ``limit`` is how many jobs may run in it at a time (0: as many as there
    are slots), ``waiting`` how many are in line, ``oldest_wait_ms`` the longest wait among them.
    """

    pool: str
    paused: bool
    limit: int
    running: int
    waiting: int
    oldest_wait_ms: int
    average_ms: int
    workers: tuple[str, ...]


class PoolList(msgspec.Struct, frozen=True, kw_only=True):
    """Every pool."""

    items: tuple[PoolStatus, ...]


class ListPools(Query[PoolList], frozen=True, kw_only=True, tag="jobs.list_pools.v1"):
    """What all pools are doing."""


class GovernPool(Query[PoolStatus], frozen=True, kw_only=True, tag="jobs.govern_pool.v1"):
    """Change a pool while it works: its limit, or whether it takes jobs. What is None stays."""

    pool: str
    limit: int | None = None
    paused: bool | None = None


class TenantRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant may have running and waiting, and whether it is paused."""

    paused: bool
    running_limit: int
    queued: int
    queued_limit: int


class GovernTenant(Query[TenantRules], frozen=True, kw_only=True, tag="jobs.govern_tenant.v1"):
    """Pause or resume all waiting work of the tenant of the envelope; None only asks."""

    paused: bool | None = None


class StopJob(Command, frozen=True, kw_only=True, tag="jobs.stop.v1"):
    """Stop a job if it still runs; one that has ended, or never was, is fine as it is."""

    job_id: str
    reason: str = ""


class JobChange(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a job's events, on its way to whoever watches.

    ``seq`` counts without gaps within a job; ``type`` is ``state``, ``progress`` or ``end``.
    ``was`` is the state before, ``pool`` where the job is, ``is_lost`` says that its worker died.
    """

    tenant: str
    job_id: str
    epoch: int
    seq: int
    type: str
    data: dict[str, Any]
    flow: str = ""
    subject: str = ""
    pool: str = ""
    was: str = ""
    is_lost: bool = False


class JobsChanged(Event, frozen=True, kw_only=True, tag="jobs.changed.v2"):
    """What happened to jobs since the last such message, in order; jobs of all tenants."""

    changes: tuple[JobChange, ...]


class JobFinished(Event, frozen=True, kw_only=True, tag="jobs.finished.v1"):
    """A job reached a terminal state; its record says the rest."""

    job_id: str
    flow: str
    subject: str
    outcome: Outcome
    error_class: str = ""
    error_code: str = ""


class JobControl(Event, frozen=True, kw_only=True, tag="jobs.control.v1"):
    """Tells the worker that runs a job to look at it now, instead of at its next heartbeat."""

    job_id: str


class Ring(Event, frozen=True, kw_only=True, tag="work.ring.v1"):
    """An empty ticket: something may be ready in this pool. Losing or doubling it is harmless."""

    pool: str = ""


class JobDiscarded(Event, frozen=True, kw_only=True, tag="jobs.discarded.v1"):
    """A failed job was given up, or what was known of a job was removed: what it kept may go.
    ``upload_id`` is the upload that it was to take in, if it was.
    """

    job_id: str
    upload_id: str = ""
