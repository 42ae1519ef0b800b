"""The step ``scan``: look through a folder, plan what follows, and do it.

It may end anywhere and be begun again: what was done is seen as done.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from services.drive.library.fingerprint import fingerprint
from services.drive.library.folders import Folders, Standing
from services.drive.library.index import AT_ONCE, Index, all_files
from services.drive.library.listing import Listing, ReadFolder, list_videos
from services.drive.library.planning import Act, Plan, Situation, paths_to_read, planned
from services.drive.library.reporting import Took, keep_result, report
from services.drive.library.sorting import Sorted, sort
from shared.blobs.beneath import entries, in_thread
from shared.clock import Clock
from shared.contracts.library import LibraryFile, ScanPlan
from shared.contracts.records import StepOutput
from shared.errors import NotFound
from shared.store.records import Records
from shared.telemetry.names import Action
from shared.work.context import StepContext, StepFunction
from shared.work.governor import Governor
from shared.work.step import StepFailed

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scan:
    """What scanning needs. A file counts as whole when it has looked the same for ``settle_ms``;
    new ones are begun while fewer than ``queue`` jobs of the tenant wait.
    """

    folders: Folders
    records: Records
    governor: Governor
    clock: Clock
    settle_ms: int
    queue: int
    read: ReadFolder = entries


def scan_step(scan: Scan) -> StepFunction:
    """The step ``scan``. Its result is a :class:`~shared.contracts.library.ScanPlan`."""

    async def run(context: StepContext) -> StepOutput:
        began = time.monotonic()
        try:
            standing = await scan.folders.find(context.tenant, context.job.subject)
        except NotFound as error:
            raise StepFailed("library_unknown", error.detail, error_class="cancelled") from error
        is_dry = bool(context.job.params.get("dry_run"))
        if standing.state == "new" and not is_dry:
            standing = await scan.folders.adopt(context.tenant, standing)
        if standing.state == "ok" or (is_dry and standing.state == "new"):
            plan = await _Run(scan, context, standing).carry_out()
        else:
            plan = ScanPlan(state=standing.state, detail=standing.hint, dry_run=is_dry)
        if not is_dry:
            took = Took(scan.clock(), int((time.monotonic() - began) * 1000))
            await keep_result(scan.records, context, standing, plan, took)
        _tell(context, standing, plan)
        return StepOutput(result=msgspec.to_builtins(plan))

    return run


@dataclass(frozen=True, slots=True)
class _Run:
    """One look through one folder."""

    scan: Scan
    context: StepContext
    standing: Standing

    async def carry_out(self) -> ScanPlan:
        options = self.context.job.params
        listing = await self._list()
        if gone := await self._is_gone():
            why = "incomplete: the folder went away while it was looked through"
            return ScanPlan(state=gone.state, detail=gone.hint, suspicious=why)
        known = await all_files(self.scan.records, self.context.tenant, self.standing.id)
        known, dropped = _without_ignored(known, again=bool(options.get("include_ignored")))
        now = self.scan.clock()
        found = sort(known, listing.seen, listing.failed)
        plan = planned(await self._situation(found, listing, now))
        for file in dropped:
            plan.add(Act("forgotten", file.path, file))
        left_out = 0
        if not options.get("dry_run"):
            left_out = await self._apply(plan, now)
        return report(plan, listing, options, self.standing, left_out)

    async def _list(self) -> Listing:
        async def tell(videos: int) -> None:
            await self.context.progress(0.1, f"{videos} videos found")

        return await list_videos(self.standing.place, tell, self.scan.read)

    async def _is_gone(self) -> Standing | None:
        """The folder, if it is not the one any more that was looked through."""
        if self.standing.state != "ok":
            return None
        after = await self.scan.folders.find(self.context.tenant, self.standing.id)
        is_same = (after.state, after.place) == ("ok", self.standing.place)
        return None if is_same else after

    async def _situation(self, found: Sorted, listing: Listing, now: int) -> Situation:
        queued = await self.scan.governor.queued(self.context.tenant)
        options, room = self.context.job.params, max(0, self.scan.queue - queued)
        return Situation(
            found=found,
            seen=listing.seen,
            prints=await self._read(found, listing, now, room),
            failed=listing.failed,
            now=now,
            settle_ms=self.scan.settle_ms,
            room=room,
            force=bool(options.get("force")),
        )

    async def _read(self, found: Sorted, listing: Listing, now: int, room: int) -> dict[str, str]:
        """The contents that matter, by path; empty where they cannot be read."""
        paths = paths_to_read(found, listing.seen, now, self.scan.settle_ms, room)
        prints: dict[str, str] = {}
        for number, path in enumerate(paths):
            place, look = self.standing.place, listing.seen[path]
            prints[path] = await in_thread(fingerprint, place, path, look)
            done = 0.1 + 0.5 * (number + 1) / len(paths)
            await self.context.progress(done, "comparing contents")
        return prints

    async def _apply(self, plan: Plan, now: int) -> int:
        """Do what is planned; answers how much was left for the next time."""
        index = Index(self.scan.records, self.context, self.standing.id, now)
        left_out = 0
        for start in range(0, len(plan.acts), AT_ONCE):
            left_out += await index.apply(plan.acts[start : start + AT_ONCE])
            await self.context.progress(0.6 + 0.4 * start / len(plan.acts), "writing it down")
        return left_out


def _without_ignored(
    known: Sequence[LibraryFile], *, again: bool
) -> tuple[list[LibraryFile], list[LibraryFile]]:
    """The records, and those of deleted videos apart, if these shall come back."""
    dropped = [file for file in known if again and file.state == "ignored"]
    return [file for file in known if file not in dropped], dropped


def _tell(context: StepContext, standing: Standing, plan: ScanPlan) -> None:
    extra: dict[str, Any] = {
        "action": Action.LIBRARY_SCANNED,
        "tenant": context.tenant,
        "library": standing.id,
    }
    if plan.suspicious or (plan.state != "ok" and not plan.dry_run):
        why = plan.suspicious or plan.detail
        _log.warning("library %s: nothing was taken for gone: %s", standing.place, why, extra=extra)
        return
    counts = Counter(plan.counts)
    told = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()) if number)
    _log.info("library %s was scanned: %s", standing.place, told or "empty", extra=extra)
