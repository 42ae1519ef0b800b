"""Asking the jobs service on behalf of a request."""

from __future__ import annotations

from typing import Final, TypeVar

from aiohttp import web

from services.gateway.auth import tenant_of
from services.gateway.door import DOOR
from services.gateway.lookup import missing_job
from shared.contracts.base import Query
from shared.errors import NotFound
from shared.http.context import request_id
from shared.ids import is_id
from shared.tenancy import TenantId

Reply = TypeVar("Reply")
NO_TENANT: Final = TenantId("")
"""On whose behalf an operator asks about what all tenants share."""

SECONDS: Final = 5.0


def job_id_of(request: web.Request) -> str:
    """The id of the job in the path; :class:`NotFound` when it can be none."""
    job_id = request.match_info["job"]
    if not is_id(job_id):
        raise NotFound("there is no such job")
    return job_id


async def ask(
    request: web.Request,
    query: Query[Reply],
    *,
    tenant: TenantId | None = None,
    seconds: float = SECONDS,
) -> Reply:
    """The answer, on behalf of the tenant of the key unless another is given."""
    asker = tenant_of(request) if tenant is None else tenant
    return await request.app[DOOR].bus.ask(
        query, tenant=asker, correlation=request_id(request), timeout=seconds
    )


async def ask_about(
    request: web.Request, job_id: str, query: Query[Reply], seconds: float = SECONDS
) -> Reply:
    """The answer about one job, also in the moment before the ledger knows it."""
    try:
        return await ask(request, query, seconds=seconds)
    except NotFound as unknown:
        raise await missing_job(request.app[DOOR], tenant_of(request), job_id) from unknown
