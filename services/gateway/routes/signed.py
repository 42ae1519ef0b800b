"""Signed addresses: what players and event streams open without a header."""

from __future__ import annotations

from aiohttp import hdrs, web

from services.gateway.auth import tenant_of
from services.gateway.door import DOOR
from services.gateway.lookup import find_video, show_job
from services.gateway.routes.videos import VIDEO
from services.gateway.share_schemas import SignedJob, SignedVideo, SignedWanted
from services.gateway.signatures import Signed
from shared.clock import rfc3339
from shared.http.bodies import json_reply, read_query
from shared.http.context import PRINCIPAL, SIGNED_BY
from shared.http.routes import Route

_SECRET = {str(hdrs.CACHE_CONTROL): "no-store"}


async def sign_video(request: web.Request) -> web.StreamResponse:
    """Addresses of the video's media for a player, a picture or a download, without a key. They end
    after `seconds` (six hours), when the key that asked for them is revoked, or with all others.
    """
    door, tenant, video_id = request.app[DOOR], tenant_of(request), request.match_info["video"]
    await find_video(door, tenant, video_id)
    ends, query = await _signed(request, f"video/{video_id}")
    path = f"/v1/videos/{video_id}"
    shown = SignedVideo(
        expires_at=ends,
        stream=f"{path}/stream{query}",
        download=f"{path}/download{query}",
        thumbnail=f"{path}/thumbnail{query}",
        captions=f"{path}/captions.vtt{query}",
    )
    return json_reply(shown, headers=_SECRET)


async def sign_job(request: web.Request) -> web.StreamResponse:
    """The address of the job's events for an `EventSource`, which cannot send a key."""
    door, job_id = request.app[DOOR], request.match_info["job"]
    await show_job(door, tenant_of(request), job_id)
    ends, query = await _signed(request, f"job/{job_id}")
    shown = SignedJob(expires_at=ends, events=f"/v1/jobs/{job_id}/events{query}")
    return json_reply(shown, headers=_SECRET)


async def end_signed(request: web.Request) -> web.StreamResponse:
    """End all signed addresses of the tenant, and what was shown by its share links so far."""
    await request.app[DOOR].signatures.end_all(tenant_of(request))
    return web.Response(status=204)


async def _signed(request: web.Request, subject: str) -> tuple[str, str]:
    """When it ends, and the query that opens the subject."""
    door, wanted = request.app[DOOR], read_query(request, SignedWanted)
    ends = door.clock() + wanted.seconds * 1000
    signed = Signed(tenant_of(request), subject, ends, request[PRINCIPAL].credential)
    return rfc3339(ends), f"?{SIGNED_BY}={await door.signatures.sign(signed)}"


ROUTES = (
    Route(
        method="GET",
        path=f"{VIDEO}/signed-urls",
        handler=sign_video,
        summary="Sign addresses of a video's media",
        name="sign_video",
        query=SignedWanted,
        reply=SignedVideo,
        tags=("sharing",),
        scope="read",
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job}/signed-urls",
        handler=sign_job,
        summary="Sign the address of a job's events",
        name="sign_job",
        query=SignedWanted,
        reply=SignedJob,
        tags=("sharing",),
        scope="read",
    ),
    Route(
        method="DELETE",
        path="/v1/signed-urls",
        handler=end_signed,
        summary="End all signed addresses",
        name="end_signed_urls",
        status=204,
        tags=("sharing",),
        scope="write",
    ),
)
