"""Events as they happen: of one job, and of all jobs of a tenant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from services.gateway.auth import tenant_of
from services.gateway.door import DOOR
from services.gateway.entries import Position, Wanted
from services.gateway.event_schemas import EventsWanted
from services.gateway.follow import JobReader
from services.gateway.follow_tenant import TenantReader
from services.gateway.places import TooManyStreams
from shared.http.bodies import read_query
from shared.http.context import PRINCIPAL
from shared.http.routes import Route
from shared.http.sse import EVENT_STREAM, EventStream, nothing_more, resume_point


async def all_events(request: web.Request) -> web.StreamResponse:
    """Server-sent events of all jobs of the tenant: first `snapshot` with the jobs that have not
    ended (`jobs`, at most 200; `more` says that there may be others), then `state` and `end` as
    they come, and `progress`. The data of each names `job`, `video` and `flow`, and with `epoch`
    and `seq` its place among the events of that job.

    States have ids without gaps: resume with `Last-Event-ID`. `reset` with a fresh snapshot says
    that what was missed is no longer kept. Progress has no id, is not repeated, and comes at most
    four times a second for a job. An id without an event says that nothing up to there was asked
    for. The stream ends when it is an hour old; come back with the last id.
    """
    door, tenant = request.app[DOOR], tenant_of(request)
    asked = read_query(request, EventsWanted)
    wanted = Wanted(
        job=asked.job, video=asked.video, flow=asked.flow, type=asked.type, state=asked.state
    )
    with _placed(request) as stream, door.watchers.watching_tenant(tenant, stream.bell) as feed:
        reader = TenantReader(stream, door, tenant, feed, wanted)
        await reader.prepare(_seen(request))
        async with stream:
            await reader.follow()
    return stream.response


async def job_events(request: web.Request) -> web.StreamResponse:
    """Server-sent events: first `snapshot` with the job, then `state` and `progress` as they come,
    at last `end`. Resume with `Last-Event-ID`; `reset` with a fresh snapshot says that what was
    missed is no longer kept. Reconnecting after the end answers 204. The stream ends when it is an
    hour old; come back with the last id.
    """
    door, tenant, job_id = request.app[DOOR], tenant_of(request), request.match_info["job"]
    seen = _seen(request)
    with (
        _placed(request) as stream,
        door.watchers.watching_job(tenant, job_id, stream.bell) as feed,
    ):
        reader = JobReader(stream, door, tenant, feed, job_id)
        await reader.prepare(seen)
        if reader.is_told(seen):
            return nothing_more()
        async with stream:
            await reader.follow()
    return stream.response


@contextmanager
def _placed(request: web.Request) -> Iterator[EventStream]:
    """A stream, if there is room for one more; it is counted while the block is open."""
    door = request.app[DOOR]
    with door.places.taken(request[PRINCIPAL]):
        stream = EventStream(request, longest=door.settings.stream_seconds)
        door.metrics.sse_subscribers.add(1)
        try:
            yield stream
        finally:
            door.metrics.sse_subscribers.add(-1)
            door.metrics.sse_ended.add(1, {"reason": stream.reason})


def _seen(request: web.Request) -> Position | None:
    point = resume_point(request)
    if point is None or not point.epoch.isdecimal() or len(point.epoch) > 9:
        return None
    return int(point.epoch), point.seq


_RESUMING = {"Last-Event-ID": "The last event seen; also as `?last_event_id=`."}

ROUTES = (
    Route(
        method="GET",
        path="/v1/events",
        handler=all_events,
        summary="Follow all jobs",
        name="follow_all",
        query=EventsWanted,
        media=(EVENT_STREAM,),
        headers=_RESUMING,
        errors=(TooManyStreams,),
        tags=("events",),
        scope="read",
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job}/events",
        handler=job_events,
        summary="Follow a job",
        name="follow_job",
        media=(EVENT_STREAM,),
        headers=_RESUMING,
        errors=(TooManyStreams,),
        tags=("jobs",),
        scope="read",
        opened_by="job",
    ),
)
