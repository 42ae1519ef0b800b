"""What becomes of a library's file when its video is deleted, or turns out to be none. The file
itself stays as it is, whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from shared.contracts.library import LibraryFile
from shared.contracts.records import Job, Video
from shared.errors import Conflict, Later
from shared.store.keys import library_file_key, library_files_index, video_key
from shared.store.records import Change, Records
from shared.tenancy import tenant_id

_TRIES = 5
_Edit = Callable[[LibraryFile], LibraryFile | None]


async def let_go(records: Records, file_id: str, new_change: Callable[[], Change]) -> None:
    """Commit a change that forgets a file. If it is one of a library, scans pass it over from now
    on; one that is missing is forgotten altogether, and would be new if it came back.
    """

    def ignored(file: LibraryFile) -> LibraryFile | None:
        if file.state == "missing":
            return None
        state = "refused" if file.state == "refused" else "ignored"
        return msgspec.structs.replace(file, state=state, sha256="")

    await _change(records, file_id, new_change, ignored)


async def refuse(records: Records, job: Job, new_change: Callable[[], Change]) -> None:
    """Remember why a file of a library is no video, so that it is not tried again and again."""
    file_id, error = str(job.params.get("file_id", "")), job.error
    is_refused = error is not None and error.error_class == "bad_input"
    if "library" not in job.params or job.state != "failed" or not is_refused:
        return
    video = await records.get(Video, video_key(tenant_id(job.tenant), job.subject))
    if error is None or (video is not None and video.media is not None):
        return  # it was one once, and stays

    def refused(file: LibraryFile) -> LibraryFile | None:
        return msgspec.structs.replace(file, state="refused", reason=error.code)

    await _change(records, file_id, new_change, refused)


async def _change(
    records: Records, file_id: str, new_change: Callable[[], Change], edit: _Edit
) -> None:
    """Commit, with what this means for the library's record; again when a scan came in between."""
    for _ in range(_TRIES):
        change = new_change()
        await _add(records, change, file_id, edit)
        try:
            await records.commit(change)
        except Conflict:
            continue
        return
    raise Later(1.0, "the library is being scanned")


async def _add(records: Records, change: Change, file_id: str, edit: _Edit) -> None:
    tenant = tenant_id(change.tenant)
    key = library_file_key(tenant, file_id)
    file = await records.get(LibraryFile, key)
    if file is None:
        return
    change.expect(key, file.version)
    after = edit(file)
    if after is None:
        change.delete(key).unindex(library_files_index(tenant, file.library), file.id)
        return
    change.put(key, msgspec.structs.replace(after, version=file.version + 1))
