"""What became of a job so far: its attempts, its checkpoints, its parts."""

from __future__ import annotations

from aiohttp import web

from services.gateway import job_views, work_views
from services.gateway.auth import tenant_of
from services.gateway.door import DOOR
from services.gateway.lookup import find_job
from services.gateway.work_schemas import Checkpoints, Parts, Timeline
from shared.contracts.records import Job
from shared.errors import Conflict
from shared.http.bodies import json_reply
from shared.http.context import Handler
from shared.http.routes import Route

JOB = "/v1/jobs/{job}"


async def get_timeline(request: web.Request) -> web.StreamResponse:
    """Every attempt at every step, oldest first: where it ran, how long it waited and worked, and
    how it ended. What runs right now is the last entry, without an end.
    """
    door, job = request.app[DOOR], await _job(request)
    spans = await door.jobs.timeline(tenant_of(request), job.id)
    return json_reply(work_views.timeline(job, spans, door.clock()))


async def get_checkpoint(request: web.Request) -> web.StreamResponse:
    """The places from which the present step can be gone on with, and whether what they rest on is
    still there. There are none between steps and after the end.
    """
    door, job = request.app[DOOR], await _job(request)
    return json_reply(await door.checkpoints.of(tenant_of(request), job))


async def get_parts(request: web.Request) -> web.StreamResponse:
    """The jobs that a job was split into, and what became of them."""
    door, job = request.app[DOOR], await _job(request)
    children = await door.jobs.children(tenant_of(request), job.id)
    now = door.clock()
    items = tuple(job_views.listed(child, now) for child in children)
    return json_reply(Parts(job=job.id, counts=job_views.parts(job), items=items))


async def _job(request: web.Request) -> Job:
    return await find_job(request.app[DOOR], tenant_of(request), request.match_info["job"])


def _route(what: str, handler: Handler, summary: str, reply: type) -> Route:
    return Route(
        method="GET",
        path=f"{JOB}/{what}",
        handler=handler,
        summary=summary,
        name=f"get_job_{what}",
        reply=reply,
        errors=(Conflict,),
        tags=("jobs",),
        scope="read",
    )


ROUTES = (
    _route("timeline", get_timeline, "Show a job's attempts", Timeline),
    _route("checkpoint", get_checkpoint, "Show a job's checkpoints", Checkpoints),
    _route("parts", get_parts, "List the parts of a job", Parts),
)
