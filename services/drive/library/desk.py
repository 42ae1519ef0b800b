"""The desk for libraries: how they are, and scans that people ask for."""

from __future__ import annotations

from dataclasses import dataclass

from services.drive.library.asking import ask_for_scan
from services.drive.library.folders import Folders, Standing
from shared.bus.router import Context, Router
from shared.clock import Clock
from shared.contracts.library import Folder, ListFolders, ScanAsked, ScanFolder
from shared.contracts.library import Folders as FolderList
from shared.errors import Conflict, Unavailable
from shared.serving import change_of
from shared.store.keys import library_files_index, tenant_key
from shared.store.records import Records, StaleFence
from shared.tenancy import TenantId

_WELL = frozenset({"ok", "new", "empty"})
_TRIES = 5


class LibraryNotWell(Unavailable):
    """A library's folder is not there, or not the right one."""

    default_code = "library_not_well"


@dataclass(frozen=True, slots=True)
class LibraryDesk:
    """Answers questions about the folders of a tenant."""

    folders: Folders
    records: Records
    clock: Clock

    def answering(self, router: Router) -> Router:
        """The service's table of contents, with what is answered here."""
        return router.answer(ListFolders, self.list_folders).answer(ScanFolder, self.scan)

    async def list_folders(self, _: ListFolders, context: Context) -> FolderList:
        """Every folder of the tenant as it is now."""
        found = await self.folders.of(context.tenant)
        return FolderList(items=tuple([await self._shown(context.tenant, each) for each in found]))

    async def _shown(self, tenant: TenantId, standing: Standing) -> Folder:
        record = standing.record
        return Folder(
            id=standing.id,
            name=standing.place.rpartition("/")[2],
            state=standing.state,
            hint=standing.hint,
            files=await self.records.count(library_files_index(tenant, standing.id)),
            scan_job=record.scan_job if record else "",
            scanned_at=record.scanned_at if record else 0,
            plan=record.plan if record else None,
        )

    async def scan(self, message: ScanFolder, context: Context) -> ScanAsked:
        """Have a folder looked through; the same ``job_id`` again is the same job."""
        options = ("dry_run", "force", "include_ignored")
        params = {name: True for name in options if getattr(message, name)}
        for _ in range(_TRIES):
            standing = await self.folders.find(context.tenant, message.library)
            change = change_of(context).once("drive", message.job_id)
            try:
                await ask_for_scan(
                    self.records, change, standing, message.job_id, params, self.clock()
                )
            except StaleFence:
                raise
            except Conflict:
                continue
            return ScanAsked(library=standing.id, job_id=message.job_id)
        raise Conflict("others ask for scans of this library at the same time")

    async def check(self) -> None:
        """Raise :class:`LibraryNotWell` when there is a folder that cannot be used as it is."""
        for tenant in sorted({root.tenant for root in self.folders.roots}):
            if not await self.records.exists(tenant_key(tenant)):
                raise LibraryNotWell(f"REELWAY_LIBRARY_DIRS names {tenant}, who is no tenant")
            for standing in await self.folders.of(tenant):
                if standing.state not in _WELL:
                    raise LibraryNotWell(f"{standing.place} is {standing.state}: {standing.hint}")
