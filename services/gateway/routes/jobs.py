"""Jobs: what is being done, and how far it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from aiohttp import web

from services.gateway import job_views, schemas
from services.gateway.auth import tenant_of
from services.gateway.door import DOOR
from services.gateway.lookup import show_job
from services.gateway.work_schemas import JobsPage
from shared.contracts.records import Job
from shared.http.bodies import json_reply, read_query
from shared.http.routes import Route
from shared.store.scan import scan

JOB = "/v1/jobs/{job}"


async def list_jobs(request: web.Request) -> web.StreamResponse:
    """Newest first. Go on with `cursor` from `next` of the page before. Each request looks at no
    more than 1,000 jobs, so a page may hold less than `limit`, or nothing, and still have a `next`.
    """
    door, tenant = request.app[DOOR], tenant_of(request)
    page = read_query(request, JobsPage)
    read = partial(door.jobs.page, tenant)
    found = await scan(read, page.cursor, page.limit, _filter(page))
    now = door.clock()
    items = tuple(job_views.listed(job, now) for job in found.items)
    return json_reply(schemas.Jobs(items=items, next=found.next))


def _filter(page: JobsPage) -> Callable[[Job], bool] | None:
    """What the query asks for; None when that is everything."""
    states = frozenset(page.state.split(",")) if page.state else frozenset[str]()
    if not (states or page.flow or page.video or page.parent):
        return None

    def is_wanted(job: Job) -> bool:
        return (
            (not states or job.state in states)
            and page.flow in {"", job.flow}
            and page.video in {"", job.subject}
            and page.parent in {"", job_views.parent(job)}
        )

    return is_wanted


async def get_job(request: web.Request) -> web.StreamResponse:
    """A job with its steps and, when it failed, why and what can be done."""
    door = request.app[DOOR]
    return json_reply(await show_job(door, tenant_of(request), request.match_info["job"]))


ROUTES = (
    Route(
        method="GET",
        path="/v1/jobs",
        handler=list_jobs,
        summary="List jobs",
        name="list_jobs",
        query=JobsPage,
        reply=schemas.Jobs,
        tags=("jobs",),
        scope="read",
    ),
    Route(
        method="GET",
        path=JOB,
        handler=get_job,
        summary="Show a job",
        name="get_job",
        reply=schemas.Job,
        tags=("jobs",),
        scope="read",
    ),
)
