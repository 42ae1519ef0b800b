"""Uploads that go on where they broke off: tus 1.0.0 with all extensions but trailers."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import hdrs, web

from services.gateway import tus
from services.gateway.admission import place_in_line
from services.gateway.arrivals import joined, new_upload, promised, receive
from services.gateway.auth import tenant_of
from services.gateway.door import DOOR
from services.gateway.upload_schemas import Upload as UploadView
from services.gateway.uploads import check_length
from shared.blobs import locations
from shared.clock import rfc3339
from shared.errors import (
    Conflict,
    Forbidden,
    Invalid,
    Locked,
    NotFound,
    StorageFull,
    TooLarge,
    UnsupportedMedia,
)
from shared.http.bodies import json_reply
from shared.http.errors import PreconditionFailed
from shared.http.fields import http_date
from shared.http.routes import BINARY, Route
from shared.ids import is_id
from shared.store.uploads import Upload, WrongOffset

UPLOAD = f"{tus.PATH}{{upload}}"


async def describe(request: web.Request) -> web.StreamResponse:
    """What of the protocol is spoken here."""
    headers = {
        "Tus-Version": tus.VERSION,
        "Tus-Extension": ",".join(tus.EXTENSIONS),
        "Tus-Max-Size": str(request.app[DOOR].settings.max_upload_bytes),
        "Tus-Checksum-Algorithm": ",".join(tus.HASHES),
    }
    return web.Response(status=204, headers=headers)


async def create(request: web.Request) -> web.StreamResponse:
    """Begin an upload: `Upload-Length` says how long it will be, `Upload-Metadata` its `filename`.
    Send its bytes with PATCH to `Location`, or the first of them at once.

    With `Upload-Concat: partial` it is a part of a later one, which is made of its parts with
    `Upload-Concat: final;` and their addresses. After 24 hours without a byte it ends.
    """
    tus.check_version(request.headers)
    door, tenant = request.app[DOOR], tenant_of(request)
    parts = tus.parts_of(request.headers)
    if parts is not None:
        upload = await joined(request, door, parts)
        return web.Response(status=201, headers=_address(upload))
    upload = new_upload(request, tus.length_of(request.headers))
    if request.body_exists:
        tus.check_type(request.content_type)
    check_length(door, upload.length)
    await door.room.check()
    room = promised(door, upload).beginning(upload.length)
    async with place_in_line(request, upload.job_id), room:
        await door.uploads.create(upload)
    if request.body_exists or upload.length == 0:
        async with door.uploads.held(tenant, upload.id) as hold:
            upload = await door.uploads.get(tenant, upload.id)
            if not upload.offset:  # else it was begun before, under the same Idempotency-Key
                await receive(request, door, hold, upload)
    shown = await door.uploads.get(tenant, upload.id)
    return web.Response(status=201, headers=_address(upload) | _state(shown))


async def send(request: web.Request) -> web.StreamResponse:
    """Send the bytes from `Upload-Offset` on, as many as you like. What has arrived when it breaks
    off is kept; ask for the new offset with HEAD and go on from there. With `Upload-Checksum` the
    bytes of this request are kept only if they add up to it.

    While another request sends to the same upload, that one is asked to stop.
    """
    tus.check_version(request.headers)
    tus.check_type(request.content_type)
    door, tenant, offset = request.app[DOOR], tenant_of(request), _offset(request)
    upload_id = _named(request)
    async with door.uploads.held(tenant, upload_id) as hold:
        upload = await door.uploads.get(tenant, upload_id)
        if upload.concat.startswith("final"):
            raise Forbidden("this upload consists of others: nothing can be sent to it")
        if upload.offset != offset:
            raise WrongOffset(f"the upload is at {upload.offset}, not at {offset}")
        await receive(request, door, hold, upload)
    return web.Response(status=204, headers=_state(await door.uploads.get(tenant, upload_id)))


async def show(request: web.Request) -> web.StreamResponse:
    """How far an upload is. With HEAD the protocol's own headers say it, and a request that still
    sends to it is asked to stop, so that the offset is one to go on from.
    """
    door, tenant, upload_id = request.app[DOOR], tenant_of(request), _named(request)
    if request.method != hdrs.METH_HEAD and _override(request) != hdrs.METH_HEAD:
        return json_reply(_view(await door.uploads.get(tenant, upload_id)))
    tus.check_version(request.headers)
    async with door.uploads.held(tenant, upload_id):
        upload = await door.uploads.get(tenant, upload_id)
    headers = _state(upload) | {str(hdrs.CACHE_CONTROL): "no-store"}
    return web.Response(status=200, headers=headers)


async def terminate(request: web.Request) -> web.StreamResponse:
    """Give an upload up, with all that has arrived of it. One that is complete is only forgotten:
    its video stays.
    """
    tus.check_version(request.headers)
    door, tenant, upload_id = request.app[DOOR], tenant_of(request), _named(request)
    async with door.uploads.held(tenant, upload_id) as hold:
        upload = await door.uploads.get(tenant, upload_id)
        if upload.state == "open" or upload.concat == tus.PARTIAL:
            await door.blobs.clear(locations.pieces(tenant, upload_id))
            await promised(door, upload).give_back()
        await hold.remove()
    return web.Response(status=204)


async def override(request: web.Request) -> web.StreamResponse:
    """For clients that can only GET and POST: `X-HTTP-Method-Override` names the method."""
    handlers = {"PATCH": send, "DELETE": terminate, "HEAD": show}
    wanted = _override(request)
    if wanted not in handlers:
        allowed = [hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_PATCH, hdrs.METH_DELETE]
        raise web.HTTPMethodNotAllowed(request.method, allowed)
    return await handlers[wanted](request)


def _override(request: web.Request) -> str:
    return request.headers.get(tus.OVERRIDE, "").upper() if request.method == "POST" else ""


def _named(request: web.Request) -> str:
    upload_id = request.match_info["upload"]
    if not is_id(upload_id):
        raise NotFound("there is no such upload")
    return upload_id


def _offset(request: web.Request) -> int:
    offset = tus.number(request.headers, tus.UPLOAD_OFFSET)
    if offset is None:
        raise Invalid(f"{tus.UPLOAD_OFFSET} is missing")
    return offset


def _address(upload: Upload) -> dict[str, str]:
    return {str(hdrs.LOCATION): f"{tus.PATH}{upload.id}"}


def _state(upload: Upload) -> dict[str, str]:
    """The headers that say how far an upload is."""
    headers = {tus.UPLOAD_OFFSET: str(upload.offset)}
    if upload.length is None:
        headers[tus.DEFER_LENGTH] = "1"
    else:
        headers[tus.UPLOAD_LENGTH] = str(upload.length)
    if upload.metadata:
        headers[tus.METADATA] = upload.metadata
    if upload.concat:
        headers[tus.CONCAT] = upload.concat
    if upload.state == "open":
        headers[tus.EXPIRES] = http_date(upload.expires_at / 1000)
    return headers


def _view(upload: Upload) -> UploadView:
    return UploadView(
        id=upload.id,
        name=upload.name,
        state=upload.state,
        offset=upload.offset,
        length=upload.length,
        created_at=rfc3339(upload.created_at),
        expires_at=rfc3339(upload.expires_at) if upload.state == "open" else None,
        video=upload.video_id,
        job=upload.job_id,
    )


async def dress(request: web.Request, response: web.StreamResponse) -> None:
    """The signal that has every answer about uploads name the protocol's version, errors too."""
    if not request.path.startswith(tus.PATH) or request.method == hdrs.METH_OPTIONS:
        return
    response.headers[tus.RESUMABLE] = tus.VERSION
    if response.status == HTTPStatus.PRECONDITION_FAILED:
        response.headers["Tus-Version"] = tus.VERSION


_RESUMABLE = {tus.RESUMABLE: f"The protocol's version, {tus.VERSION}."}
_SENDING = {
    **_RESUMABLE,
    tus.UPLOAD_LENGTH: "How many bytes the whole has.",
    tus.CHECKSUM: "`sha1` or `sha256`, and the digest of this request's bytes in Base64.",
    tus.UPLOAD_OFFSET: "Where the bytes of this request begin.",
}
_ERRORS = (Invalid, NotFound, Conflict, PreconditionFailed, Locked)
_BYTES = (TooLarge, UnsupportedMedia, StorageFull, tus.ChecksumMismatch)

ROUTES = (
    Route(
        method="OPTIONS",
        path=tus.PATH,
        handler=describe,
        summary="What resumable uploads can do",
        name="describe_uploads",
        status=204,
        tags=("uploads",),
        scope=None,
    ),
    Route(
        method="POST",
        path=tus.PATH,
        handler=create,
        summary="Begin a resumable upload",
        name="create_upload",
        body=BINARY,
        is_body_optional=True,
        body_media=(tus.OFFSET_STREAM,),
        headers={
            **_SENDING,
            tus.DEFER_LENGTH: "1 where the length will be told later.",
            tus.METADATA: "Names and Base64 values; `filename` is shown.",
            tus.CONCAT: "`partial`, or `final;` and the addresses of the parts.",
        },
        status=201,
        errors=(*_ERRORS, *_BYTES),
        tags=("uploads",),
        scope="write",
    ),
    Route(
        method="GET",
        path=UPLOAD,
        handler=show,
        summary="Show a resumable upload",
        name="get_upload",
        reply=UploadView,
        headers=_RESUMABLE,
        errors=(NotFound, PreconditionFailed, Locked),
        tags=("uploads",),
        scope="write",
    ),
    Route(
        method="PATCH",
        path=UPLOAD,
        handler=send,
        summary="Send bytes of a resumable upload",
        name="send_upload",
        body=BINARY,
        body_media=(tus.OFFSET_STREAM,),
        headers=_SENDING,
        status=204,
        errors=(*_ERRORS, *_BYTES, Forbidden),
        tags=("uploads",),
        scope="write",
    ),
    Route(
        method="POST",
        path=UPLOAD,
        handler=override,
        summary="Send bytes, for clients without PATCH",
        name="override_upload",
        body=BINARY,
        is_body_optional=True,
        body_media=(tus.OFFSET_STREAM,),
        headers={**_SENDING, tus.OVERRIDE: "PATCH, HEAD or DELETE."},
        status=204,
        errors=(*_ERRORS, *_BYTES, Forbidden),
        tags=("uploads",),
        scope="write",
    ),
    Route(
        method="DELETE",
        path=UPLOAD,
        handler=terminate,
        summary="Give a resumable upload up",
        name="delete_upload",
        headers=_RESUMABLE,
        status=204,
        errors=(NotFound, PreconditionFailed, Locked),
        tags=("uploads",),
        scope="write",
    ),
)
