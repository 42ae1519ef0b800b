"""Pools of workers and the work of tenants, for operators with the admin key."""

from __future__ import annotations

from aiohttp import web

from services.gateway.admin_schemas import (
    PoolChange,
    PoolsView,
    PoolView,
    TenantName,
    TenantWork,
    TenantWorkChange,
)
from services.gateway.asking import NO_TENANT, ask
from services.gateway.auth import ADMIN
from services.gateway.door import DOOR
from shared.contracts.jobs import GovernPool, GovernTenant, ListPools, PoolStatus, TenantRules
from shared.errors import Invalid
from shared.http.bodies import json_reply, read_json
from shared.http.routes import Route
from shared.tenancy import TenantId, tenant_id

POOLS = "/v1/admin/pools"
POOL = f"{POOLS}/{{pool}}"
WORK = "/v1/admin/tenants/{tenant}/work"


async def list_pools(request: web.Request) -> web.StreamResponse:
    """What every pool is doing: how much runs and waits, and for how long."""
    found = await ask(request, ListPools(), tenant=NO_TENANT)
    return json_reply(PoolsView(items=tuple(_shown(pool) for pool in found.items)))


async def get_pool(request: web.Request) -> web.StreamResponse:
    """What one pool is doing."""
    query = GovernPool(pool=request.match_info["pool"])
    return json_reply(_shown(await ask(request, query, tenant=NO_TENANT)))


async def change_pool(request: web.Request) -> web.StreamResponse:
    """Let a pool rest or go on, or limit how many jobs run in it, at once and on all hosts. What
    runs already is not stopped.
    """
    body = await read_json(request, PoolChange)
    query = GovernPool(pool=request.match_info["pool"], limit=body.limit, paused=body.paused)
    return json_reply(_shown(await ask(request, query, tenant=NO_TENANT)))


async def get_tenant_work(request: web.Request) -> web.StreamResponse:
    """What a tenant has waiting, and what it may have."""
    tenant = await _tenant(request)
    return json_reply(_work(tenant, await ask(request, GovernTenant(), tenant=tenant)))


async def change_tenant_work(request: web.Request) -> web.StreamResponse:
    """Let all of a tenant's waiting work rest, or go on. What runs already is not stopped."""
    tenant = await _tenant(request)
    body = await read_json(request, TenantWorkChange)
    query = GovernTenant(paused=body.paused)
    return json_reply(_work(tenant, await ask(request, query, tenant=tenant)))


async def _tenant(request: web.Request) -> TenantId:
    tenant = tenant_id(request.match_info["tenant"])
    await request.app[DOOR].tenants.get(tenant)
    return tenant


def _shown(status: PoolStatus) -> PoolView:
    return PoolView(
        pool=status.pool,
        paused=status.paused,
        limit=status.limit,
        running=status.running,
        waiting=status.waiting,
        oldest_wait_seconds=status.oldest_wait_ms / 1000,
        average_seconds=status.average_ms / 1000,
        workers=status.workers,
    )


def _work(tenant: TenantId, rules: TenantRules) -> TenantWork:
    return TenantWork(
        tenant=tenant,
        paused=rules.paused,
        running_limit=rules.running_limit,
        queued=rules.queued,
        queued_limit=rules.queued_limit,
    )


ROUTES = (
    Route(
        method="GET",
        path=POOLS,
        handler=list_pools,
        summary="List pools",
        name="list_pools",
        reply=PoolsView,
        tags=("admin",),
        scope=ADMIN,
    ),
    Route(
        method="GET",
        path=POOL,
        handler=get_pool,
        summary="Show a pool",
        name="get_pool",
        reply=PoolView,
        tags=("admin",),
        scope=ADMIN,
    ),
    Route(
        method="PATCH",
        path=POOL,
        handler=change_pool,
        summary="Change a pool",
        name="change_pool",
        body=PoolChange,
        reply=PoolView,
        tags=("admin",),
        scope=ADMIN,
    ),
    Route(
        method="GET",
        path=WORK,
        handler=get_tenant_work,
        summary="Show a tenant's work",
        name="get_tenant_work",
        params={"tenant": TenantName},
        reply=TenantWork,
        errors=(Invalid,),
        tags=("admin",),
        scope=ADMIN,
    ),
    Route(
        method="PATCH",
        path=WORK,
        handler=change_tenant_work,
        summary="Let a tenant's work rest or go on",
        name="change_tenant_work",
        params={"tenant": TenantName},
        body=TenantWorkChange,
        reply=TenantWork,
        tags=("admin",),
        scope=ADMIN,
    ),
)
