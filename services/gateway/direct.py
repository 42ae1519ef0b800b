"""Uploads that browsers send to S3 themselves, in parts whose addresses are signed here.

The parts become the only piece of an upload (:mod:`shared.store.uploads`), so that from there on it
is one like all others: it expires, is verified and becomes a video by the same ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from aiohttp import web

from services.gateway.admission import place_in_line
from services.gateway.arrivals import PROMISED_SECONDS, completion, promised
from services.gateway.arrivals import complete as arrived
from services.gateway.auth import tenant_of
from services.gateway.direct_schemas import CompleteDirectUpload, NewDirectUpload, PartTag
from services.gateway.door import Door
from services.gateway.idempotency import attempt_of
from services.gateway.names import video_name
from services.gateway.uploads import check_length
from shared.blobs import locations
from shared.blobs.remote import part_bytes
from shared.blobs.s3_calls import Part, S3Calls
from shared.errors import Conflict, Locked, NotFound
from shared.ids import is_id
from shared.store.uploads import ABANDONED_SECONDS, Hold, Piece, Upload
from shared.tenancy import TenantId, tenant_id

PART_SECONDS: Final = 3600
"""How long the address of a part is good."""
_USUAL_PART: Final = 16 * 1024 * 1024
_SHOWN: Final = 5


def s3_of(door: Door) -> S3Calls:
    """What S3 can do; :class:`Conflict` where the bytes are elsewhere."""
    if door.blobs.s3 is None:
        raise Conflict(
            "the bytes of this Reelway are not on S3", code="not_on_s3", hint="use /v1/uploads/"
        )
    return door.blobs.s3


def size_of(upload: Upload) -> int:
    """How many bytes it has, which is told when it begins."""
    assert upload.length is not None
    return upload.length


def part_size(size: int) -> int:
    """How many bytes each part of an upload has, but for the last one."""
    return max(_USUAL_PART, part_bytes(size))


def sizes(size: int) -> list[int]:
    """How many bytes each part has, in their order."""
    step = part_size(size)
    return [min(step, size - start) for start in range(0, size, step)]


async def find(door: Door, tenant: TenantId, upload_id: str) -> Upload:
    """The upload; :class:`NotFound` for any other id, also another tenant's."""
    if not is_id(upload_id):
        raise NotFound("there is no such upload")
    return await door.uploads.get(tenant, upload_id, direct=True)


async def begin(request: web.Request, door: Door, new: NewDirectUpload) -> Upload:
    """A new upload, or the one that an earlier request of the same Idempotency-Key has begun."""
    s3, tenant, attempt = s3_of(door), tenant_of(request), attempt_of(request)
    name, upload_id = video_name(new.name), attempt.id("upload")
    with suppress(NotFound):
        return await find(door, tenant, upload_id)
    check_length(door, new.size)
    async with place_in_line(request, attempt.id("job")):
        key = locations.direct(tenant, upload_id)
        promise = door.promise(tenant, upload_id, PROMISED_SECONDS)
        async with promise.beginning(new.size):
            upload = Upload(
                id=upload_id,
                tenant=tenant,
                name=name,
                video_id=attempt.id("video"),
                job_id=attempt.id("job"),
                direct=await s3.begin(key),
                length=new.size,
            )
            if not await door.uploads.create(upload):
                await s3.give_up(key, upload.direct)
    return await find(door, tenant, upload_id)


async def sign(request: web.Request, door: Door, upload: Upload, number: int) -> str:
    """Where a part may be sent."""
    s3, tenant, known = s3_of(door), tenant_of(request), sizes(size_of(upload))
    if not 1 <= number <= len(known):
        raise NotFound(f"this upload has parts 1 to {len(known)}")
    if upload.state != "open":
        raise Conflict("this upload is complete")
    if upload.expires_at - door.clock() < ABANDONED_SECONDS * 1000 / 2:
        await _live_on(request, door, upload)
    key, part = locations.direct(tenant, upload.id), (number, known[number - 1])
    return await s3.part_address(key, upload.direct, part, PART_SECONDS)


async def _live_on(request: web.Request, door: Door, upload: Upload) -> None:
    """Whoever still sends parts has not abandoned it."""
    tenant = tenant_id(upload.tenant)
    with suppress(Locked):  # then somebody completes it
        async with door.uploads.held(tenant, upload.id) as hold:
            await promised(door, upload).expect(0, upload.length)
            await hold.add(0, [], completion(request, upload, upload.length))


async def complete(
    request: web.Request, door: Door, upload_id: str, told: CompleteDirectUpload
) -> Upload:
    """Make the parts a blob and have it taken in; done before, it is not done again."""
    tenant = tenant_of(request)
    await find(door, tenant, upload_id)
    async with door.uploads.held(tenant, upload_id) as hold:
        upload = await find(door, tenant, upload_id)
        if upload.state == "open":
            await _finish(request, door, hold, upload, told)
    return upload


async def _finish(
    request: web.Request, door: Door, hold: Hold, upload: Upload, told: CompleteDirectUpload
) -> None:
    size, key = size_of(upload), locations.direct(tenant_id(upload.tenant), upload.id)
    await _assemble(door, key, upload, told.parts)
    found = (await door.blobs.head(key)).size
    if found != size:
        raise Conflict(f"the store has {found} bytes instead of {size}", code="wrong_length")
    await arrived(door, promised(door, upload), upload, size)
    await hold.add(0, [Piece(key, size)], completion(request, upload, size))
    door.metrics.upload_bytes.add(size, {"protocol": "direct"})


async def _assemble(door: Door, key: str, upload: Upload, told: Sequence[PartTag]) -> None:
    """Have the store make the parts one blob, unless a request that died afterwards has."""
    s3 = s3_of(door)
    try:
        parts = await s3.parts(key, upload.direct)
        check(parts, sizes(size_of(upload)), told)
        await s3.finish(key, upload.direct, [(part.number, part.etag) for part in parts])
    except NotFound:
        if not await door.blobs.exists(key):
            raise Conflict(
                "the store has let this upload go", code="upload_gone", hint="begin another one"
            ) from None


def check(parts: Sequence[Part], wanted: Sequence[int], told: Sequence[PartTag]) -> None:
    """Raise :class:`Conflict` unless every part is here, and is what the client has sent."""
    here = {part.number: part.size for part in parts}
    expected = dict(enumerate(wanted, 1))
    if wrong := [number for number in expected if here.get(number) != expected[number]]:
        raise Conflict(
            f"{len(wrong)} of {len(expected)} parts are missing or not whole: {_few(wrong)}",
            code="parts_missing",
            hint="send them again",
        )
    tags = {part.number: part.etag.strip('"') for part in parts}
    if other := [each.number for each in told if tags.get(each.number) != each.etag.strip('"')]:
        raise Conflict(f"the store has other bytes in parts {_few(other)}", code="parts_differ")


def _few(numbers: Sequence[int]) -> str:
    more = ", …" if len(numbers) > _SHOWN else ""
    return ", ".join(str(number) for number in numbers[:_SHOWN]) + more


async def give_up(door: Door, tenant: TenantId, upload_id: str) -> None:
    """Remove an upload with its parts; one that is complete is only forgotten."""
    await find(door, tenant, upload_id)
    async with door.uploads.held(tenant, upload_id) as hold:
        upload = await find(door, tenant, upload_id)
        if upload.state == "open":
            with suppress(NotFound):
                await s3_of(door).give_up(locations.direct(tenant, upload_id), upload.direct)
            await door.blobs.clear(locations.pieces(tenant, upload_id))
            await promised(door, upload).give_back()
        await hold.remove()
