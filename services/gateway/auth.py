"""Who asks, for which tenant, and whether they may. The tenant comes from the key alone."""

from __future__ import annotations

import hmac

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from services.gateway.signatures import Signatures
from services.gateway.tenants import Tenants
from shared.errors import Forbidden, Unauthorized
from shared.http.context import PRINCIPAL, SIGNED, SIGNED_BY, Handler, Principal
from shared.http.routes import Route, route_of
from shared.settings import Secret
from shared.telemetry.logs import bind
from shared.tenancy import TenantId, tenant_id

ADMIN = "admin"


def authenticating(tenants: Tenants, signatures: Signatures, admin_key: Secret) -> Middleware:
    """The middleware that lets a request pass, or not, by what its route asks for."""

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = route_of(request)
        if route is None or route.scope is None:
            return await handler(request)
        if route.opened_by and SIGNED_BY in request.query:
            request[SIGNED] = True
            subject = subject_of(request, route)
            principal = await signatures.principal(request.query[SIGNED_BY], subject)
        else:
            principal = await _principal(request, tenants, admin_key)
        if route.scope and route.scope not in principal.scopes:
            raise Forbidden(
                f"this key lacks the scope {route.scope!r}",
                hint="use a key that has it, or ask an operator for one",
            )
        request[PRINCIPAL] = principal
        with bind(tenant=principal.tenant, credential=principal.credential):
            return await handler(request)

    return authenticate


async def _principal(request: web.Request, tenants: Tenants, admin_key: Secret) -> Principal:
    scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() != "bearer" or not given:
        raise Unauthorized(hint="send Authorization: Bearer <key>")
    given = given.strip()
    if admin_key and hmac.compare_digest(given.encode(), admin_key.reveal().encode()):
        return Principal(tenant="", credential=ADMIN, scopes=frozenset({ADMIN}))
    key = await tenants.identify(given)
    if key is None:
        raise Unauthorized("the key is not valid", hint="it may be mistyped or revoked")
    return Principal(tenant=key.tenant, credential=key.prefix, scopes=frozenset(key.scopes))


def subject_of(request: web.Request, route: Route) -> str:
    """What a signed address must open for this request, such as ``video/<id>``."""
    return f"{route.opened_by}/{request.match_info[route.opened_by]}"


def tenant_of(request: web.Request) -> TenantId:
    """The tenant on whose behalf the request is made."""
    return tenant_id(request[PRINCIPAL].tenant)
