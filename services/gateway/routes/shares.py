"""Share links of a video, for its owner."""

from __future__ import annotations

from aiohttp import hdrs, web

from services.gateway.auth import tenant_of
from services.gateway.door import DOOR
from services.gateway.lookup import find_video
from services.gateway.routes.videos import VIDEO
from services.gateway.share_schemas import (
    NewShare,
    ShareBody,
    ShareLog,
    SharesView,
    ShareView,
    ShareVisit,
)
from services.gateway.share_views import shown, shown_new
from shared.clock import rfc3339
from shared.contracts.shares import Share
from shared.errors import Conflict, Invalid
from shared.http.bodies import json_reply, read_json_or
from shared.http.context import PRINCIPAL
from shared.http.routes import Route
from shared.ids import is_id, new_id

SHARES = f"{VIDEO}/shares"
SHARE = f"{SHARES}/{{share}}"
_VISITS = 200


async def create_share(request: web.Request) -> web.StreamResponse:
    """Make a link by which anybody may see the video, without a key. `url` is shown this once: only
    its digest is kept. It can end by itself (`expires_in`, `max_views`), want a password, and be
    deleted.
    """
    door, tenant, video_id = request.app[DOOR], tenant_of(request), request.match_info["video"]
    await find_video(door, tenant, video_id)
    body = await read_json_or(request, ShareBody())
    now = door.clock()
    share = Share(
        id=new_id(),
        tenant=tenant,
        video_id=video_id,
        digest="",
        created_at=now,
        version=1,
        name=body.name,
        created_by=request[PRINCIPAL].credential,
        expires_at=now + body.expires_in * 1000 if body.expires_in else 0,
        max_views=body.max_views or 0,
        captions_only=body.captions_only,
    )
    token = await door.shares.create(share, body.password)
    made = await door.shares.get(tenant, video_id, share.id)
    headers = {
        str(hdrs.LOCATION): f"/v1/videos/{video_id}/shares/{share.id}",
        str(hdrs.CACHE_CONTROL): "no-store",
    }
    return json_reply(shown_new(made, now, token), status=201, headers=headers)


async def list_shares(request: web.Request) -> web.StreamResponse:
    """The links of a video, newest first, also those that have ended."""
    door, tenant, video_id = request.app[DOOR], tenant_of(request), request.match_info["video"]
    await find_video(door, tenant, video_id)
    found = await door.shares.of_video(tenant, video_id)
    return json_reply(SharesView(items=tuple(shown(each, door.clock()) for each in found)))


async def get_share(request: web.Request) -> web.StreamResponse:
    """A link: whether it still opens anything, and how often it did."""
    return json_reply(shown(await _found(request), request.app[DOOR].clock()))


async def delete_share(request: web.Request) -> web.StreamResponse:
    """Take a link back. It opens nothing from the next request on, also for whoever is in the
    middle of it; it stays in the list, with its log, until the video is deleted.
    """
    await request.app[DOOR].shares.revoke(await _found(request))
    return web.Response(status=204)


async def share_log(request: web.Request) -> web.StreamResponse:
    """Who came by a link: the last 200 visits."""
    share = await _found(request)
    items = tuple(
        ShareVisit(
            at=rfc3339(at),
            what=entry["what"],
            request_id=entry.get("request_id", ""),
            address=entry.get("address", ""),
            user_agent=entry.get("user_agent", ""),
        )
        for at, entry in await request.app[DOOR].shares.log(share, _VISITS)
    )
    return json_reply(ShareLog(items=items))


async def _found(request: web.Request) -> Share:
    door, tenant, named = request.app[DOOR], tenant_of(request), request.match_info
    await find_video(door, tenant, named["video"])
    share_id = named["share"] if is_id(named["share"]) else ""
    return await door.shares.get(tenant, named["video"], share_id)


ROUTES = (
    Route(
        method="POST",
        path=SHARES,
        handler=create_share,
        summary="Share a video",
        name="create_share",
        body=ShareBody,
        is_body_optional=True,
        reply=NewShare,
        status=201,
        errors=(Conflict, Invalid),
        tags=("sharing",),
        scope="write",
    ),
    Route(
        method="GET",
        path=SHARES,
        handler=list_shares,
        summary="List the share links of a video",
        name="list_shares",
        reply=SharesView,
        tags=("sharing",),
        scope="read",
    ),
    Route(
        method="GET",
        path=SHARE,
        handler=get_share,
        summary="Show a share link",
        name="get_share",
        reply=ShareView,
        tags=("sharing",),
        scope="read",
    ),
    Route(
        method="DELETE",
        path=SHARE,
        handler=delete_share,
        summary="Take a share link back",
        name="delete_share",
        status=204,
        tags=("sharing",),
        scope="write",
    ),
    Route(
        method="GET",
        path=f"{SHARE}/log",
        handler=share_log,
        summary="Show who came by a share link",
        name="get_share_log",
        reply=ShareLog,
        tags=("sharing",),
        scope="read",
    ),
)
