"""Deleting videos, the trash, and taking them out of it again."""

from __future__ import annotations

import asyncio

from aiohttp import web

from services.gateway import schemas
from services.gateway.asking import ask
from services.gateway.auth import tenant_of
from services.gateway.door import DOOR
from services.gateway.lookup import show_video
from services.gateway.routes.videos import VIDEO
from services.gateway.trash_schemas import (
    DeleteBatch,
    Deleted,
    DeletedBatch,
    HowToDelete,
    TrashedVideo,
    TrashedVideos,
)
from shared.clock import rfc3339
from shared.contracts.catalog import DeleteVideo, RestoreVideo, TrashVideo
from shared.contracts.records import Video
from shared.errors import NotFound, ReelwayError
from shared.http.bodies import json_reply, read_json, read_query
from shared.http.routes import Route
from shared.ids import is_id
from shared.store.keys import accepted_key, trash_index, video_key
from shared.store.records import Change

_AT_ONCE = 8


async def delete_video(request: web.Request) -> web.StreamResponse:
    """Put a video into the trash: nobody sees or finds it any more, its share links open nothing,
    and it can be restored for 30 days (`REELWAY_CATALOG_TRASH_DAYS`). With `permanent` it is
    removed for good, also from the trash: its bytes, its captions, and what still works on it.
    """
    permanent = read_query(request, HowToDelete).permanent
    await _delete(request, request.match_info["video"], permanent=permanent)
    return web.Response(status=204)


async def delete_batch(request: web.Request) -> web.StreamResponse:
    """Delete up to 100 videos. The answer says of each whether it was deleted, was missing, or why
    it failed; those that failed can be sent again.
    """
    body = await read_json(request, DeleteBatch)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(video_id: str) -> Deleted:
        async with gate:
            return await _outcome(request, video_id, permanent=body.permanent)

    items = await asyncio.gather(*map(one, dict.fromkeys(body.ids)))
    return json_reply(DeletedBatch(items=tuple(items)))


async def list_trash(request: web.Request) -> web.StreamResponse:
    """What can be restored, newest first. Go on with `cursor` from `next` of the page before."""
    door, tenant, page = request.app[DOOR], tenant_of(request), read_query(request, schemas.Page)
    ids = await door.records.page(trash_index(tenant), page.cursor, page.limit + 1)
    found = await door.records.get_many(Video, [video_key(tenant, each) for each in ids])
    items = tuple(_shown(video) for video in found[: page.limit] if video.trashed_at)
    more = ids[page.limit - 1] if len(ids) > page.limit else None
    return json_reply(TrashedVideos(items=items, next=more))


async def restore(request: web.Request) -> web.StreamResponse:
    """Take a video out of the trash, with everything that was known of it."""
    video_id = request.match_info["video"]
    await ask(request, RestoreVideo(video_id=_named(video_id)))
    return json_reply(await show_video(request.app[DOOR], tenant_of(request), video_id))


async def _outcome(request: web.Request, video_id: str, *, permanent: bool) -> Deleted:
    try:
        await _delete(request, video_id, permanent=permanent)
    except NotFound:
        return Deleted(id=video_id, outcome="missing")
    except ReelwayError as error:
        return Deleted(id=video_id, outcome="failed", code=error.code, detail=error.detail)
    return Deleted(id=video_id, outcome="deleted")


async def _delete(request: web.Request, video_id: str, *, permanent: bool) -> None:
    kind = DeleteVideo if permanent else TrashVideo
    await ask(request, kind(video_id=_named(video_id)))
    tenant = tenant_of(request)
    gone = Change(tenant).delete(accepted_key(tenant, video_id))
    await request.app[DOOR].records.commit(gone)


def _named(video_id: str) -> str:
    if not is_id(video_id):
        raise NotFound("there is no such video")
    return video_id


def _shown(video: Video) -> TrashedVideo:
    return TrashedVideo(
        id=video.id,
        name=video.name,
        size=video.size,
        created_at=rfc3339(video.created_at),
        trashed_at=rfc3339(video.trashed_at),
        purge_at=rfc3339(video.purge_at),
    )


ROUTES = (
    Route(
        method="DELETE",
        path=VIDEO,
        handler=delete_video,
        summary="Delete a video",
        name="delete_video",
        query=HowToDelete,
        status=204,
        tags=("videos",),
        scope="write",
    ),
    Route(
        method="POST",
        path="/v1/videos/delete-batch",
        handler=delete_batch,
        summary="Delete several videos",
        name="delete_videos",
        body=DeleteBatch,
        reply=DeletedBatch,
        tags=("videos",),
        scope="write",
    ),
    Route(
        method="GET",
        path="/v1/trash",
        handler=list_trash,
        summary="List the videos in the trash",
        name="list_trash",
        query=schemas.Page,
        reply=TrashedVideos,
        tags=("videos",),
        scope="read",
    ),
    Route(
        method="POST",
        path=f"{VIDEO}/restore",
        handler=restore,
        summary="Restore a video from the trash",
        name="restore_video",
        reply=schemas.Video,
        tags=("videos",),
        scope="write",
    ),
)
