"""The step that drive contributes to a flow: taking an upload in."""

from __future__ import annotations

from contextlib import suppress

from services.drive.content import check_type, hash_of, stored
from services.drive.library.taking import take_in_place
from services.drive.pieces import Pieces
from shared.blobs import locations
from shared.clock import now_ms
from shared.contracts.records import File, StepOutput
from shared.errors import NotFound
from shared.ids import file_of
from shared.store.keys import file_key
from shared.store.records import Records
from shared.store.space import Space
from shared.work.context import StepContext, StepFunction
from shared.work.step import BadInput


def store_step(records: Records, pieces: Pieces, space: Space) -> StepFunction:
    """The step ``store``: verify and hash a file; an upload is also put into its place, a file of a
    library stays in its own.
    """

    async def store(context: StepContext) -> StepOutput:
        if "library" in context.job.params:
            file_id = str(context.job.params["file_id"])
            known = await records.get(File, file_key(context.tenant, file_id))
            return _output(known or await take_in_place(context, records))
        upload_id = str(context.job.params["upload_id"])
        file_id = file_of(upload_id)
        known = await records.get(File, file_key(context.tenant, file_id))
        if known is None:
            known = await _take_in(context, pieces, upload_id, file_id)
            await records.commit(stored(context, known))
            if not await space.has(context.tenant, file_id):  # the job has waited for very long
                await space.take(context.tenant, file_id, known.size)
        await pieces.drop(context.tenant, upload_id)
        return _output(known)

    return store


def _output(file: File) -> StepOutput:
    names = ("location", "sha256", "size", "media_type", "name")
    return StepOutput(result={"file_id": file.id} | {name: getattr(file, name) for name in names})


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
    media_type = await check_type(context, key, size)
    digest = await hash_of(context, key, size)
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
