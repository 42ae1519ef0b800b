"""Pictures of a video: the one that stands for it, and its sampled frames."""

from __future__ import annotations

from aiohttp import web

from services.gateway import schemas, views
from services.gateway.auth import tenant_of
from services.gateway.door import DOOR, Door
from services.gateway.lookup import find_video
from services.gateway.media import send_picture
from services.gateway.routes.videos import VIDEO
from shared.contracts.records import Frames
from shared.errors import NotFound, RangeUnsatisfiable
from shared.http.bodies import json_reply
from shared.http.errors import PreconditionFailed
from shared.http.routes import BINARY, Route
from shared.store.keys import frames_key
from shared.tenancy import TenantId


async def thumbnail(request: web.Request) -> web.StreamResponse:
    """A picture that stands for the video."""
    door = request.app[DOOR]
    video = await find_video(door, tenant_of(request), request.match_info["video"])
    return await send_picture(request, door, video.poster)


async def list_frames(request: web.Request) -> web.StreamResponse:
    """The sampled frames with the texts that were seen in them."""
    door, tenant, video_id = request.app[DOOR], tenant_of(request), request.match_info["video"]
    return json_reply(views.frames(video_id, await _frames(door, tenant, video_id)))


async def get_frame(request: web.Request) -> web.StreamResponse:
    """One of the sampled frames."""
    door, tenant, video_id = request.app[DOOR], tenant_of(request), request.match_info["video"]
    frames = (await _frames(door, tenant, video_id)).frames
    index = int(request.match_info["index"])
    return await send_picture(request, door, frames[index].key if index < len(frames) else "")


async def _frames(door: Door, tenant: TenantId, video_id: str) -> Frames:
    await find_video(door, tenant, video_id)
    frames = await door.records.get(Frames, frames_key(tenant, video_id))
    return frames or Frames(video_id=video_id)


ROUTES = (
    Route(
        method="GET",
        path=f"{VIDEO}/thumbnail",
        handler=thumbnail,
        summary="Show the thumbnail",
        name="get_thumbnail",
        reply=BINARY,
        media=("image/jpeg",),
        errors=(NotFound, RangeUnsatisfiable, PreconditionFailed),
        tags=("videos",),
        scope="read",
        opened_by="video",
    ),
    Route(
        method="GET",
        path=f"{VIDEO}/frames",
        handler=list_frames,
        summary="List the sampled frames",
        name="list_frames",
        reply=schemas.Frames,
        tags=("videos",),
        scope="read",
    ),
    Route(
        method="GET",
        path=f"{VIDEO}/frames/{{index:[0-9]{{1,6}}}}",
        handler=get_frame,
        summary="Show a sampled frame",
        name="get_frame",
        reply=BINARY,
        media=("image/jpeg",),
        errors=(NotFound, RangeUnsatisfiable, PreconditionFailed),
        tags=("videos",),
        scope="read",
        opened_by="video",
    ),
)
