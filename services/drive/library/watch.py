"""Scans at the right time: soon after something changed in a folder, when a file that was still
growing may have settled, and now and then anyway, as network shares tell of no changes.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from watchfiles import Change as FileChange
from watchfiles import awatch

from services.drive.library.asking import ask_for_scan
from services.drive.library.folders import Folders, Standing
from services.drive.library.names import reason_to_skip
from shared.blobs.beneath import in_thread
from shared.clock import Clock
from shared.contracts.library import Library
from shared.errors import Conflict, ReelwayError
from shared.ids import new_id
from shared.store.keys import tenant_key
from shared.store.records import Change, Records
from shared.telemetry.names import Action
from shared.tenancy import TenantId
from shared.work.jobs import ENDED, Jobs

_TICK: Final = 5.0
_AGAIN_MS: Final = 60_000
"""When to look again where the queue was full, or a folder could not be listed."""

_LONGEST_MS: Final = 300_000
"""How long a file that has grown for long may be whole before anybody looks."""

_SHARE: Final = 10
"""Of so many parts of the time, scanning takes at most one."""

_LOST_MS: Final = 3_600_000
"""After how long a scan of which the ledger knows nothing is asked for again."""

_RETRY_SECONDS: Final = 30.0
_STILL_MS: Final = 5_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Times:
    """When a scan is due; all in milliseconds."""

    settle_ms: int
    every_ms: int

    def is_due(self, library: Library | None, now: int, touched_at: int = 0) -> bool:
        """Whether it is time to look through a folder; ``touched_at`` is when something changed in
        it last, as far as anybody knows.
        """
        if library is None or not library.scanned_at or library.plan is None:
            return True
        passed = now - library.scanned_at
        if passed < self._rest_ms(library):
            return passed < 0  # a clock was set back
        counts = library.plan.counts
        if library.restless or touched_at > library.scanned_at - library.scan_ms:
            return True
        is_open = any(counts.get(kind) for kind in ("held", "unreadable", "left_out"))
        if is_open or library.plan.suspicious.startswith("incomplete"):
            return passed >= _AGAIN_MS
        return bool(counts.get("waiting")) or passed >= self.every_ms

    def _rest_ms(self, library: Library) -> int:
        """The longer a file has been growing, the longer it may take to see that it has ended."""
        growing = self.settle_ms << min(16, max(0, library.restless - 1))
        return max(self.settle_ms, min(growing, _LONGEST_MS), _SHARE * library.scan_ms)


@dataclass(frozen=True)
class Watch:
    """Asks for scans. Several may do so at a time: one of them is heard."""

    folders: Folders
    records: Records
    jobs: Jobs
    clock: Clock
    times: Times
    _touched: dict[str, int] = field(default_factory=dict)
    _bell: asyncio.Event = field(default_factory=asyncio.Event)

    def touch(self, place: str) -> None:
        """Something has changed in this folder."""
        self._touched[place] = self.clock()
        self._bell.set()

    async def look(self) -> int:
        """Ask for every scan that is due; answers how many that were."""
        asked = 0
        for tenant in sorted({root.tenant for root in self.folders.roots}):
            if not await self.records.exists(tenant_key(tenant)):
                continue  # nobody could see what is found
            for standing in await self.folders.of(tenant):
                asked += await self._see_to(tenant, standing)
        return asked

    async def _see_to(self, tenant: TenantId, standing: Standing) -> bool:
        library, now = standing.record, self.clock()
        if standing.state not in {"ok", "new"}:
            return False
        if not self.times.is_due(library, now, self._touched.get(standing.place, 0)):
            return False
        if library is not None and await self._is_scanned(tenant, library):
            return False
        with suppress(Conflict):  # somebody else was quicker
            await ask_for_scan(self.records, Change(tenant), standing, new_id(), {}, now)
            return True
        return False

    async def _is_scanned(self, tenant: TenantId, library: Library) -> bool:
        """Whether the scan that was asked for last is still to come, or under way. After one that
        failed, it is not time to try again before the usual.
        """
        passed = self.clock() - library.asked_at
        states = await self.jobs.states(tenant, [library.scan_job] if library.scan_job else [])
        state = states.get(library.scan_job)
        if state is None:  # on its way to the ledger, as long as nobody takes it in
            return 0 <= passed < _LOST_MS and bool(library.scan_job)
        if state in ENDED - {"succeeded"}:
            return 0 <= passed < self.times.every_ms
        return state not in ENDED

    async def run(self) -> None:
        """Look again and again, for ever; at once when something has changed."""
        while True:
            self._bell.clear()
            try:
                await self.look()
            except ReelwayError as error:
                extra = {"action": Action.LIBRARY_WATCH}
                _log.warning("libraries cannot be looked at: %s", error.detail, extra=extra)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_TICK, max(0.2, self.times.settle_ms / 1000))):
                    await self._bell.wait()

    async def listen(self, place: str) -> None:
        """Hear of changes in a folder, for ever; also when it goes and another comes."""
        was = ""
        while True:
            why = await self._listen(place)
            if why and why != was:
                extra = {"action": Action.LIBRARY_WATCH}
                _log.warning("%s is not watched, only looked at: %s", place, why, extra=extra)
            was = why
            await asyncio.sleep(_RETRY_SECONDS if why else 0)

    async def _listen(self, place: str) -> str:
        """Listen until the folder is another one; answers why that is not possible."""
        try:
            await self._follow(place)
        except (OSError, RuntimeError) as error:  # what the watcher raises: too many watches, …
            return str(error) or type(error).__name__
        return ""

    async def _follow(self, place: str) -> None:
        which, is_first = await in_thread(_identity, place), True
        async with aclosing(_changes(place)) as changes:
            async for found in changes:
                is_same = bool(found) or await in_thread(_identity, place) == which
                if found or is_first or not is_same:  # at first: what came before is not told
                    self.touch(place)
                if not is_same:
                    return
                is_first = False


def _changes(place: str) -> AsyncGenerator[set[tuple[FileChange, str]], None]:
    """What changes in a folder, in batches; an empty one now and then when nothing does."""
    return awatch(
        place,
        watch_filter=_matters,
        yield_on_timeout=True,
        rust_timeout=_STILL_MS,
        ignore_permission_denied=True,
    )


def _identity(place: str) -> tuple[int, int]:
    told = os.stat(place)  # noqa: PTH116 - it is a plain text everywhere here
    return told.st_dev, told.st_ino


def _matters(change: FileChange, path: str) -> bool:
    """Whether a change can be about a video. What was deleted may have been a folder of them."""
    name = path.rpartition("/")[2]
    if not reason_to_skip(name, "file"):
        return True
    if reason_to_skip(name, "folder"):
        return False
    return change is FileChange.deleted or Path(path).is_dir()
