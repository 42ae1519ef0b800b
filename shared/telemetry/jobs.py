"""What is told about jobs: log lines, spans and metrics of the work of one pool, and the count of
every transition of the ledger.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from shared.clock import Clock
from shared.contracts.jobs import JobChange
from shared.contracts.records import Job, JobError
from shared.telemetry.logs import bind
from shared.telemetry.metrics import Metrics
from shared.telemetry.names import Action, SpanName
from shared.telemetry.traces import Tracer, carried_trace

_log = logging.getLogger(__name__)


class Claimed(Protocol):
    """What is needed of a claim."""

    @property
    def job(self) -> Job:
        """The job as it was claimed."""
        ...

    @property
    def correlation(self) -> str:
        """The request that it goes back to."""
        ...

    @property
    def trace(self) -> str:
        """The trace context of whoever submitted it, as text."""
        ...


class Ending(Protocol):
    """What is needed of the end of an attempt."""

    @property
    def state(self) -> str:
        """What the ledger answered, or ``lost``."""
        ...

    @property
    def step(self) -> str:
        """The step it was at."""
        ...

    @property
    def error(self) -> JobError | None:
        """What went wrong, as it is kept on the job."""
        ...

    @property
    def retry_in(self) -> float | None:
        """In how many seconds it is tried again."""
        ...

    @property
    def cause(self) -> BaseException | None:
        """The exception behind a defect of ours."""
        ...


_ENDINGS: dict[str, tuple[int, Action, str]] = {
    "succeeded": (logging.INFO, Action.JOB_FINISHED, "succeeded"),
    "failed": (logging.WARNING, Action.JOB_FAILED, "failed"),
    "retrying": (logging.WARNING, Action.JOB_RETRIED, "is tried again"),
    "cancelled": (logging.INFO, Action.JOB_CANCELLED, "was cancelled"),
    "ready": (logging.INFO, Action.JOB_RETURNED, "was given back"),
    "handed": (logging.DEBUG, Action.JOB_HANDED, "waits for another pool"),
    "lost": (logging.WARNING, Action.JOB_LOST, "belongs to another attempt now"),
}


@dataclass(frozen=True)
class PoolTelemetry:
    """Tells of the work of one pool. Its methods fit the hooks of :mod:`shared.work`."""

    metrics: Metrics
    tracer: Tracer
    pool: str
    clock: Clock

    def claimed(self, seconds: float, claim: Claimed | None) -> None:
        """A claim was answered after so many seconds."""
        outcome = "found" if claim else "empty"
        self.metrics.claim_duration.record(seconds, {"pool": self.pool, "outcome": outcome})
        waited = waited_ms(claim.job) if claim else None
        if waited is not None:
            self.metrics.job_wait.record(waited / 1000, {"pool": self.pool})

    @contextmanager
    def attempt(self, claim: Claimed) -> Iterator[None]:
        """An attempt at a job: logs and spans inside say which job and whose request it is."""
        job = claim.job
        attributes = {"reelway.flow": job.flow, "reelway.pool": self.pool, "reelway.job": job.id}
        name = f"{SpanName.JOB} {job.flow}"
        with (
            bind(tenant=job.tenant, job_id=job.id, correlation_id=claim.correlation),
            self.tracer.span(name, "consumer", carried_trace(claim.trace), attributes),
        ):
            self._begin(job)
            yield

    @contextmanager
    def step(self, claim: Claimed, step: str) -> Iterator[None]:
        """One attempt at a step."""
        began, outcome = time.monotonic(), "failed"
        try:
            attributes = {"reelway.flow": claim.job.flow, "reelway.pool": self.pool}
            with self.tracer.span(f"{SpanName.STEP} {step}", attributes=attributes):
                yield
            outcome = "done"
        except asyncio.CancelledError:
            outcome = "stopped"
            raise
        finally:
            labels = {"step": step, "outcome": outcome}
            self.metrics.step_duration.record(time.monotonic() - began, labels)

    def looked(self, claim: Claimed, step: str, outcome: str) -> None:
        """An earlier result of a step was looked for."""
        self.metrics.result_lookups.add(1, {"step": step, "outcome": outcome})
        if outcome == "hit":
            extra = {"action": Action.RESULT_TAKEN, **_subject(claim.job), "step": step}
            _log.debug("the result of an earlier run is taken", extra=extra)

    def ended(self, claim: Claimed, ending: Ending) -> None:
        """An attempt is over, and this is what became of it."""
        other = logging.INFO, Action.JOB_HANDED, f"is {ending.state} now"
        level, action, words = _ENDINGS.get(ending.state, other)
        if ending.cause is not None:
            level = logging.ERROR
        job, error = claim.job, ending.error
        facts = {"step": ending.step, **_seconds(self.clock() - job.started_at)}
        if error is not None:
            facts |= {"attempt": str(job.attempt + 1), "code": error.code}
            words += f": {error.detail}"
        if ending.retry_in is not None:
            facts["retry_in"] = f"{ending.retry_in:.1f}"
        extra = {"action": action, **_subject(job), **facts}
        _log.log(level, "job %s", words, exc_info=ending.cause, extra=extra)

    def _begin(self, job: Job) -> None:
        first, again = is_first(job), waited_ms(job) is None
        level = logging.INFO if first or again else logging.DEBUG
        action = Action.JOB_STARTED if first else Action.JOB_RESUMED
        extra = {"action": action, **_subject(job), "step": job.step}
        _log.log(level, "job %s", "started" if first else "goes on", extra=extra)


def _subject(job: Job) -> dict[str, str]:
    return {"flow": job.flow, "video": job.subject}


def _seconds(milliseconds: int) -> dict[str, str]:
    return {"seconds": f"{max(0, milliseconds) / 1000:.1f}"}


def waited_ms(job: Job) -> int | None:
    """How long a job that was claimed just now had been ready; None when this is not the first
    attempt at its step. Every time here is the ledger's own.
    """
    step = next((each for each in job.steps if each.name == job.step), None)
    if step is None or step.started_at != job.updated_at:
        return None
    done = (each.finished_at for each in job.steps if each.state == "done")
    return max(0, step.started_at - max(job.waiting_since, *done, 0))


def is_first(job: Job) -> bool:
    """Whether nothing has been done about this job since it was submitted, or retried by hand."""
    done = (each.finished_at for each in job.steps if each.state == "done")
    return waited_ms(job) is not None and max(0, *done, 0) <= job.waiting_since


def count_change(metrics: Metrics, change: JobChange) -> None:
    """Count the transition that an event of the ledger tells of, if it does."""
    state = str(change.data.get("state", ""))
    if state != change.was:
        metrics.job_transitions.add(1, {"flow": change.flow, "state": state})
    if change.is_lost:
        metrics.leases_lost.add(1, {"pool": change.pool})
