"""Removing videos whose files are missing: only because a person says so, and knows how many."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from services.gateway import library_views as views
from services.gateway.asking import ask
from services.gateway.auth import tenant_of
from services.gateway.door import DOOR
from services.gateway.library_schemas import CleanBody, Cleaned
from shared.contracts.catalog import DeleteVideo
from shared.contracts.drive import DeleteFile
from shared.contracts.library import Folder, LibraryFile
from shared.errors import Conflict, NotFound
from shared.http.context import request_id

AT_ONCE = 100
_MOST = 0.5


async def clean(
    request: web.Request, asked: CleanBody, folder: Folder, files: Sequence[LibraryFile]
) -> Cleaned:
    """Remove what was asked for, or only say what that is."""
    longest = request.app[DOOR].clock() - asked.missing_seconds * 1000
    missing = [file for file in files if file.state == "missing"]
    matched = [file for file in missing if file.missing_since <= longest]
    some = matched[:AT_ONCE]
    if not asked.dry_run:
        present = sum(file.state == "present" for file in files)
        _check(asked, folder, len(matched), present + len(missing))
        for file in some:
            await _remove(request, file)
    return Cleaned(
        matched=len(matched),
        removed=0 if asked.dry_run else len(some),
        more=len(matched) > len(some),
        dry_run=asked.dry_run,
        items=tuple(views.file(file) for file in some),
    )


def _check(asked: CleanBody, folder: Folder, matched: int, known: int) -> None:
    """:class:`Conflict` unless this is what whoever asks has seen."""
    if folder.state != "ok":
        raise Conflict(
            f"the folder of this library is {folder.state}",
            code="library_not_well",
            hint=folder.hint,
        )
    if asked.expected != matched:
        raise Conflict(
            f"{matched} missing videos match",
            code="plan_changed",
            hint="look at a dry run, and send what it matched as `expected`",
        )
    if matched > known * _MOST and not asked.force:
        raise Conflict(
            f"these are {matched} of {known} videos of the library",
            code="too_many",
            hint='send "force": true if that is right',
        )


async def _remove(request: web.Request, file: LibraryFile) -> None:
    door, tenant = request.app[DOOR], tenant_of(request)
    try:
        await ask(request, DeleteVideo(video_id=file.video_id))
    except NotFound:  # it went before it was a video
        gone = DeleteFile(video_id=file.video_id, file_id=file.id, job_ids=(file.job_id,))
        await door.bus.send(gone, tenant=tenant, correlation=request_id(request))
