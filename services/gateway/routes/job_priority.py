"""How urgent a job is, and why it waits."""

from __future__ import annotations

from aiohttp import web

from services.gateway import work_views
from services.gateway.asking import ask_about, job_id_of
from services.gateway.auth import tenant_of
from services.gateway.door import DOOR
from services.gateway.lookup import find_job
from services.gateway.work_schemas import NewPriority, PriorityExplained
from shared.contracts.jobs import BoostLaw, ExplainJob, PrioritizeJob
from shared.errors import Conflict, Invalid
from shared.http.bodies import json_reply, read_json
from shared.http.routes import Route
from shared.work.priority import Boost

PRIORITY = "/v1/jobs/{job}/priority"


async def get_priority(request: web.Request) -> web.StreamResponse:
    """What the priority consists of, the job's place in line, and what it waits for."""
    return await _explained(request)


async def set_priority(request: web.Request) -> web.StreamResponse:
    """Change how urgent a job is, until it has ended; what it has waited is kept. It decides the
    next time a slot is free.
    """
    job_id = job_id_of(request)
    job = await find_job(request.app[DOOR], tenant_of(request), job_id)
    body = await read_json(request, NewPriority)
    law = law_of(body, Boost.parse(job.boost))
    await ask_about(request, job_id, PrioritizeJob(job_id=job_id, base=body.base, boost=law))
    return await _explained(request)


def law_of(body: NewPriority, now: Boost) -> BoostLaw | None:
    """How waiting shall count from now on; None when that stays. Switched on again it is as strong
    as by default.
    """
    if body == NewPriority():
        raise Invalid(
            "nothing is to be changed",
            code="nothing_given",
            hint="give base, age_boosting or boost",
        )
    if body.boost is not None:
        given = Boost(
            rate=body.boost.rate, step_seconds=body.boost.step_seconds, cap=body.boost.cap
        )
        if body.age_boosting not in {None, given.is_on}:
            raise Invalid("age_boosting contradicts boost", code="contradiction")
        return _law(given)
    if body.age_boosting in {None, now.is_on}:
        return None
    standard = Boost()
    rate = standard.rate if body.age_boosting else 0
    return _law(Boost(rate=rate, step_seconds=now.step_seconds, cap=now.cap or standard.cap))


def _law(boost: Boost) -> BoostLaw:
    return BoostLaw(rate=boost.rate, step_seconds=boost.step_seconds, cap=boost.cap)


async def _explained(request: web.Request) -> web.StreamResponse:
    job_id = job_id_of(request)
    explanation = await ask_about(request, job_id, ExplainJob(job_id=job_id))
    return json_reply(work_views.explained(explanation))


ROUTES = (
    Route(
        method="GET",
        path=PRIORITY,
        handler=get_priority,
        summary="Show a job's priority",
        name="get_job_priority",
        reply=PriorityExplained,
        errors=(Conflict,),
        tags=("jobs",),
        scope="read",
    ),
    Route(
        method="PUT",
        path=PRIORITY,
        handler=set_priority,
        summary="Change a job's priority",
        name="set_job_priority",
        body=NewPriority,
        reply=PriorityExplained,
        errors=(Conflict,),
        tags=("jobs",),
        scope="write",
    ),
)
