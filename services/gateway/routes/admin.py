"""Tenants and keys, for operators with the admin key."""

from __future__ import annotations

from aiohttp import web

from services.gateway import admin_schemas as schemas
from services.gateway.auth import ADMIN
from services.gateway.door import DOOR
from shared.clock import rfc3339
from shared.contracts.records import Tenant
from shared.errors import Conflict, Invalid
from shared.http.bodies import json_reply, read_json
from shared.http.routes import Route
from shared.tenancy import tenant_id

TENANTS = "/v1/admin/tenants"


async def list_tenants(request: web.Request) -> web.StreamResponse:
    """Every tenant, by name."""
    tenants = await request.app[DOOR].tenants.all()
    return json_reply(schemas.TenantsView(items=tuple(_shown(tenant) for tenant in tenants)))


async def create_tenant(request: web.Request) -> web.StreamResponse:
    """Make a tenant. It has no key yet."""
    body = await read_json(request, schemas.NewTenant)
    tenant = await request.app[DOOR].tenants.create(
        body.id, body.tier, auto_approve=body.auto_approve, max_bytes=body.max_bytes
    )
    return json_reply(_shown(tenant), status=201)


async def get_tenant(request: web.Request) -> web.StreamResponse:
    """One tenant."""
    owner = tenant_id(request.match_info["tenant"])
    return json_reply(_shown(await request.app[DOOR].tenants.get(owner)))


async def change_tenant(request: web.Request) -> web.StreamResponse:
    """Give a tenant another tier, another policy for layouts, or another quota. Jobs in line keep
    their priority; a new tier counts, with its limits, from the next job on. With a quota below
    what the tenant has, nothing goes, and nothing more is taken in.
    """
    owner = tenant_id(request.match_info["tenant"])
    tenants = request.app[DOOR].tenants
    await tenants.get(owner)
    body = await read_json(request, schemas.TenantChange)
    changed = await tenants.change(
        owner, tier=body.tier, auto_approve=body.auto_approve, max_bytes=body.max_bytes
    )
    return json_reply(_shown(changed))


async def create_key(request: web.Request) -> web.StreamResponse:
    """Make a key of a tenant. The key is shown this once and cannot be found again."""
    body = await read_json(request, schemas.NewKeyBody)
    owner = tenant_id(request.match_info["tenant"])
    key = await request.app[DOOR].tenants.create_key(owner, body.scopes, body.name)
    shown = schemas.KeyView(
        key=key.key, prefix=key.prefix, tenant=key.tenant, scopes=key.scopes, name=key.name
    )
    return json_reply(shown, status=201)


async def revoke_key(request: web.Request) -> web.StreamResponse:
    """Take a key out of use, at once."""
    await request.app[DOOR].tenants.revoke_key(request.match_info["prefix"])
    return web.Response(status=204)


def _shown(tenant: Tenant) -> schemas.TenantView:
    return schemas.TenantView(
        id=tenant.id,
        tier=tenant.tier,
        auto_approve=tenant.auto_approve,
        max_bytes=tenant.max_bytes,
        created_at=rfc3339(tenant.created_at),
    )


ROUTES = (
    Route(
        method="GET",
        path=TENANTS,
        handler=list_tenants,
        summary="List tenants",
        name="list_tenants",
        reply=schemas.TenantsView,
        tags=("admin",),
        scope=ADMIN,
    ),
    Route(
        method="POST",
        path=TENANTS,
        handler=create_tenant,
        summary="Create a tenant",
        name="create_tenant",
        body=schemas.NewTenant,
        reply=schemas.TenantView,
        status=201,
        errors=(Conflict,),
        tags=("admin",),
        scope=ADMIN,
    ),
    Route(
        method="GET",
        path=f"{TENANTS}/{{tenant}}",
        handler=get_tenant,
        summary="Show a tenant",
        name="get_tenant",
        params={"tenant": schemas.TenantName},
        reply=schemas.TenantView,
        errors=(Invalid,),
        tags=("admin",),
        scope=ADMIN,
    ),
    Route(
        method="PATCH",
        path=f"{TENANTS}/{{tenant}}",
        handler=change_tenant,
        summary="Change a tenant",
        name="change_tenant",
        params={"tenant": schemas.TenantName},
        body=schemas.TenantChange,
        reply=schemas.TenantView,
        tags=("admin",),
        scope=ADMIN,
    ),
    Route(
        method="POST",
        path=f"{TENANTS}/{{tenant}}/keys",
        handler=create_key,
        summary="Create a key",
        name="create_key",
        params={"tenant": schemas.TenantName},
        body=schemas.NewKeyBody,
        reply=schemas.KeyView,
        status=201,
        tags=("admin",),
        scope=ADMIN,
    ),
    Route(
        method="DELETE",
        path="/v1/admin/keys/{prefix:[a-z0-9]{12}}",
        handler=revoke_key,
        summary="Revoke a key",
        name="revoke_key",
        status=204,
        tags=("admin",),
        scope=ADMIN,
    ),
)
