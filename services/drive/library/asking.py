"""Asking for a scan: of one folder, by a person, by its watcher or because it is time."""

from __future__ import annotations

from typing import Any

import msgspec

from services.drive.library.folders import Standing
from shared.contracts.jobs import SubmitJob
from shared.contracts.library import Library
from shared.ids import derived_id
from shared.store.keys import libraries_index, library_key
from shared.store.records import Change, Records
from shared.tenancy import tenant_id

FLOW = "scan_library"


async def ask_for_scan(
    records: Records,
    change: Change,
    standing: Standing,
    job_id: str,
    params: dict[str, Any],
    now: int,
) -> None:
    """Have a folder looked through by this job. Refuses with :class:`Conflict` when somebody else
    has asked at the same time.
    """
    key = library_key(tenant_id(change.tenant), standing.id)
    before = standing.record or Library(
        id=standing.id, place=standing.place, created_at=now, version=0
    )
    after = msgspec.structs.replace(
        before, scan_job=job_id, asked_at=now, version=before.version + 1
    )
    change.expect(key, before.version).put(key, after)
    change.index(libraries_index(tenant_id(change.tenant)), standing.id)
    submit = SubmitJob(job_id=job_id, flow=FLOW, subject=standing.id, params=params)
    change.say(submit, message_id=derived_id("submit", job_id), key=standing.id)
    await records.commit(change)
