"""Asking whether more work is taken on, before a byte of it is read."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from services.gateway.asking import ask
from shared.contracts.jobs import Admission, AdmitJob
from shared.errors import TooMany, Unavailable
from shared.telemetry.names import Action

FLOW = "process_video"
_SECONDS = 2.0
_log = logging.getLogger(__name__)


@asynccontextmanager
async def place_in_line(request: web.Request, job_id: str) -> AsyncIterator[None]:
    """Keep a place for a job; it is given back if the job does not come about after all.

    :class:`TooMany` when the tenant has enough waiting, or would wait too long. While the jobs
    service cannot be asked, uploads are taken: its limits protect, they are not a promise.
    """
    is_kept = await _admitted(request, job_id)
    try:
        yield
    except BaseException:
        if is_kept:
            with suppress(Unavailable):  # then the place is free in an hour
                await ask(request, AdmitJob(job_id=job_id, flow=FLOW, give_back=True))
        raise


async def _admitted(request: web.Request, job_id: str) -> bool:
    """Whether a place is kept; False when nobody could say."""
    try:
        answer = await ask(request, AdmitJob(job_id=job_id, flow=FLOW), seconds=_SECONDS)
    except Unavailable as away:
        extra = {"action": Action.ADMISSION_UNKNOWN}
        _log.warning("an upload is taken without asking: %s", away.detail, extra=extra)
        return False
    if not answer.admitted:
        raise refusal(answer)
    return True


def refusal(answer: Admission) -> TooMany:
    """Why nothing more is taken on, in figures, and when to come again."""
    wait = f"try again in {answer.retry_after} s"
    if answer.reason == "queue_full":
        return TooMany(
            answer.retry_after,
            f"{answer.queued} jobs of this tenant wait, and {answer.most} may",
            code="queue_full",
            hint=f"{wait}, when some of them have begun",
        )
    return TooMany(
        answer.retry_after,
        f"the work would wait for more than a day ({answer.queued} jobs of this tenant wait)",
        code="backlog",
        hint=wait,
    )
