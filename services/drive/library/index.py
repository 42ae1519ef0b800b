"""The index of a library: all that is known of its files, and the changes that a plan makes in it.

Each change is guarded by the versions of the records that it was planned from, and by the fence of
the scan: of two who scan at a time, only one can write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from services.drive.library.fingerprint import is_same
from services.drive.library.names import name_of
from services.drive.library.planning import Act
from shared.contracts.jobs import SubmitJob
from shared.contracts.library import FileRenamed, LibraryFile, Look
from shared.contracts.records import File
from shared.errors import Conflict
from shared.ids import derived_id, derived_id_at
from shared.store.keys import file_key, library_file_key, library_files_index
from shared.store.records import Change, Records, StaleFence
from shared.tenancy import TenantId
from shared.work.context import StepContext

_PAGE = 1000
AT_ONCE = 50
"""How many changes are one commit."""


async def all_files(records: Records, tenant: TenantId, library: str) -> list[LibraryFile]:
    """Every record of a library."""
    index, found, last = library_files_index(tenant, library), list[LibraryFile](), ""
    while ids := await records.page(index, last, _PAGE):
        keys = [library_file_key(tenant, each) for each in ids]
        found += await records.get_many(LibraryFile, keys)
        last = ids[-1]
    return found


@dataclass(frozen=True, slots=True)
class Index:
    """Changes the index of one library on behalf of one scan, at ``now``."""

    records: Records
    context: StepContext
    library: str
    now: int

    async def apply(self, acts: Sequence[Act]) -> int:
        """Make these changes together; where somebody else has changed one of the records since,
        all that still fit, one by one. Answers how many were left out: the next scan sees them.
        """
        try:
            await self._commit(acts)
        except StaleFence:
            raise
        except Conflict:
            if len(acts) == 1:
                return 1
            return sum([await self.apply([act]) for act in acts])
        return 0

    async def _commit(self, acts: Sequence[Act]) -> None:
        change = self.context.change()
        for act in acts:
            await self._add(change, act)
        if change.plan.keys() - {"fence"}:
            await self.records.commit(change)

    async def _add(self, change: Change, act: Act) -> None:
        tenant, before = self.context.tenant, act.before
        if before is not None:
            change.expect(library_file_key(tenant, before.id), before.version)
        if act.kind == "forgotten" and before is not None:
            change.delete(library_file_key(tenant, before.id))
            change.unindex(library_files_index(tenant, self.library), before.id)
            return
        after = self._after(act)
        if after == before:
            return
        if act.kind == "new":
            _ask_for_job(change, after)
        elif before is not None and before.path != after.path:
            await self._rename(change, before, after)
        change.put(library_file_key(tenant, after.id), after)
        change.index(library_files_index(tenant, self.library), after.id)

    def _after(self, act: Act) -> LibraryFile:
        """The record as it is after the change; the same when nothing is to be written."""
        before = act.before or self._fresh(act)
        changed = msgspec.structs.replace(before, **_fields(act, before, self.now))
        if changed == act.before:
            return changed
        version = before.version + 1 if act.before else 1
        return msgspec.structs.replace(changed, version=version, updated_at=self.now)

    def _fresh(self, act: Act) -> LibraryFile:
        """A record of a file that is new; its ids are the same when the scan is repeated."""
        job = self.context.job
        began, seed = job.opened_at, (job.id, str(job.epoch), act.path)
        assert act.look
        return LibraryFile(
            id=derived_id_at(began, "library-file", *seed),
            library=self.library,
            video_id=derived_id_at(began, "library-video", *seed),
            job_id=derived_id_at(began, "library-job", *seed),
            path=act.path,
            look=msgspec.structs.replace(act.look, at=self.now),
            state="waiting",
            created_at=self.now,
            updated_at=self.now,
            version=0,
        )

    async def _rename(self, change: Change, before: LibraryFile, after: LibraryFile) -> None:
        """The video has the name of its file, unless somebody gave it another."""
        was, name = name_of(before.path), name_of(after.path)
        key = file_key(self.context.tenant, after.id)
        file = await self.records.get(File, key) if was != name else None
        if file is None:
            return
        change.put(key, msgspec.structs.replace(file, name=name))
        event = FileRenamed(file_id=file.id, video_id=file.video_id, was=was, name=name)
        told = derived_id("renamed", file.id, str(after.version))
        change.say(event, message_id=told, key=file.video_id)


def _fields(act: Act, before: LibraryFile, now: int) -> dict[str, object]:
    """What an act changes in a record."""
    look = act.look
    match act.kind:
        case "new":
            return _content(act) | {"state": "present"}
        case "moved" | "returned":
            state = "present" if before.state == "missing" else before.state
            return _content(act) | {"path": act.path, "state": state, "missing_since": 0}
        case "touched" | "changed":
            return _content(act)
        case "missing":
            return {"state": "missing", "missing_since": now, "reason": act.reason, "pending": None}
        case "changing" | "unreadable":
            return {"pending": _since(look, before.pending, now)}
        case _:
            return {"look": _since(look, before.look, now), "reason": act.reason}


def _content(act: Act) -> dict[str, object]:
    return {"look": act.look, "fingerprint": act.fingerprint, "pending": None, "reason": ""}


def _since(look: Look | None, before: Look | None, now: int) -> Look | None:
    """A look with the time since when the file looks like that."""
    if look is not None and before is not None and is_same(look, before):
        return before
    return look and msgspec.structs.replace(look, at=now)


def _ask_for_job(change: Change, file: LibraryFile) -> None:
    """Have the file processed like an upload, but where it lies."""
    params = {
        "library": file.library,
        "file_id": file.id,
        "name": name_of(file.path),
        "size": file.look.size,
    }
    submit = SubmitJob(
        job_id=file.job_id, flow="process_video", subject=file.video_id, params=params
    )
    told = derived_id("submit", file.job_id)
    change.say(submit, message_id=told, key=file.video_id)
