"""The step that drive contributes to a flow: taking an upload in."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress

from services.drive.model import HEAD, REFUSALS, sniff
from services.drive.pieces import Pieces
from shared.blobs import locations
from shared.blobs.remote import AHEAD
from shared.clock import now_ms
from shared.contracts.drive import FileStored
from shared.contracts.records import File, StepOutput
from shared.errors import NotFound
from shared.ids import derived_id, file_of
from shared.store.keys import file_key, source_key
from shared.store.records import Records
from shared.store.space import Space
from shared.work.context import StepContext, StepFunction
from shared.work.step import BadInput


def store_step(records: Records, pieces: Pieces, space: Space) -> StepFunction:
    """The step ``store``: verify, hash and put an upload into its place."""

    async def store(context: StepContext) -> StepOutput:
        upload_id = str(context.job.params["upload_id"])
        file_id = file_of(upload_id)
        known = await records.get(File, file_key(context.tenant, file_id))
        if known is None:
            known = await _take_in(context, pieces, upload_id, file_id)
            await _record(context, records, known)
            if not await space.has(context.tenant, file_id):  # the job has waited for very long
                await space.take(context.tenant, file_id, known.size)
        await pieces.drop(context.tenant, upload_id)
        return StepOutput(
            result={
                "file_id": known.id,
                "location": known.location,
                "sha256": known.sha256,
                "size": known.size,
                "media_type": known.media_type,
                "name": known.name,
            }
        )

    return store


async def _take_in(context: StepContext, pieces: Pieces, upload_id: str, file_id: str) -> File:
    """Verify the bytes where they are, then move them. A crash in between finds them moved."""
    source = locations.incoming(context.tenant, upload_id)
    target = locations.original(context.tenant, file_id)
    declared = int(context.job.params["size"])
    if not declared:
        raise BadInput("empty_file", "the file has no bytes", hint="upload it again")
    found = await _find(context, source, target)
    if found is None and (joined := await pieces.join(context, upload_id, source)):
        found = await _find(context, joined)
    if found is None:
        raise BadInput(
            "upload_gone",
            "the bytes of this upload are no longer here",
            hint="upload the file again",
        )
    key, size = found
    if size != declared:
        raise BadInput(
            "incomplete_upload",
            f"{size} of {declared} bytes are here",
            hint="upload the file again",
        )
    media_type = await _check_type(context, key, size)
    digest = await _hash(context, key, size)
    if key != target:
        await context.blobs.move(key, target)
    return File(
        id=file_id,
        video_id=context.job.subject,
        name=str(context.job.params["name"]),
        size=size,
        sha256=digest,
        media_type=media_type,
        location=target,
        created_at=now_ms(),
    )


async def _find(context: StepContext, *keys: str) -> tuple[str, int] | None:
    for key in keys:
        with suppress(NotFound):
            return key, (await context.blobs.head(key)).size
    return None


async def _check_type(context: StepContext, key: str, size: int) -> str:
    head = b"".join([piece async for piece in context.blobs.read(key, 0, min(HEAD, size))])
    found = sniff(head)
    if found.family != "video":
        code, detail, hint = REFUSALS[found.family]
        raise BadInput(code, detail, hint=hint)
    return found.media_type


async def _hash(context: StepContext, key: str, size: int) -> str:
    """SHA-256 of a blob, in hex, told as progress."""
    digest, done = hashlib.sha256(), 0
    async for piece in context.blobs.read(key, 0, size, AHEAD):
        await asyncio.to_thread(digest.update, piece)
        done += len(piece)
        await context.progress(done / max(1, size), "verifying the file")
    return digest.hexdigest()


async def _record(context: StepContext, records: Records, file: File) -> None:
    stored = FileStored(
        file_id=file.id,
        video_id=file.video_id,
        job_id=context.job.id,
        name=file.name,
        size=file.size,
        sha256=file.sha256,
        media_type=file.media_type,
        location=file.location,
    )
    change = context.change().put(file_key(context.tenant, file.id), file)
    change.index(source_key(context.tenant, file.sha256), file.id)
    change.say(stored, message_id=derived_id("stored", file.id), key=file.video_id)
    await records.commit(change)
