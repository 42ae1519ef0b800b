"""What is behind a share link, for anybody who has it."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web

from services.gateway import formats, schemas, views
from services.gateway.door import DOOR
from services.gateway.lookup import find_video
from services.gateway.media import send_picture, send_video
from services.gateway.share_schemas import Shared, View, ViewBody, ViewQuery
from services.gateway.share_views import SHARED
from services.gateway.shares import needs_view
from services.gateway.signatures import Signed
from shared.clock import rfc3339
from shared.contracts.records import Captions, Video
from shared.contracts.shares import Share
from shared.errors import Gone, NotFound, RangeUnsatisfiable, TooMany, Unauthorized
from shared.http.bodies import json_reply, read_json_or, read_query
from shared.http.context import PRINCIPAL, Principal, request_id
from shared.http.errors import PreconditionFailed
from shared.http.routes import BINARY, Route
from shared.store.keys import captions_key
from shared.tenancy import tenant_id

LINK: Final = f"{SHARED}{{link:[A-Za-z0-9_-]{{43}}}}"
VIEW_SECONDS: Final = 21_600
_PRIVATE: Final = {str(hdrs.CACHE_CONTROL): "no-store", "X-Robots-Tag": "noindex"}
_LONGEST: Final = 200


async def show_shared(request: web.Request) -> web.StreamResponse:
    """What a link shows. One that wants a password, or counts its views, tells nothing of the video
    before.
    """
    share, video = await _opened(request)
    is_closed = needs_view(share) and not await _is_viewing(request, share)
    shown = Shared(
        needs_view=needs_view(share),
        password_required=bool(share.password),
        captions_only=share.captions_only,
        expires_at=rfc3339(share.expires_at) if share.expires_at else None,
        name=None if is_closed else video.name,
        media=None if is_closed else views.media(video.media),
    )
    return json_reply(shown, headers=_PRIVATE)


async def open_shared(request: web.Request) -> web.StreamResponse:
    """Look at it: this counts as a view. The addresses in the answer are valid for six hours, or as
    long as the link is.
    """
    door = request.app[DOOR]
    share, _ = await _opened(request)
    body = await read_json_or(request, ViewBody())
    await door.shares.view(share, body.password, **_who(request))
    ends = door.clock() + VIEW_SECONDS * 1000
    ends = min(ends, share.expires_at) if share.expires_at else ends
    token = await door.signatures.sign(Signed(share.tenant, _subject(share), ends, ""))
    base, query = f"{SHARED}{request.match_info['link']}", f"?view={token}"
    media = {} if share.captions_only else _media_addresses(base, query)
    shown = View(
        expires_at=rfc3339(ends),
        details=base + query,
        captions=f"{base}/captions{query}",
        captions_vtt=f"{base}/captions.vtt{query}",
        **media,
    )
    return json_reply(shown, status=201, headers=_PRIVATE)


async def stream_shared(request: web.Request) -> web.StreamResponse:
    """The video, with ranges (RFC 9110)."""
    return await _send(request, "stream")


async def download_shared(request: web.Request) -> web.StreamResponse:
    """The video, to be saved under its name."""
    return await _send(request, "download")


async def shared_thumbnail(request: web.Request) -> web.StreamResponse:
    """A picture that stands for the video."""
    _, video = await _let_in(request, captions=False)
    return await send_picture(request, request.app[DOOR], video.poster)


async def shared_captions(request: web.Request) -> web.StreamResponse:
    """The captions with their times in seconds."""
    share, video = await _let_in(request, captions=True)
    captions = await _captions(request, share)
    return json_reply(views.captions(video.id, captions), headers=_PRIVATE)


async def shared_vtt(request: web.Request) -> web.StreamResponse:
    """The captions as WebVTT, for players."""
    share, _ = await _let_in(request, captions=True)
    captions = await _captions(request, share)
    text = formats.vtt(captions.captions if captions else ())
    return web.Response(text=text, content_type="text/vtt", charset="utf-8", headers=_PRIVATE)


async def _send(request: web.Request, what: str) -> web.StreamResponse:
    share, video = await _let_in(request, captions=False)
    door = request.app[DOOR]
    if request.method == hdrs.METH_GET and _begins(request):
        await door.shares.note(share, what, **_who(request))
    is_saved = what == "download"
    # An address of the store would outlive the link.
    return await send_video(request, door, video, download=is_saved, may_redirect=False)


async def _let_in(request: web.Request, *, captions: bool) -> tuple[Share, Video]:
    """The link and its video, for whoever may see this much of it."""
    share, video = await _opened(request)
    if needs_view(share) and not await _is_viewing(request, share):
        raise Unauthorized(
            "this link wants you to look at it first",
            code="view_required",
            hint=f"POST to {SHARED}…/views and use the addresses in its answer",
        )
    if share.captions_only and not captions:
        raise NotFound("only the captions are shared")
    return share, video


async def _opened(request: web.Request) -> tuple[Share, Video]:
    """The link as it is now, and its video."""
    door = request.app[DOOR]
    share = await door.shares.by_token(request.match_info["link"])
    request[PRINCIPAL] = Principal(tenant=share.tenant, credential=f"share:{share.id}")
    try:
        video = await find_video(door, tenant_id(share.tenant), share.video_id)
    except NotFound:
        raise NotFound("there is no such share link") from None
    return share, video


async def _is_viewing(request: web.Request, share: Share) -> bool:
    """Whether a view is named that is still valid; :class:`Unauthorized` for a false one."""
    view = read_query(request, ViewQuery).view
    if view:
        await request.app[DOOR].signatures.read(view, _subject(share))
    return bool(view)


async def _captions(request: web.Request, share: Share) -> Captions | None:
    key = captions_key(tenant_id(share.tenant), share.video_id)
    return await request.app[DOOR].records.get(Captions, key)


def _media_addresses(base: str, query: str) -> dict[str, str]:
    return {name: f"{base}/{name}{query}" for name in ("stream", "download", "thumbnail")}


def _subject(share: Share) -> str:
    return f"share/{share.id}"


def _begins(request: web.Request) -> bool:
    """Whether it asks for the first byte: a player that goes on is no other visit."""
    wanted = request.headers.get(hdrs.RANGE, "")
    return not wanted or wanted.replace(" ", "").startswith("bytes=0-")


def _who(request: web.Request) -> dict[str, str]:
    agent = request.headers.get(hdrs.USER_AGENT, "")
    return {
        "request_id": request_id(request),
        "address": request.remote or "",
        "user_agent": agent.encode("ascii", "replace").decode()[:_LONGEST],
    }


_CLOSED = (NotFound, Gone, Unauthorized)
_RANGED = (*_CLOSED, RangeUnsatisfiable, PreconditionFailed)

ROUTES = (
    Route(
        method="GET",
        path=LINK,
        handler=show_shared,
        summary="Show what a share link opens",
        name="get_shared",
        query=ViewQuery,
        reply=Shared,
        errors=_CLOSED,
        tags=("sharing",),
        scope=None,
    ),
    Route(
        method="POST",
        path=f"{LINK}/views",
        handler=open_shared,
        summary="Look at what is shared",
        name="view_shared",
        body=ViewBody,
        is_body_optional=True,
        reply=View,
        status=201,
        errors=(*_CLOSED, TooMany),
        tags=("sharing",),
        scope=None,
    ),
    Route(
        method="GET",
        path=f"{LINK}/stream",
        handler=stream_shared,
        summary="Stream a shared video",
        name="stream_shared",
        query=ViewQuery,
        reply=BINARY,
        media=("video/*",),
        headers={"Range": "Which bytes, as in RFC 9110 section 14.2."},
        errors=_RANGED,
        tags=("sharing",),
        scope=None,
    ),
    Route(
        method="GET",
        path=f"{LINK}/download",
        handler=download_shared,
        summary="Download a shared video",
        name="download_shared",
        query=ViewQuery,
        reply=BINARY,
        media=("video/*",),
        headers={"Range": "Which bytes, as in RFC 9110 section 14.2."},
        errors=_RANGED,
        tags=("sharing",),
        scope=None,
    ),
    Route(
        method="GET",
        path=f"{LINK}/thumbnail",
        handler=shared_thumbnail,
        summary="Show the thumbnail of a shared video",
        name="get_shared_thumbnail",
        query=ViewQuery,
        reply=BINARY,
        media=("image/jpeg",),
        errors=_RANGED,
        tags=("sharing",),
        scope=None,
    ),
    Route(
        method="GET",
        path=f"{LINK}/captions",
        handler=shared_captions,
        summary="Show the captions of a shared video",
        name="get_shared_captions",
        query=ViewQuery,
        reply=schemas.Captions,
        errors=_CLOSED,
        tags=("sharing",),
        scope=None,
    ),
    Route(
        method="GET",
        path=f"{LINK}/captions.vtt",
        handler=shared_vtt,
        summary="Show the captions of a shared video as WebVTT",
        name="get_shared_captions_vtt",
        query=ViewQuery,
        reply=str,
        media=("text/vtt",),
        errors=_CLOSED,
        tags=("sharing",),
        scope=None,
    ),
)
