"""What a tenant has, and may have."""

from __future__ import annotations

from aiohttp import web

from services.gateway.auth import tenant_of
from services.gateway.door import DOOR
from services.gateway.upload_schemas import Usage
from shared.http.bodies import json_reply
from shared.http.routes import Route


async def show_usage(request: web.Request) -> web.StreamResponse:
    """The bytes of the tenant's files, those included that uploads under way have been promised and
    those of videos in the trash. Pictures and captions that Reelway makes of them do not count.
    """
    door, tenant = request.app[DOOR], tenant_of(request)
    used = await door.space.of(tenant)
    most = (await door.tenants.get(tenant)).max_bytes
    usage = Usage(
        bytes=used.bytes,
        files=used.files,
        max_bytes=most or None,
        intake="paused" if await door.room.left() == 0 else "open",
    )
    return json_reply(usage)


ROUTES = (
    Route(
        method="GET",
        path="/v1/usage",
        handler=show_usage,
        summary="Show what the tenant has stored",
        name="get_usage",
        reply=Usage,
        tags=("uploads",),
        scope="read",
    ),
)
