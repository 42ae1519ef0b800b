"""Uploads that browsers send to the object store themselves."""

from __future__ import annotations

from aiohttp import hdrs, web

from services.gateway import direct, schemas
from services.gateway.auth import tenant_of
from services.gateway.direct_schemas import (
    CompleteDirectUpload,
    DirectPart,
    DirectParts,
    DirectUpload,
    NewDirectUpload,
    PartAddress,
)
from services.gateway.door import DOOR
from services.gateway.lookup import show_job, show_video
from shared.blobs import locations
from shared.clock import rfc3339
from shared.errors import Conflict, Invalid, Locked, NotFound, StorageFull, TooLarge, TooMany
from shared.http.bodies import json_reply, read_json, read_json_or
from shared.http.routes import Route
from shared.store.uploads import Upload

PATH = "/v1/direct-uploads"
ONE = f"{PATH}/{{upload}}"
_SECRET = {str(hdrs.CACHE_CONTROL): "no-store"}


async def create(request: web.Request) -> web.StreamResponse:
    """Begin an upload whose bytes go from the browser to S3, where the bytes of this Reelway are on
    S3. Ask for the address of each part, PUT its bytes there, and complete the upload. After 24
    hours without either it ends.
    """
    new = await read_json(request, NewDirectUpload)
    upload = await direct.begin(request, request.app[DOOR], new)
    headers = {str(hdrs.LOCATION): f"{PATH}/{upload.id}"}
    return json_reply(_view(upload), status=201, headers=headers)


async def show(request: web.Request) -> web.StreamResponse:
    """What was begun, and how large its parts are."""
    return json_reply(_view(await _found(request)))


async def sign(request: web.Request) -> web.StreamResponse:
    """Where to PUT a part, for an hour. The length is signed with it: send exactly as many bytes.
    A part that is sent again replaces what was there.
    """
    door, upload = request.app[DOOR], await _found(request)
    number = int(request.match_info["number"])
    url = await direct.sign(request, door, upload, number)
    address = PartAddress(
        url=url,
        number=number,
        size=direct.sizes(direct.size_of(upload))[number - 1],
        expires_at=rfc3339(door.clock() + direct.PART_SECONDS * 1000),
    )
    return json_reply(address, headers=_SECRET)


async def list_parts(request: web.Request) -> web.StreamResponse:
    """The parts that have arrived, to go on after a break."""
    door, upload = request.app[DOOR], await _found(request)
    if upload.state != "open":
        raise Conflict("this upload is complete")
    key = locations.direct(tenant_of(request), upload.id)
    parts = await direct.s3_of(door).parts(key, upload.direct)
    items = [DirectPart(number=part.number, etag=part.etag, size=part.size) for part in parts]
    return json_reply(DirectParts(items=items))


async def complete(request: web.Request) -> web.StreamResponse:
    """All parts are there: make them a video. The answer names it, and the job that works on it.
    `parts_missing` says which parts are not there, or not whole; with the tags that the store has
    answered, `parts_differ` says which are not those that were sent.
    """
    door, tenant = request.app[DOOR], tenant_of(request)
    told = await read_json_or(request, CompleteDirectUpload())
    upload = await direct.complete(request, door, request.match_info["upload"], told)
    made = schemas.Uploaded(
        video=await show_video(door, tenant, upload.video_id),
        job=await show_job(door, tenant, upload.job_id),
    )
    headers = {str(hdrs.LOCATION): f"/v1/jobs/{upload.job_id}"}
    return json_reply(made, status=202, headers=headers)


async def give_up(request: web.Request) -> web.StreamResponse:
    """Give an upload up, with all parts that have arrived. One that is complete is only forgotten:
    its video stays.
    """
    await direct.give_up(request.app[DOOR], tenant_of(request), request.match_info["upload"])
    return web.Response(status=204)


async def _found(request: web.Request) -> Upload:
    return await direct.find(request.app[DOOR], tenant_of(request), request.match_info["upload"])


def _view(upload: Upload) -> DirectUpload:
    size, is_open = direct.size_of(upload), upload.state == "open"
    return DirectUpload(
        id=upload.id,
        name=upload.name,
        state=upload.state,
        size=size,
        part_size=direct.part_size(size),
        parts=len(direct.sizes(size)),
        created_at=rfc3339(upload.created_at),
        expires_at=rfc3339(upload.expires_at) if is_open else None,
        video=upload.video_id,
        job=upload.job_id,
    )


_CHANGING = (NotFound, Conflict, Locked)

ROUTES = (
    Route(
        method="POST",
        path=PATH,
        handler=create,
        summary="Begin an upload to the object store",
        name="create_direct_upload",
        body=NewDirectUpload,
        reply=DirectUpload,
        status=201,
        errors=(Invalid, Conflict, TooLarge, TooMany, StorageFull),
        tags=("uploads",),
        scope="write",
    ),
    Route(
        method="GET",
        path=ONE,
        handler=show,
        summary="Show an upload to the object store",
        name="get_direct_upload",
        reply=DirectUpload,
        errors=(NotFound,),
        tags=("uploads",),
        scope="write",
    ),
    Route(
        method="POST",
        path=f"{ONE}/parts/{{number:[0-9]{{1,5}}}}",
        handler=sign,
        summary="Sign the address of a part",
        name="sign_part",
        reply=PartAddress,
        errors=_CHANGING,
        tags=("uploads",),
        scope="write",
    ),
    Route(
        method="GET",
        path=f"{ONE}/parts",
        handler=list_parts,
        summary="List the parts that have arrived",
        name="list_parts",
        reply=DirectParts,
        errors=(NotFound, Conflict),
        tags=("uploads",),
        scope="write",
    ),
    Route(
        method="POST",
        path=f"{ONE}/complete",
        handler=complete,
        summary="Complete an upload to the object store",
        name="complete_direct_upload",
        body=CompleteDirectUpload,
        is_body_optional=True,
        reply=schemas.Uploaded,
        status=202,
        errors=(*_CHANGING, Invalid),
        tags=("uploads",),
        scope="write",
    ),
    Route(
        method="DELETE",
        path=ONE,
        handler=give_up,
        summary="Give an upload to the object store up",
        name="delete_direct_upload",
        status=204,
        errors=_CHANGING,
        tags=("uploads",),
        scope="write",
    ),
)
