"""Failed jobs in groups, so that one cause is seen once."""

from __future__ import annotations

from collections.abc import Iterable

from services.gateway.desk_schemas import DeadGroup, DeadSummary
from shared.clock import rfc3339
from shared.contracts.records import Job
from shared.store.scan import Read, scan

COUNTED = 2_000
"""How many are looked at."""


async def summary(read: Read[Job], most: int = COUNTED) -> DeadSummary:
    """The newest failed jobs by flow, step and code."""
    found = await scan(read, "", most, most=most)
    return DeadSummary(
        counted=len(found.items), complete=found.next is None, items=groups(found.items)
    )


def groups(jobs: Iterable[Job]) -> tuple[DeadGroup, ...]:
    """Jobs, newest first, by what is wrong with them; the largest group first."""
    together: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        together.setdefault(_cause(job), []).append(job)
    ordered = sorted(together.items(), key=lambda entry: -len(entry[1]))
    return tuple(_group(cause, members) for cause, members in ordered)


def _cause(job: Job) -> tuple[str, str, str, str]:
    error = job.error
    if error is None:
        return job.flow, job.step, "", ""
    return job.flow, error.step, error.code, error.error_class


def _group(cause: tuple[str, ...], jobs: list[Job]) -> DeadGroup:
    flow, step, code, error_class = cause
    newest = max(jobs, key=lambda job: job.finished_at)
    return DeadGroup(
        flow=flow,
        step=step,
        code=code,
        error_class=error_class,
        count=len(jobs),
        newest=newest.id,
        newest_at=rfc3339(newest.finished_at),
    )
