"""Taking the bytes of a video in one request, straight into the blob store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from aiohttp import web

from services.gateway import job_views, schemas, views
from services.gateway.admission import place_in_line
from services.gateway.door import Door
from services.gateway.idempotency import attempt_of
from services.gateway.names import video_name
from services.gateway.room import Promise
from services.gateway.schemas import UploadName
from shared.blobs import locations
from shared.bus.transport import Disconnected, Full, Unroutable
from shared.contracts.drive import CompleteUpload
from shared.contracts.records import Accepted
from shared.errors import Invalid, TooLarge
from shared.http.bodies import read_query, stream_body
from shared.http.context import request_id
from shared.http.multipart import first_file
from shared.store.keys import accepted_key
from shared.store.records import Change
from shared.tenancy import TenantId

ACCEPTED_SECONDS = 3600
PROMISED_SECONDS = 3600
"""Room for an upload that nothing comes of comes back after that."""
FORM = "multipart/form-data"


async def receive(request: web.Request, door: Door, tenant: TenantId) -> Accepted:
    """Store the request's file and hand it on; what breaks off on the way leaves nothing.

    Where an earlier request of the same key has stored the file, it is only handed on, under the
    same ids and without a look at the body: whether drive had been told is not known.
    """
    attempt = attempt_of(request)
    upload_id = attempt.id("upload")
    if attempt.receipt:
        accepted = msgspec.json.decode(attempt.receipt, type=Accepted)
        await _hand_on(request, door, tenant, upload_id, accepted)
        return accepted
    given = video_name(read_query(request, UploadName).name)
    if request.content_length == 0:
        raise Invalid("the file has no bytes", code="empty_file", hint="send the video as body")
    check_length(door, request.content_length)
    await door.room.check()
    promise = door.promise(tenant, upload_id, PROMISED_SECONDS)
    job_id = attempt.id("job")
    async with place_in_line(request, job_id):
        accepted = await _store(request, door, promise, given, job_id)
        await attempt.keep(msgspec.json.encode(accepted))
        await promise.keep(accepted.size)
        try:
            await _hand_on(request, door, tenant, upload_id, accepted)
        except (Disconnected, Unroutable, Full):  # certainly not told: the file is let go again
            await attempt.keep(b"")
            await door.blobs.delete(locations.incoming(tenant, upload_id))
            await promise.give_back()
            raise
    return accepted


def uploaded(accepted: Accepted) -> schemas.Uploaded:
    """What an upload has become, as it is shown."""
    return schemas.Uploaded(
        video=views.accepted_video(accepted, None), job=job_views.accepted_job(accepted)
    )


async def _store(
    request: web.Request, door: Door, promise: Promise, given: str, job_id: str
) -> Accepted:
    """Put the request's file where it arrives; answers what it will be."""
    counted = _Counted(promise, request.content_length)
    async with promise.beginning(request.content_length):
        name, chunks = await _content(request, door, given)
        at_most = request.content_length or door.settings.max_upload_bytes
        key = locations.incoming(promise.tenant, promise.upload_id)
        await door.blobs.put(key, counted.chunks(chunks), at_most)
        await _refuse_nothing(door, key, counted.size)
    door.metrics.upload_bytes.add(counted.size, {"protocol": "single"})
    return Accepted(
        video_id=attempt_of(request).id("video"),
        job_id=job_id,
        name=name,
        size=counted.size,
        accepted_at=door.clock(),
    )


async def _refuse_nothing(door: Door, key: str, size: int) -> None:
    if not size:
        await door.blobs.delete(key)
        raise Invalid("the file has no bytes", code="empty_file", hint="send the video as body")


def check_length(door: Door, declared: int | None) -> None:
    """Refuse before the first byte is read what is too long anyway."""
    limit = door.settings.max_upload_bytes
    if declared is not None and declared > limit:
        raise TooLarge(f"{declared} bytes are more than the {limit} allowed")


async def _content(
    request: web.Request, door: Door, given: str
) -> tuple[str, AsyncIterator[bytes]]:
    """The name and the bytes, from a form or from the bare body."""
    limit, patience = door.settings.max_upload_bytes, door.settings.read_seconds
    if request.content_type == FORM:
        part = await first_file(request, limit=limit, read_timeout=patience)
        name = given if "name" in request.query else video_name(part.filename)
        return name, part.chunks
    return given, stream_body(request, limit=limit, read_timeout=patience)


class _Counted:
    """Chunks on their way, how many bytes they were, and room for those that follow."""

    def __init__(self, promise: Promise, length: int | None) -> None:
        self.size = 0
        self._promise = promise
        self._length = length

    async def chunks(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same chunks."""
        async for chunk in chunks:
            self.size += len(chunk)
            await self._promise.expect_more(self.size, self._length)
            yield chunk


async def keep_accepted(door: Door, tenant: TenantId, accepted: Accepted) -> None:
    """What is answered for until its owners have written it."""
    change = Change(tenant)
    for any_id in (accepted.video_id, accepted.job_id):
        change.put(accepted_key(tenant, any_id), accepted, ACCEPTED_SECONDS)
    await door.records.commit(change)


async def _hand_on(
    request: web.Request, door: Door, tenant: TenantId, upload_id: str, accepted: Accepted
) -> None:
    """Tell drive that all bytes are here; it may be told again."""
    await keep_accepted(door, tenant, accepted)
    command = CompleteUpload(
        upload_id=upload_id,
        video_id=accepted.video_id,
        job_id=accepted.job_id,
        name=accepted.name,
        size=accepted.size,
    )
    await door.bus.send(command, tenant=tenant, correlation=request_id(request), id=upload_id)
