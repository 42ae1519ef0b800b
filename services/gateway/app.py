"""The application behind the door: middlewares, routes, documents and probes, and what is told
about each request.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from services.gateway.auth import authenticating
from services.gateway.cors import Cors
from services.gateway.door import DOOR, Door
from services.gateway.idempotency import once_for_each_key
from services.gateway.openapi import ROUTES, built
from services.gateway.routes import resumable
from shared.http.assets import web_assets
from shared.http.bodies import json_reply
from shared.http.context import PRINCIPAL, Handler, Observe, request_id, route_template
from shared.http.probes import Probes
from shared.http.routes import BINARY, register, route_of
from shared.http.server import edge_app
from shared.telemetry.logs import bind
from shared.telemetry.metrics import Metrics
from shared.telemetry.names import Action
from shared.telemetry.traces import Tracer, answered

SLOW_SECONDS: Final = 2.0
"""An answer that takes longer is worth a warning; streams and uploads may take what they like."""

PROBES: Final = frozenset({"/livez", "/readyz", "/health", "/metrics"})
"""Asked every few seconds, for ever: neither logged nor traced, nor counted as requests in hand."""

_STREAMS = ("/events", "/stream")
_LONGEST_PATH = 200
_log = logging.getLogger(__name__)


def create_app(door: Door, probes: Probes, tracer: Tracer) -> web.Application:
    """The gateway's application; nothing is opened here."""
    app = edge_app(observing(door.metrics))
    app.middlewares.insert(0, following(tracer, door.metrics))
    Cors(frozenset(door.settings.cors_origins), private=PROBES).add_to(app)
    app.middlewares.append(authenticating(door.tenants, door.signatures, door.settings.admin_key))
    app.middlewares.append(once_for_each_key)
    app.on_response_prepare.append(resumable.dress)
    app[DOOR] = door
    register(app, ROUTES)
    app.add_routes(probes.routes())
    _add_documents(app)
    return app


def following(tracer: Tracer, metrics: Metrics) -> Middleware:
    """The outermost middleware: whatever happens on behalf of a request says so in its log lines,
    and in a span that goes on where the client's own trace left off.
    """

    @web.middleware
    async def follow(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in PROBES:
            return await handler(request)
        method, name = _method(request), request_id(request)
        labels = {"http.request.method": method}
        metrics.http_active_requests.add(1, labels)
        try:
            with (
                bind(request_id=name, correlation_id=name, tenant=lambda: _tenant(request)),
                tracer.request(method, route_template(request), _trace_headers(request)),
            ):
                return await _outcome(request, handler)
        finally:
            metrics.http_active_requests.add(-1, labels)

    return follow


async def _outcome(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The answer, also where it was raised: a redirect is no failure of the request's span."""
    try:
        return await handler(request)
    except web.HTTPRedirection as redirect:
        return web.Response(status=redirect.status, headers=redirect.headers)


def observing(metrics: Metrics) -> Observe:
    """Counts and logs every request that was answered, or whose client left."""

    def observe(method: str, route: str, status: int, seconds: float, request: web.Request) -> None:
        is_long = _is_long(request, route)
        if not is_long:
            metrics.request_ended(method, route, status, seconds, request)
        if request.path in PROBES:
            return
        answered(status)
        fields = {
            "action": Action.REQUEST,
            "request_id": request_id(request),
            "method": method,
            "path": _path(request),
            "status_code": status,
            "duration_ms": round(seconds * 1000, 1),
        }
        level = _level(status, is_slow=seconds > SLOW_SECONDS and not is_long)
        _log.log(level, "%s %s %d", method, route, status, extra=fields)

    return observe


def _level(status: int, *, is_slow: bool) -> int:
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return logging.ERROR
    is_worrying = is_slow or status > HTTPStatus.INTERNAL_SERVER_ERROR
    return logging.WARNING if is_worrying else logging.INFO


def _is_long(request: web.Request, route: str) -> bool:
    """Whether it lasts as long as its client likes; among answers it would drown the rest."""
    known = route_of(request)
    return route.endswith(_STREAMS) or (known is not None and known.body is BINARY)


def _path(request: web.Request) -> str:
    """The path as it may stand in a log: without the token of a share link."""
    secret = request.match_info.get("link", "")
    return (request.path.replace(secret, "…") if secret else request.path)[:_LONGEST_PATH]


def _method(request: web.Request) -> str:
    return request.method if request.method in hdrs.METH_ALL else "_OTHER"


def _tenant(request: web.Request) -> str:
    """Known once the request's key has been looked at."""
    principal = request.get(PRINCIPAL)
    return principal.tenant if principal else ""


def _trace_headers(request: web.Request) -> dict[str, str]:
    """The client's trace context; one that was sent twice is none (W3C Trace Context 3.2)."""
    given = request.headers.getall("traceparent", [])
    if len(given) != 1:
        return {}
    state = ",".join(request.headers.getall("tracestate", []))
    return {"traceparent": given[0], "tracestate": state}


def _add_documents(app: web.Application) -> None:
    assets = web_assets("services.gateway", "web")
    described = built()

    async def openapi(_: web.Request) -> web.Response:
        return json_reply(described)

    async def home(_: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/docs")

    app.router.add_get("/", home)
    app.router.add_get("/openapi.json", openapi)
    app.router.add_get("/docs", assets.page("docs.html"))
    app.router.add_get("/web/{path:.+}", assets.serve)
