"""Search over the words in the picture."""

from __future__ import annotations

from aiohttp import web

from services.gateway import schemas
from services.gateway.auth import tenant_of
from services.gateway.door import DOOR, Door
from shared.contracts import catalog
from shared.contracts.catalog import SearchCaptions
from shared.contracts.records import Video
from shared.http.bodies import json_reply, read_query
from shared.http.context import request_id
from shared.http.routes import Route
from shared.store.keys import video_key
from shared.tenancy import TenantId

DEEPEST = 10_000


async def search(request: web.Request) -> web.StreamResponse:
    """Captions that contain every word, best first; accents and case do not matter."""
    door, tenant = request.app[DOOR], tenant_of(request)
    asked = read_query(request, schemas.Search)
    offset = int(asked.cursor or 0)
    found = await door.bus.ask(
        SearchCaptions(q=asked.q, limit=asked.limit, offset=offset),
        tenant=tenant,
        correlation=request_id(request),
    )
    names = await _names(door, tenant, found)
    items = tuple(_hit(hit, names.get(hit.video_id, "")) for hit in found.hits)
    end = offset + len(items)
    more = str(end) if items and end < min(found.total, DEEPEST) else None
    return json_reply(schemas.Hits(total=found.total, items=items, next=more))


async def _names(door: Door, tenant: TenantId, found: catalog.Hits) -> dict[str, str]:
    ids = list(dict.fromkeys(hit.video_id for hit in found.hits))
    keys = [video_key(tenant, video_id) for video_id in ids]
    return {video.id: video.name for video in await door.records.get_many(Video, keys)}


def _hit(hit: catalog.Hit, name: str) -> schemas.Hit:
    return schemas.Hit(
        video=hit.video_id,
        name=name,
        start=hit.start,
        end=hit.end,
        text=hit.text,
        snippet=hit.snippet,
        stream_url=f"/v1/videos/{hit.video_id}/stream#t={hit.start:g}",
    )


ROUTES = (
    Route(
        method="GET",
        path="/v1/search",
        handler=search,
        summary="Search captions",
        name="search_captions",
        query=schemas.Search,
        reply=schemas.Hits,
        tags=("captions",),
        scope="read",
    ),
)
