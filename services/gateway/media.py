"""Sending the bytes of a video and its pictures, to whoever may have them."""

from __future__ import annotations

from aiohttp import hdrs, web

from services.gateway.door import BlobContent, Door
from shared.contracts.records import Video
from shared.errors import NotFound
from shared.http.responder import respond


async def send_video(
    request: web.Request, door: Door, video: Video, *, download: bool = False
) -> web.StreamResponse:
    """The file as it was uploaded, with ranges (RFC 9110); the ETag is its SHA-256."""
    content = BlobContent(
        blobs=door.blobs,
        key=video.location,
        size=video.size,
        etag=f'"{video.sha256}"',
        modified=video.created_at / 1000,
        media_type=video.media_type,
    )
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
