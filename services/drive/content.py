"""What a file's bytes are: their kind and their hash, and writing down that they are stored."""

from __future__ import annotations

import asyncio
import hashlib

from services.drive.model import HEAD, REFUSALS, sniff
from shared.blobs.remote import AHEAD
from shared.contracts.drive import FileStored
from shared.contracts.records import File
from shared.ids import derived_id
from shared.store.keys import file_key, source_key
from shared.store.records import Change
from shared.work.context import StepContext
from shared.work.step import BadInput


async def check_type(context: StepContext, key: str, size: int) -> str:
    """The media type of a blob; :class:`BadInput` when it is no video."""
    head = b"".join([piece async for piece in context.blobs.read(key, 0, min(HEAD, size))])
    found = sniff(head)
    if found.family != "video":
        code, detail, hint = REFUSALS[found.family]
        raise BadInput(code, detail, hint=hint)
    return found.media_type


async def hash_of(context: StepContext, key: str, size: int) -> str:
    """SHA-256 of a blob, in hex, told as progress."""
    digest, done = hashlib.sha256(), 0
    async for piece in context.blobs.read(key, 0, size, AHEAD):
        await asyncio.to_thread(digest.update, piece)
        done += len(piece)
        await context.progress(done / max(1, size), "verifying the file")
    return digest.hexdigest()


def stored(context: StepContext, file: File) -> Change:
    """The change that writes a new file down, and tells of it."""
    event = FileStored(
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
    change.say(event, message_id=derived_id("stored", file.id), key=file.video_id)
    return change
