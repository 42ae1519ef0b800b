"""The work on one job as the HTTP interface shows it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from services.gateway.job_views import time
from services.gateway.work_schemas import AgeBoost, PriorityExplained, StepAttempt, Timeline
from shared.clock import rfc3339
from shared.contracts.jobs import Explanation
from shared.contracts.records import Job
from shared.work.jobs import Span


def timeline(job: Job, spans: Iterable[Span], now: int) -> Timeline:
    """What attempts made of a job's steps, and what is being done at ``now``."""
    items: list[StepAttempt] = []
    fence = 0
    for span in (*spans, *_present(job)):
        items.append(_attempt(span, now, is_first=span.fence != fence))
        fence = span.fence
    return Timeline(job=job.id, state=job.state, items=tuple(items))


def _present(job: Job) -> tuple[Span, ...]:
    """What a worker is at, as a span without an end."""
    if not job.worker:
        return ()
    span = Span(
        epoch=job.epoch,
        fence=job.fence,
        step=job.step,
        pool=job.pool,
        worker=job.worker,
        waited_ms=job.waited_ms,
        started_at=job.step_at,
        ended_at=0,
        outcome="running",
    )
    return (span,)


def _attempt(span: Span, now: int, *, is_first: bool) -> StepAttempt:
    """One line. The ledger notes the wait before an attempt with each of its steps."""
    ended = span.ended_at or now
    plain = {
        "epoch": span.epoch,
        "attempt": span.fence,
        "step": span.step,
        "pool": span.pool,
        "worker": span.worker,
        "started_at": rfc3339(span.started_at),
        "ended_at": time(span.ended_at),
        "duration_seconds": max(0, ended - span.started_at) / 1000,
        "waited_seconds": span.waited_ms / 1000 if is_first else 0.0,
        "outcome": span.outcome,
        "error": span.error or None,
        "bytes": span.bytes,
    }
    return msgspec.convert(plain, StepAttempt)


def explained(explanation: Explanation) -> PriorityExplained:
    """A job's priority and why it waits."""
    law, wait = explanation.law, explanation.estimated_wait_ms
    plain = {
        "job": explanation.job_id,
        "state": explanation.state,
        "tier": explanation.tier,
        "base": explanation.base,
        "boost": explanation.boost,
        "effective": explanation.effective,
        "age_boosting": law.rate > 0 and law.cap > 0,
        "law": AgeBoost(rate=law.rate, step_seconds=law.step_seconds, cap=law.cap),
        "waiting_since": rfc3339(explanation.waiting_since),
        "next_boost_at": time(explanation.next_boost_at or 0),
        "pool": explanation.pool,
        "reason": explanation.reason,
        "waits_for": explanation.waits_for,
        "ahead": explanation.ahead,
        "ahead_is_least": explanation.ahead_is_least,
        "estimated_wait_seconds": None if wait is None else wait / 1000,
    }
    return msgspec.convert(plain, PriorityExplained)
