"""Recurring jobs."""

from __future__ import annotations

from aiohttp import web

from services.gateway.auth import tenant_of
from services.gateway.door import DOOR
from services.gateway.schedule_schemas import (
    ScheduleBody,
    ScheduleName,
    SchedulesView,
    ScheduleView,
)
from shared.clock import rfc3339
from shared.contracts.schedules import DeleteSchedule, PutSchedule, Schedule
from shared.errors import Conflict, Invalid, NotFound
from shared.http.bodies import json_reply, read_json
from shared.http.context import request_id
from shared.http.routes import Route

SCHEDULES = "/v1/schedules"
SCHEDULE = f"{SCHEDULES}/{{schedule}}"


async def list_schedules(request: web.Request) -> web.StreamResponse:
    """All of them, by name; there are at most 100."""
    found = await request.app[DOOR].schedules.all(tenant_of(request))
    return json_reply(SchedulesView(items=tuple(_shown(schedule) for schedule in found)))


async def get_schedule(request: web.Request) -> web.StreamResponse:
    """A schedule: when it is due next, and what became of the last time."""
    name = request.match_info["schedule"]
    schedule = await request.app[DOOR].schedules.get(tenant_of(request), name)
    if schedule is None:
        raise NotFound("there is no such schedule")
    return json_reply(_shown(schedule))


async def put_schedule(request: web.Request) -> web.StreamResponse:
    """Make a schedule, or change the one of that name. Sending it again changes nothing: its next
    time stays as long as `every`, `cron` and `timezone` do.
    """
    body = await read_json(request, ScheduleBody)
    query = PutSchedule(
        name=request.match_info["schedule"],
        flow=body.flow,
        subject=body.video,
        params=body.params,
        every=body.every or 0,
        cron=body.cron or "",
        timezone=body.timezone,
        overlap=body.overlap,
        enabled=body.enabled,
    )
    tenant, correlation = tenant_of(request), request_id(request)
    schedule = await request.app[DOOR].bus.ask(query, tenant=tenant, correlation=correlation)
    return json_reply(_shown(schedule))


async def delete_schedule(request: web.Request) -> web.StreamResponse:
    """Remove a schedule. Jobs that it has made go on."""
    query = DeleteSchedule(name=request.match_info["schedule"])
    tenant, correlation = tenant_of(request), request_id(request)
    await request.app[DOOR].bus.ask(query, tenant=tenant, correlation=correlation)
    return web.Response(status=204)


def _shown(schedule: Schedule) -> ScheduleView:
    return ScheduleView(
        name=schedule.name,
        flow=schedule.flow,
        video=schedule.subject,
        every=schedule.every or None,
        cron=schedule.cron or None,
        timezone=schedule.timezone,
        overlap=schedule.overlap,
        enabled=schedule.enabled,
        params=schedule.params,
        next_at=_time(schedule.next_at),
        last_at=_time(schedule.last_at),
        last_outcome=schedule.last_outcome or None,
        last_job=schedule.last_job or None,
        fired=schedule.fired,
        skipped=schedule.skipped,
        created_at=rfc3339(schedule.created_at),
        updated_at=rfc3339(schedule.updated_at),
    )


def _time(at: int) -> str | None:
    return rfc3339(at) if at else None


ROUTES = (
    Route(
        method="GET",
        path=SCHEDULES,
        handler=list_schedules,
        summary="List schedules",
        name="list_schedules",
        reply=SchedulesView,
        tags=("schedules",),
        scope="read",
    ),
    Route(
        method="GET",
        path=SCHEDULE,
        handler=get_schedule,
        summary="Show a schedule",
        name="get_schedule",
        params={"schedule": ScheduleName},
        reply=ScheduleView,
        tags=("schedules",),
        scope="read",
    ),
    Route(
        method="PUT",
        path=SCHEDULE,
        handler=put_schedule,
        summary="Make or change a schedule",
        name="put_schedule",
        params={"schedule": ScheduleName},
        body=ScheduleBody,
        reply=ScheduleView,
        errors=(Invalid, Conflict),
        tags=("schedules",),
        scope="write",
    ),
    Route(
        method="DELETE",
        path=SCHEDULE,
        handler=delete_schedule,
        summary="Delete a schedule",
        name="delete_schedule",
        params={"schedule": ScheduleName},
        status=204,
        tags=("schedules",),
        scope="write",
    ),
)
