"""What people do to jobs: stop them, let them rest, run them again."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from services.gateway import schemas
from services.gateway.asking import SECONDS, ask_about, job_id_of
from services.gateway.auth import tenant_of
from services.gateway.door import DOOR, Door
from services.gateway.lookup import find_accepted, find_job, missing_job
from services.gateway.work_schemas import Retried, Retry, VideoRetry
from shared.contracts.base import Query
from shared.contracts.jobs import CancelJob, JobStatus, PauseJob, ResumeJob, RetryJob
from shared.contracts.records import Job, Video
from shared.errors import Conflict, Invalid, NotFound, Unavailable
from shared.http.bodies import json_reply, read_json, read_json_or
from shared.http.context import Handler
from shared.http.routes import Route
from shared.ids import is_id
from shared.store.keys import video_key
from shared.tenancy import TenantId

JOB = "/v1/jobs/{job}"

_CANCEL_SECONDS = 1.0
"""How long the answer may take over the bus before the ledger is asked without it."""


async def cancel_job(request: web.Request) -> web.StreamResponse:
    """Stop a job wherever it is. A running one is `cancelling` until its worker has stopped."""
    query = CancelJob(job_id=job_id_of(request), reason="cancelled over HTTP")
    try:
        return await _changed(request, query, seconds=_CANCEL_SECONDS)
    except Unavailable:
        return await _cancelled_without_bus(request, query)


async def _cancelled_without_bus(request: web.Request, query: CancelJob) -> web.StreamResponse:
    """Stopping must not wait for the bus: the ledger's own script does it from any process, and the
    worker hears of it with its next heartbeat.
    """
    door, tenant = request.app[DOOR], tenant_of(request)
    try:
        state = await door.ledger.cancel(tenant, query.job_id, query.reason)
    except Conflict:
        job = await find_job(door, tenant, query.job_id)
        if job.state != "cancelled":
            raise
        state = job.state  # by the question whose answer was lost
    return json_reply(schemas.JobState(id=query.job_id, state=state), status=202)


async def pause_job(request: web.Request) -> web.StreamResponse:
    """Let a job rest until it is resumed. A running one is `pausing` until its worker has let it
    go. The time it rests does not raise its priority.
    """
    return await _changed(request, PauseJob(job_id=job_id_of(request)))


async def resume_job(request: web.Request) -> web.StreamResponse:
    """Let a paused job go on where it was, at the place in line that it had."""
    return await _changed(request, ResumeJob(job_id=job_id_of(request)))


async def retry_job(request: web.Request) -> web.StreamResponse:
    """Give a job that has ended another chance; finished steps are kept. With `step` that step and
    all later ones are done anew, also when the job had succeeded. The answer names the step it
    begins with, an earlier one when what `step` needs is no longer kept.
    """
    job_id = job_id_of(request)
    await find_job(request.app[DOOR], tenant_of(request), job_id)
    body = await read_json_or(request, Retry())
    return await _changed(request, RetryJob(job_id=job_id, step=body.step or ""))


async def retry_video(request: web.Request) -> web.StreamResponse:
    """Run a video's work again from a step, in whichever of its jobs has that step. The job must
    have ended.
    """
    door, tenant = request.app[DOOR], tenant_of(request)
    video_id = request.match_info["video"]
    jobs = await _jobs_of(door, tenant, video_id)
    body = await read_json(request, VideoRetry)
    job = _with_step(jobs, body)
    status = await ask_about(request, job.id, RetryJob(job_id=job.id, step=body.step))
    reply = Retried(video=video_id, job=status.job_id, state=status.state, step=status.step)
    return json_reply(reply, status=202)


async def _jobs_of(door: Door, tenant: TenantId, video_id: str) -> list[Job]:
    """The jobs of a video, the first one first; :class:`NotFound` when there is no such video."""
    video = await door.records.get(Video, video_key(tenant, video_id)) if is_id(video_id) else None
    if video is None:
        accepted = await find_accepted(door, tenant, video_id)
        if accepted.video_id != video_id:
            raise NotFound("there is no such video")
        ids = [accepted.job_id]
    else:
        ids = [job_id for job_id in (video.process_job, video.caption_job) if job_id]
    jobs = [job for job in await door.jobs.get_many(tenant, ids) if job is not None]
    if not jobs:
        raise await missing_job(door, tenant, ids[0])
    return jobs


def _with_step(jobs: list[Job], wanted: VideoRetry) -> Job:
    """The job that has the step, of those that are meant."""
    meant = [job for job in jobs if wanted.job in {None, job.id}]
    if not meant:
        raise NotFound("the video has no such job", code="unknown_job")
    for job in meant:
        if any(step.name == wanted.step for step in job.steps):
            return job
    names = [step.name for job in meant for step in job.steps]
    raise Invalid(
        f"no job of the video has a step {wanted.step!r}",
        code="unknown_step",
        hint=f"its steps are {', '.join(names)}",
    )


async def _changed(
    request: web.Request, query: Query[JobStatus], seconds: float = SECONDS
) -> web.StreamResponse:
    status = await ask_about(request, job_id_of(request), query, seconds)
    reply = schemas.JobState(id=status.job_id, state=status.state, step=status.step or None)
    return json_reply(reply, status=202)


def _route(verb: str, handler: Handler, summary: str, **more: Any) -> Route:
    return Route(
        method="POST",
        path=f"{JOB}/{verb}",
        handler=handler,
        summary=summary,
        name=f"{verb}_job",
        reply=schemas.JobState,
        status=202,
        errors=(Conflict,),
        tags=("jobs",),
        scope="write",
        **more,
    )


ROUTES = (
    _route("cancel", cancel_job, "Cancel a job"),
    _route("pause", pause_job, "Pause a job"),
    _route("resume", resume_job, "Resume a job"),
    _route("retry", retry_job, "Retry a job", body=Retry, is_body_optional=True),
    Route(
        method="POST",
        path="/v1/videos/{video}/retry",
        handler=retry_video,
        summary="Run a video's work again from a step",
        name="retry_video",
        body=VideoRetry,
        reply=Retried,
        status=202,
        errors=(Conflict,),
        tags=("videos",),
        scope="write",
    ),
)
