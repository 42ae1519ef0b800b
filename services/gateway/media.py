"""Sending a blob to a client: from this gateway, by the proxy in front of it, or by its store."""

from __future__ import annotations

from aiohttp import hdrs, web

from services.gateway.door import BlobContent, Door
from shared.http import handover
from shared.http.responder import respond

LARGE = 1 << 20
"""What is smaller is sent from here: another request costs more than its bytes."""


async def serve(
    request: web.Request,
    door: Door,
    content: BlobContent,
    *,
    name: str = "",
    download: bool = False,
) -> web.StreamResponse:
    """Answer GET or HEAD for content that the request may have, as the settings say."""
    settings = door.settings
    if settings.accel_prefix and content.local_path is not None:
        prefix = settings.accel_prefix
        return handover.by_proxy(content, prefix, content.key, name, download=download)
    if settings.redirect_media and content.size >= LARGE:
        shown = handover.shown(content, name, download=download)
        url = await door.blobs.presigned(
            content.key, settings.redirect_seconds, request.method, shown
        )
        if url is not None:
            return handover.elsewhere(url)
    response = await respond(request, content, name=name, download=download)
    if request.method == hdrs.METH_GET:
        sent = response.content_length or 0
        door.metrics.range_bytes.add(sent, {"partial": response.status == 206})
    return response
