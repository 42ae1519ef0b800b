"""Sending the bytes of a video and its pictures to whoever may have them: from this gateway, by
the proxy in front of it, or by their store.
"""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web

from services.gateway.door import BlobContent, Door
from shared.blobs.library import is_in_library
from shared.contracts.records import Video
from shared.errors import NotFound
from shared.http import handover
from shared.http.responder import respond

LARGE: Final = 1 << 20
"""What is smaller is sent from here: another request costs more than its bytes."""


async def send_video(
    request: web.Request,
    door: Door,
    video: Video,
    *,
    download: bool = False,
    may_redirect: bool = True,
) -> web.StreamResponse:
    """The file as it was uploaded, with ranges (RFC 9110); the ETag is its SHA-256."""
    async with door.blobs.held(video.location) as held:
        content = BlobContent(
            blobs=door.blobs,
            key=video.location,
            size=video.size,
            etag=f'"{video.sha256}"',
            modified=video.created_at / 1000,
            media_type=video.media_type,
            held=held,
        )
        if may_redirect and (url := await _elsewhere(request, door, content, video.name, download)):
            return handover.elsewhere(url)
        prefix = door.settings.accel_prefix
        if prefix and content.local_path is not None and not is_in_library(content.key):
            return handover.by_proxy(content, prefix, content.key, video.name, download=download)
        response = await respond(request, content, name=video.name, download=download)
    if request.method == hdrs.METH_GET:
        sent = response.content_length or 0
        door.metrics.range_bytes.add(sent, {"partial": response.status == 206})
    return response


async def send_picture(request: web.Request, door: Door, key: str) -> web.StreamResponse:
    """A picture of a video by its blob key; :class:`NotFound` while there is none."""
    if not key:
        raise NotFound(
            "this picture is not there yet", code="not_ready", hint="follow the video's job"
        )
    info = await door.blobs.head(key)
    content = BlobContent(
        blobs=door.blobs,
        key=key,
        size=info.size,
        # A picture's key names the job that made it, so its bytes never change under it.
        etag=f'"{key.rsplit("/", 2)[-2]}-{key.rsplit("/", 1)[-1]}"',
        modified=info.modified,
        media_type="image/jpeg",
    )
    return await respond(request, content)


async def _elsewhere(
    request: web.Request, door: Door, content: BlobContent, name: str, download: bool
) -> str | None:
    """A signed address of the content's own store, where that is wanted and can be had."""
    settings = door.settings
    if not settings.redirect_media or content.size < LARGE:
        return None
    shown = handover.shown(content, name, download=download)
    return await door.blobs.presigned(content.key, settings.redirect_seconds, request.method, shown)
