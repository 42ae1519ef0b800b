"""What is away, for operators with the admin key."""

from __future__ import annotations

from typing import Literal

import msgspec
from aiohttp import web

from services.gateway.auth import ADMIN
from services.gateway.door import DOOR
from shared.clock import rfc3339
from shared.http.bodies import json_reply
from shared.http.routes import Route


class BreakerView(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that is not called for a tenant because it kept failing. `half_open`: the next
    call tries whether it answers again.
    """

    provider: str
    tenant: str
    state: Literal["open", "half_open"]
    failures: int
    opened_at: str
    retry_after: float


class BreakersView(msgspec.Struct, frozen=True, kw_only=True):
    """Every circuit breaker that is not closed."""

    items: tuple[BreakerView, ...]


async def list_breakers(request: web.Request) -> web.StreamResponse:
    """The circuit breakers that are not closed. Jobs that need such a provider wait."""
    found = await request.app[DOOR].breakers.all()
    items = tuple(
        BreakerView(
            provider=each.provider,
            tenant=each.tenant,
            state=each.state,
            failures=each.failures,
            opened_at=rfc3339(each.opened_at),
            retry_after=each.retry_after,
        )
        for each in found
    )
    return json_reply(BreakersView(items=items))


ROUTES = (
    Route(
        method="GET",
        path="/v1/admin/breakers",
        handler=list_breakers,
        summary="List open breakers",
        name="list_breakers",
        reply=BreakersView,
        tags=("admin",),
        scope=ADMIN,
    ),
)
