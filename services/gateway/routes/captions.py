"""A video's captions, as JSON and as subtitle files."""

from __future__ import annotations

from aiohttp import web

from services.gateway import formats, schemas, views
from services.gateway.auth import tenant_of
from services.gateway.door import DOOR
from services.gateway.lookup import find_video
from services.gateway.routes.videos import VIDEO
from shared.contracts.records import Captions
from shared.http.bodies import json_reply
from shared.http.routes import Route
from shared.store.keys import captions_key


async def captions_json(request: web.Request) -> web.StreamResponse:
    """The captions with their times in seconds."""
    video_id, captions = await _captions(request)
    return json_reply(views.captions(video_id, captions))


async def captions_vtt(request: web.Request) -> web.StreamResponse:
    """The captions as WebVTT, for players."""
    _, captions = await _captions(request)
    text = formats.vtt(captions.captions if captions else ())
    return web.Response(text=text, content_type="text/vtt", charset="utf-8")


async def captions_srt(request: web.Request) -> web.StreamResponse:
    """The captions as SubRip."""
    _, captions = await _captions(request)
    text = formats.srt(captions.captions if captions else ())
    return web.Response(text=text, content_type="application/x-subrip", charset="utf-8")


async def _captions(request: web.Request) -> tuple[str, Captions | None]:
    door, tenant, video_id = request.app[DOOR], tenant_of(request), request.match_info["video"]
    await find_video(door, tenant, video_id)
    return video_id, await door.records.get(Captions, captions_key(tenant, video_id))


ROUTES = (
    Route(
        method="GET",
        path=f"{VIDEO}/captions",
        handler=captions_json,
        summary="Show the captions",
        name="get_captions",
        reply=schemas.Captions,
        tags=("captions",),
        scope="read",
        opened_by="video",
    ),
    Route(
        method="GET",
        path=f"{VIDEO}/captions.vtt",
        handler=captions_vtt,
        summary="Show the captions as WebVTT",
        name="get_captions_vtt",
        reply=str,
        media=("text/vtt",),
        tags=("captions",),
        scope="read",
        opened_by="video",
    ),
    Route(
        method="GET",
        path=f"{VIDEO}/captions.srt",
        handler=captions_srt,
        summary="Show the captions as SubRip",
        name="get_captions_srt",
        reply=str,
        media=("application/x-subrip",),
        tags=("captions",),
        scope="read",
        opened_by="video",
    ),
)
