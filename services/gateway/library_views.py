"""Libraries as the HTTP interface shows them. Pure."""

from __future__ import annotations

import msgspec

from services.gateway import library_schemas as schemas
from shared.clock import rfc3339
from shared.contracts import library


def folder(found: library.Folder) -> schemas.Library:
    """A folder as it is now."""
    return schemas.Library(
        id=found.id,
        name=found.name,
        state=found.state,
        hint=found.hint or None,
        files=found.files,
        scan_job=found.scan_job or None,
        scanned_at=rfc3339(found.scanned_at) if found.scanned_at else None,
        plan=plan(found.plan) if found.plan else None,
    )


def plan(found: library.ScanPlan) -> schemas.Plan:
    """What a scan did."""
    return schemas.Plan(**msgspec.structs.asdict(found))


def file(found: library.LibraryFile) -> schemas.LibraryFile:
    """One file."""
    return schemas.LibraryFile(
        id=found.id,
        path=found.path,
        state=found.state,
        reason=found.reason or None,
        size=found.look.size,
        sha256=found.sha256 or None,
        video=found.video_id,
        job=found.job_id,
        missing_since=rfc3339(found.missing_since) if found.missing_since else None,
        created_at=rfc3339(found.created_at),
        updated_at=rfc3339(found.updated_at),
    )
