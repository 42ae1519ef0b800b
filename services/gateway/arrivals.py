"""Beginning resumable uploads, and taking in what a request brings of one."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from services.gateway import tus
from services.gateway.admission import place_in_line
from services.gateway.auth import tenant_of
from services.gateway.door import Door
from services.gateway.idempotency import attempt_of
from services.gateway.names import video_name
from services.gateway.pieces import Arrival
from services.gateway.room import Promise
from services.gateway.uploads import check_length, keep_accepted
from shared.contracts.drive import CompleteUpload
from shared.contracts.records import Accepted
from shared.errors import Conflict, Invalid, Rejected, TooLarge
from shared.http.bodies import stream_body
from shared.http.context import request_id
from shared.http.sse import STREAMS
from shared.ids import file_of
from shared.store.records import Change
from shared.store.uploads import ABANDONED_SECONDS, Hold, Upload
from shared.tenancy import tenant_id

PROMISED_SECONDS = ABANDONED_SECONDS + 3600
"""Whoever removes abandoned uploads may come an hour late."""


def new_upload(request: web.Request, length: int | None) -> Upload:
    """What an upload is by the headers that begin it."""
    told, attempt = tus.metadata_of(request.headers), attempt_of(request)
    return Upload(
        id=attempt.id("upload"),
        tenant=tenant_of(request),
        name=video_name(told.get("filename") or told.get("name") or ""),
        video_id=attempt.id("video"),
        job_id=attempt.id("job"),
        metadata=request.headers.get(tus.METADATA, ""),
        concat=request.headers.get(tus.CONCAT, ""),
        length=length,
    )


async def joined(request: web.Request, door: Door, parts: tuple[str, ...]) -> Upload:
    """A new upload that consists of others, which are used up by it."""
    tenant = tenant_of(request)
    if request.body_exists or tus.UPLOAD_LENGTH in request.headers:
        raise Invalid("an upload that consists of others has neither bytes nor a length of its own")
    found = [await door.uploads.get(tenant, part) for part in parts]
    length = sum(part.offset for part in found)
    check_length(door, length)
    upload = new_upload(request, length)
    promise = promised(door, upload)
    async with place_in_line(request, upload.job_id):
        await complete(door, promise, upload, length)
        try:
            await door.uploads.join(upload, parts, completion(request, upload, length))
        except Rejected:
            await promise.give_back()
            raise
    await door.space.give(tenant, *map(file_of, parts))
    return upload


def promised(door: Door, upload: Upload) -> Promise:
    """The bytes of an upload, which are promised to it for as long as it lives."""
    return door.promise(tenant_id(upload.tenant), upload.id, PROMISED_SECONDS)


async def receive(request: web.Request, door: Door, hold: Hold, upload: Upload) -> None:
    """Take what the request brings; say that the upload is complete if it then is."""
    length, limit = _lengths(request, door, upload)
    promise = promised(door, upload)
    await promise.expect(upload.offset, length)  # before the client is told to go on
    arrival = Arrival(
        upload=upload,
        hold=hold,
        blobs=door.blobs,
        said=completion(request, upload, length),
        expecting=lambda arrived: promise.expect_more(arrived, length),
        completing=partial(complete, door, promise, upload, length),
        leaving=request.app[STREAMS].ending,
        length=length,
        checksum=tus.checksum_of(request.headers),
    )
    try:
        patience = door.settings.read_seconds
        await arrival.take(stream_body(request, limit=limit, read_timeout=patience))
    finally:
        door.metrics.upload_bytes.add(arrival.received, {"protocol": "tus"})


def _lengths(request: web.Request, door: Door, upload: Upload) -> tuple[int | None, int]:
    """How long the upload is, as far as is known, and how many bytes it may still get."""
    told = tus.number(request.headers, tus.UPLOAD_LENGTH)
    if told is not None and upload.length not in {None, told}:
        raise Conflict(f"the upload has {upload.length} bytes, not {told}", code="wrong_length")
    length = upload.length if upload.length is not None else told
    most = door.settings.max_upload_bytes
    if length is not None and length > most:
        raise TooLarge(f"{length} bytes are more than the {most} allowed")
    if length is not None and length < upload.offset:
        raise Conflict(f"{upload.offset} bytes are here already", code="wrong_length")
    return length, (most if length is None else length) - upload.offset


async def complete(door: Door, promise: Promise, upload: Upload, length: int | None) -> None:
    """The last bytes are here: they stay, and somebody waits for what becomes of them. A part waits
    for the others.
    """
    if upload.concat != tus.PARTIAL:
        await stand_in(door, upload, length)
        await promise.keep(length or 0)


async def stand_in(door: Door, upload: Upload, length: int | None) -> None:
    """Until drive has taken a complete upload, this stands in for its video and its job."""
    accepted = Accepted(
        video_id=upload.video_id,
        job_id=upload.job_id,
        name=upload.name,
        size=length or 0,
        accepted_at=door.clock(),
    )
    await keep_accepted(door, tenant_id(upload.tenant), accepted)


def completion(request: web.Request, upload: Upload, length: int | None) -> Change:
    """What is to be said once the upload is complete."""
    command = CompleteUpload(
        upload_id=upload.id,
        video_id=upload.video_id,
        job_id=upload.job_id,
        name=upload.name,
        size=length or 0,
    )
    change = Change(tenant_of(request), correlation=request_id(request))
    return change.say(command, message_id=upload.id, key=upload.video_id)
