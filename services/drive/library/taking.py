"""Taking a file of a library in: verified and hashed where it lies, neither copied nor moved."""

from __future__ import annotations

import msgspec

from services.drive.content import check_type, hash_of, stored
from services.drive.library.names import name_of
from shared.blobs.library import library_location
from shared.clock import now_ms
from shared.contracts.library import LibraryFile
from shared.contracts.records import File
from shared.errors import Conflict
from shared.store.keys import library_file_key
from shared.store.records import Records, StaleFence
from shared.work.context import StepContext
from shared.work.step import Snoozed, StepFailed

_AGAIN_SECONDS = 5.0


async def take_in_place(context: StepContext, records: Records) -> File:
    """Verify a file that a scan has found, and write it down. While it is away, or not what the
    scan saw, the job waits: the next scan says what has become of it.
    """
    file_id = str(context.job.params["file_id"])
    key = library_file_key(context.tenant, file_id)
    known = await records.get(LibraryFile, key)
    if known is None:
        raise StepFailed(
            "file_forgotten",
            "this file is no longer in the index of its library",
            error_class="cancelled",
            hint="scan the library: what is in the folder is found again",
        )
    location = library_location(context.tenant, known.library, known.id)
    before = await context.blobs.head(location)
    media_type = await check_type(context, location, before.size)
    digest = await hash_of(context, location, before.size)
    await context.blobs.head(location)  # refuses what has changed while it was read
    file = File(
        id=file_id,
        video_id=context.job.subject,
        name=name_of(known.path),
        size=before.size,
        sha256=digest,
        media_type=media_type,
        location=location,
        created_at=now_ms(),
    )
    await _record(context, records, known, file)
    return file


async def _record(context: StepContext, records: Records, known: LibraryFile, file: File) -> None:
    key = library_file_key(context.tenant, known.id)
    verified = msgspec.structs.replace(
        known, sha256=file.sha256, version=known.version + 1, updated_at=now_ms()
    )
    change = stored(context, file).expect(key, known.version).put(key, verified)
    try:
        await records.commit(change)
    except StaleFence:
        raise
    except Conflict as error:
        detail = "a scan has just seen this file differently"
        raise Snoozed("file_changed", detail, seconds=_AGAIN_SECONDS) from error
