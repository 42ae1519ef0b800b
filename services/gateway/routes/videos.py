"""Videos: taking them in, listing, showing and removing them, their bytes and their captions."""

from __future__ import annotations

from aiohttp import hdrs, web

from services.gateway import schemas, uploads
from services.gateway.asking import ask
from services.gateway.auth import tenant_of
from services.gateway.door import DOOR
from services.gateway.lookup import find_video, show_video, show_videos
from services.gateway.media import send_video
from services.gateway.names import video_name
from services.gateway.trash_schemas import VideoChange
from shared.contracts.catalog import ApproveLayout, RenameVideo
from shared.contracts.records import Video
from shared.errors import (
    Conflict,
    Invalid,
    NotFound,
    RangeUnsatisfiable,
    StorageFull,
    TooLarge,
    UnsupportedMedia,
)
from shared.http.bodies import JSON, json_reply, read_json, read_query
from shared.http.context import request_id
from shared.http.errors import PreconditionFailed, PreconditionRequired
from shared.http.routes import BINARY, Route
from shared.http.versions import MERGE_PATCH, check_match, version_tag
from shared.store.keys import (
    video_key,
    videos_index,
)

VIDEO = "/v1/videos/{video}"


async def upload(request: web.Request) -> web.StreamResponse:
    """Send the file as the bare body with `?name=`, or as the one file of a form. The answer comes
    when all bytes are safely stored; the work that follows is the job, at `Location`.

    Before a byte is read, 429 refuses what could not be worked on: `queue_full` when the tenant has
    as many jobs waiting as its tier may, `backlog` when the work would wait for more than a day.
    """
    accepted = await uploads.receive(request, request.app[DOOR], tenant_of(request))
    headers = {str(hdrs.LOCATION): f"/v1/jobs/{accepted.job_id}"}
    return json_reply(uploads.uploaded(accepted), status=202, headers=headers)


async def list_videos(request: web.Request) -> web.StreamResponse:
    """Newest first. Go on with `cursor` from `next` of the page before."""
    door, tenant, page = request.app[DOOR], tenant_of(request), read_query(request, schemas.Page)
    ids = await door.records.page(videos_index(tenant), page.cursor, page.limit + 1)
    found = await door.records.get_many(Video, [video_key(tenant, name) for name in ids])
    more = ids[page.limit - 1] if len(ids) > page.limit else None
    items = await show_videos(door, tenant, found[: page.limit])
    return json_reply(schemas.Videos(items=items, next=more))


async def get_video(request: web.Request) -> web.StreamResponse:
    """Its stages say how far it is: `wait`, `processing`, `annotate`, `done` or `error`."""
    door, tenant, video_id = request.app[DOOR], tenant_of(request), request.match_info["video"]
    shown = await show_video(door, tenant, video_id)
    return json_reply(shown, headers={str(hdrs.ETAG): version_tag(shown.version)})


async def change_video(request: web.Request) -> web.StreamResponse:
    """Give a video another name. `If-Match` must have the `ETag` that the video was shown with: 412
    says that it has changed since.
    """
    door, tenant, video_id = request.app[DOOR], tenant_of(request), request.match_info["video"]
    video = await find_video(door, tenant, video_id)
    check_match(request, version_tag(video.version))
    change = await read_json(request, VideoChange, media=(MERGE_PATCH, JSON))
    if change.name is not None and (name := video_name(change.name)) != video.name:
        await _rename(request, RenameVideo(video_id=video_id, name=name, version=video.version))
    return await get_video(request)


async def _rename(request: web.Request, query: RenameVideo) -> None:
    try:
        await ask(request, query)
    except Conflict as changed:
        raise PreconditionFailed(changed.detail, hint="look at it again") from changed


async def approve(request: web.Request) -> web.StreamResponse:
    """Accept the proposed caption region; the captions are then read."""
    door, tenant, video_id = request.app[DOOR], tenant_of(request), request.match_info["video"]
    await find_video(door, tenant, video_id)
    await door.bus.ask(
        ApproveLayout(video_id=video_id), tenant=tenant, correlation=request_id(request)
    )
    return json_reply(await show_video(door, tenant, video_id), status=202)


async def stream(request: web.Request) -> web.StreamResponse:
    """The file as it was uploaded, with ranges (RFC 9110); the ETag is its SHA-256.

    Where the operator wants it (`REELWAY_GATEWAY_REDIRECT_MEDIA`), 307 sends the client to an
    address of the object store that is good for a while, with ranges too and an ETag of its own.
    """
    door = request.app[DOOR]
    video = await find_video(door, tenant_of(request), request.match_info["video"])
    return await send_video(request, door, video)


async def download(request: web.Request) -> web.StreamResponse:
    """The file as it was uploaded, to be saved under its name; with ranges, like the stream."""
    door = request.app[DOOR]
    video = await find_video(door, tenant_of(request), request.match_info["video"])
    return await send_video(request, door, video, download=True)


ROUTES = (
    Route(
        method="POST",
        path="/v1/videos",
        handler=upload,
        summary="Upload a video",
        name="upload_video",
        body=BINARY,
        body_media=("application/octet-stream", uploads.FORM),
        query=schemas.UploadName,
        reply=schemas.Uploaded,
        status=202,
        errors=(Invalid, TooLarge, UnsupportedMedia, StorageFull),
        tags=("videos",),
        scope="write",
    ),
    Route(
        method="GET",
        path="/v1/videos",
        handler=list_videos,
        summary="List videos",
        name="list_videos",
        query=schemas.Page,
        reply=schemas.Videos,
        tags=("videos",),
        scope="read",
    ),
    Route(
        method="GET",
        path=VIDEO,
        handler=get_video,
        summary="Show a video",
        name="get_video",
        reply=schemas.Video,
        tags=("videos",),
        scope="read",
    ),
    Route(
        method="PATCH",
        path=VIDEO,
        handler=change_video,
        summary="Rename a video",
        name="change_video",
        body=VideoChange,
        body_media=(MERGE_PATCH, JSON),
        headers={"If-Match": "The `ETag` that the video was shown with."},
        reply=schemas.Video,
        errors=(NotFound, Invalid, PreconditionFailed, PreconditionRequired),
        tags=("videos",),
        scope="write",
    ),
    Route(
        method="POST",
        path=f"{VIDEO}/approve",
        handler=approve,
        summary="Approve the proposed caption region",
        name="approve_layout",
        reply=schemas.Video,
        status=202,
        errors=(Conflict,),
        tags=("videos",),
        scope="write",
    ),
    Route(
        method="GET",
        path=f"{VIDEO}/stream",
        handler=stream,
        summary="Stream a video",
        name="stream_video",
        reply=BINARY,
        media=("video/*",),
        headers={"Range": "Which bytes, as in RFC 9110 section 14.2."},
        errors=(NotFound, Conflict, RangeUnsatisfiable, PreconditionFailed),
        tags=("videos",),
        scope="read",
        opened_by="video",
    ),
    Route(
        method="GET",
        path=f"{VIDEO}/download",
        handler=download,
        summary="Download a video",
        name="download_video",
        reply=BINARY,
        media=("video/*",),
        headers={"Range": "Which bytes, as in RFC 9110 section 14.2."},
        errors=(NotFound, RangeUnsatisfiable, PreconditionFailed),
        tags=("videos",),
        scope="read",
        opened_by="video",
    ),
)
