"""The desk for failed jobs: what went wrong, in bulk, and what to do about it."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Final, Literal

import msgspec
from aiohttp import web

from services.gateway import job_views, schemas
from services.gateway.asking import ask
from services.gateway.auth import tenant_of
from services.gateway.dead import summary
from services.gateway.desk_schemas import Clearance, Cleared, Clearing, DeadPage, DeadSummary
from services.gateway.door import DOOR
from shared.contracts.jobs import ClearDead, DeadFilter, DeskReport
from shared.errors import Invalid
from shared.http.bodies import json_reply, read_json, read_query
from shared.http.context import Handler
from shared.http.routes import Route

DEAD: Final = "/v1/jobs/dead"
_SECONDS = 30.0
"""Hundreds of jobs may be retried in one request."""


async def list_dead(request: web.Request) -> web.StreamResponse:
    """Failed jobs that nobody has retried or discarded, newest first. Each request looks at a
    bounded number, so a page may hold less than `limit`, or nothing, and still have a `next`.
    """
    door, tenant, page = request.app[DOOR], tenant_of(request), read_query(request, DeadPage)
    query = ClearDead(
        action="discard", which=_filter(page), dry_run=True, limit=page.limit, cursor=page.cursor
    )
    report = await ask(request, query, seconds=_SECONDS)
    found = await door.jobs.get_many(tenant, [item.job_id for item in report.items])
    now = door.clock()
    items = tuple(job_views.listed(job, now) for job in found if job is not None)
    return json_reply(schemas.Jobs(items=items, next=report.next or None))


async def summarize_dead(request: web.Request) -> web.StreamResponse:
    """Failed jobs grouped by flow, step and code."""
    read = partial(request.app[DOOR].jobs.dead, tenant_of(request))
    return json_reply(await summary(read))


async def retry_dead(request: web.Request) -> web.StreamResponse:
    """Retry failed jobs, each from the step that failed. One that cannot be retried does not stop
    the others. With `dry_run` nothing is changed.
    """
    return await _clear(request, "retry")


async def discard_dead(request: web.Request) -> web.StreamResponse:
    """Give failed jobs up: they leave the desk, and what they kept for another attempt is removed.
    With `dry_run` nothing is changed.
    """
    return await _clear(request, "discard")


async def _clear(request: web.Request, action: Literal["retry", "discard"]) -> web.StreamResponse:
    body = await read_json(request, Clearing)
    which = _filter(body, ids=body.ids)
    if which == DeadFilter() and not body.all:
        raise Invalid(
            "it is not said which jobs",
            code="nothing_given",
            hint='give ids or a filter, or "all": true',
        )
    query = ClearDead(
        action=action, which=which, dry_run=body.dry_run, limit=body.limit, cursor=body.cursor
    )
    report = await ask(request, query, seconds=_SECONDS)
    return json_reply(_shown(report, is_dry_run=body.dry_run))


def _filter(asked: DeadPage | Clearing, ids: tuple[str, ...] = ()) -> DeadFilter:
    return DeadFilter(
        ids=ids,
        flow=asked.flow,
        step=asked.step,
        code=asked.code,
        error_class=asked.error_class,
        subject=asked.video,
        before=_milliseconds(asked.before),
        after=_milliseconds(asked.after),
    )


def _milliseconds(moment: datetime | None) -> int:
    """A time as the ledger has it; what was before the epoch is its beginning."""
    return max(1, round(moment.timestamp() * 1000)) if moment else 0


def _shown(report: DeskReport, *, is_dry_run: bool) -> Clearance:
    items = [
        {"id": item.job_id, "outcome": item.outcome, "detail": item.detail} for item in report.items
    ]
    return Clearance(
        matched=report.matched,
        dry_run=is_dry_run,
        items=msgspec.convert(items, tuple[Cleared, ...]),
        next=report.next or None,
    )


def _bulk(verb: str, handler: Handler, summary_: str) -> Route:
    return Route(
        method="POST",
        path=f"{DEAD}/{verb}",
        handler=handler,
        summary=summary_,
        name=f"{verb}_dead_jobs",
        body=Clearing,
        reply=Clearance,
        tags=("desk",),
        scope="write",
    )


ROUTES = (
    Route(
        method="GET",
        path=DEAD,
        handler=list_dead,
        summary="List failed jobs",
        name="list_dead_jobs",
        query=DeadPage,
        reply=schemas.Jobs,
        tags=("desk",),
        scope="read",
    ),
    Route(
        method="GET",
        path=f"{DEAD}/summary",
        handler=summarize_dead,
        summary="Count failed jobs",
        name="summarize_dead_jobs",
        reply=DeadSummary,
        tags=("desk",),
        scope="read",
    ),
    _bulk("retry", retry_dead, "Retry failed jobs in bulk"),
    _bulk("discard", discard_dead, "Discard failed jobs in bulk"),
)
