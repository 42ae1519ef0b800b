"""Jobs as the HTTP interface shows them. Pure."""

from __future__ import annotations

import msgspec

from services.gateway import schemas
from shared.clock import rfc3339
from shared.contracts import records
from shared.work.priority import Boost, effective_priority

SCAN = "scan_library"
"""The flow whose subject is a library."""

_NOT_YET_IN_LINE = frozenset({"accepted", "scheduled"})
_WAITS_FOR_A_TIME = frozenset({"scheduled", "retrying"})


def job(record: records.Job, now: int) -> schemas.Job:
    """A job of the ledger, as it is at ``now``."""
    return schemas.Job(
        id=record.id,
        flow=record.flow,
        state=record.state,
        video="" if record.flow == SCAN else record.subject,
        progress=record.progress,
        step=record.step,
        message=record.message,
        steps=tuple(_step(step, record) for step in record.steps),
        attempt=record.attempt,
        lost=record.lost,
        interrupts=record.interrupts,
        snoozes=record.snoozes,
        created_at=rfc3339(record.created_at),
        started_at=time(record.started_at),
        finished_at=time(record.finished_at),
        due_at=time(record.due_at) if record.state in _WAITS_FOR_A_TIME else None,
        expires_at=time(record.expires_at),
        error=failure(record, with_tail=True),
        events_url=_events_url(record.id),
        labels=labels(record, now),
        priority=priority(record, now),
        worker=record.worker or None,
        pausing=record.pause_requested,
        parent=parent(record) or None,
        parts=parts(record),
        library=record.subject if record.flow == SCAN else None,
    )


def listed(record: records.Job, now: int) -> schemas.Job:
    """The same for a list, without the tail of its failure, which may be long."""
    return msgspec.structs.replace(job(record, now), error=failure(record))


def accepted_job(accepted: records.Accepted) -> schemas.Job:
    """A job that the ledger has not written down yet."""
    return schemas.Job(
        id=accepted.job_id,
        flow="process_video",
        state="accepted",
        video=accepted.video_id,
        progress=0.0,
        step="",
        message="",
        steps=(),
        attempt=0,
        lost=0,
        interrupts=0,
        created_at=rfc3339(accepted.accepted_at),
        started_at=None,
        finished_at=None,
        error=None,
        events_url=_events_url(accepted.job_id),
    )


def labels(record: records.Job, now: int) -> schemas.Labels:
    """What the job is sorted by."""
    return schemas.Labels(
        tenant=record.tenant,
        tier=record.tier,
        priority=str(priority(record, now).effective),
        age_boosting="on" if Boost.parse(record.boost).is_on else "off",
    )


def priority(record: records.Job, now: int) -> schemas.Priority:
    """How urgent the job is."""
    until = _waited_until(record, now)
    law = Boost.parse(record.boost)
    effective = effective_priority(record.base, record.waiting_since, until, law)
    return schemas.Priority(
        base=record.base, effective=effective, boost=max(0, effective - record.base)
    )


def _waited_until(record: records.Job, now: int) -> int:
    """Until when waiting counts. It goes on while a job runs, as the ledger gives it back its place
    in line whenever an attempt hands it on.
    """
    if record.state in _NOT_YET_IN_LINE:
        return record.waiting_since
    if record.state == "paused":
        return record.paused_at
    return record.finished_at or now


def parent(record: records.Job) -> str:
    """The id of the job it is a part of; the record has its key."""
    return record.parent.rpartition(":")[2]


def parts(record: records.Job) -> schemas.PartCounts | None:
    """What became of the job's parts, if it has any."""
    if not record.parts:
        return None
    ended = (
        record.parts_succeeded + record.parts_failed + record.parts_cancelled + record.parts_expired
    )
    return schemas.PartCounts(
        total=record.parts,
        succeeded=record.parts_succeeded,
        failed=record.parts_failed,
        cancelled=record.parts_cancelled,
        expired=record.parts_expired,
        waiting=max(0, record.parts - ended),
    )


def failure(record: records.Job, *, with_tail: bool = False) -> schemas.Failure | None:
    """Why the job did not come to a good end, or the last attempt at it."""
    error = record.error
    if error is None and record.state == "cancelled":
        return schemas.Failure(
            code="cancelled",
            error_class="cancelled",
            detail=record.cancel_reason or "the job was cancelled",
            hint="retry the job to go on where it stopped",
            step=record.step,
        )
    if error is None:
        return None
    return schemas.Failure(
        code=error.code,
        error_class=error.error_class,
        detail=error.detail,
        hint=error.hint,
        step=error.step,
        tail=error.tail if with_tail else (),
    )


def time(milliseconds: int) -> str | None:
    """A time, where 0 stands for none."""
    return rfc3339(milliseconds) if milliseconds else None


def _step(step: records.StepStatus, job: records.Job) -> schemas.Step:
    return schemas.Step(
        name=step.name,
        state=_step_state(step, job),
        started_at=time(step.started_at),
        finished_at=time(step.finished_at),
    )


def _step_state(step: records.StepStatus, job: records.Job) -> schemas.StepState:
    """A step that was begun waits again while no worker has the job, or was its end."""
    if step.state == "done":
        return "done"
    if job.state == "failed" and job.error and job.error.step == step.name:
        return "failed"
    return "running" if step.state == "running" and job.worker else "waiting"


def _events_url(job_id: str) -> str:
    return f"/v1/jobs/{job_id}/events"
