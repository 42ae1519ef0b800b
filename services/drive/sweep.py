"""Removes files of results that nobody can take any more: their record has expired, or names
another attempt that has made the same.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from shared.blobs import locations
from shared.blobs.info import BlobInfo
from shared.blobs.locations import Made
from shared.blobs.store import Blobs
from shared.clock import Clock
from shared.errors import ReelwayError
from shared.store.keys import TENANTS
from shared.store.records import Records
from shared.telemetry.names import Action
from shared.tenancy import TenantId, tenant_id
from shared.work.jobs import ENDED, Jobs
from shared.work.results import Results

OLD_SECONDS = 24 * 3600
"""What is younger is left alone: its record may not be written yet."""

_PASS = 500
"""How many sources are looked at in one pass."""

_PAUSE = 0.2
_EVERY = 600.0
_PAGE = 200
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Looks at what was made of one source after another. Several may do so at a time, and each may
    stop anywhere.
    """

    records: Records
    blobs: Blobs
    jobs: Jobs
    results: Results
    clock: Clock

    async def sources(self) -> AsyncIterator[tuple[TenantId, str]]:
        """Every source that anything was made of, in any order: who is often started anew shall
        not always look at the same.
        """
        for tenant in await self._tenants():
            found = await self.blobs.folders(locations.results(tenant))
            for source in random.sample(found, len(found)):
                yield tenant, source

    async def look_at(self, tenant: TenantId, source: str) -> int:
        """Remove what nobody can take; answers how many files that were. While a job that rests on
        anything that was made of this source is in progress, everything stays.
        """
        prefix = locations.results_of(tenant, source)
        there = await self.blobs.listed(prefix)
        old = _old(there, self.clock() / 1000 - OLD_SECONDS)
        if not old or await self._is_in_use(tenant, source, {made.job_id for made in old}):
            return 0
        # Asked in this order: whoever has ended by now has written its record before.
        doomed = old - await self.results.makers(tenant, source, {made.key for made in old})
        keys = [key for key in there if locations.made_of(key) in doomed]
        await self.blobs.delete_listed(prefix, keys)
        return len(keys)

    async def _is_in_use(self, tenant: TenantId, source: str, makers: set[str]) -> bool:
        resting = await self.results.resting(tenant, source)
        states = await self.jobs.states(tenant, sorted(resting | makers))
        await self.results.forget(tenant, source, resting - states.keys())
        return not ENDED.issuperset(states.values())

    async def _tenants(self) -> list[TenantId]:
        names: list[str] = []
        while page := await self.records.page(TENANTS, names[-1] if names else "", _PAGE):
            names += page
        return [tenant_id(name) for name in random.sample(names, len(names))]


def _old(there: Mapping[str, BlobInfo], before: float) -> set[Made]:
    """Who made what is there, where every file is older than that (seconds since the epoch). What
    does not say who made it belongs to nobody, and is not ours to remove.
    """
    made = {key: locations.made_of(key) for key in there}
    young = {made[key] for key, info in there.items() if info.modified >= before}
    return {each for each in made.values() if each is not None} - young


async def sweep_forever(sweep: Sweep, every: float = _EVERY, pause: float = _PAUSE) -> None:
    """Look at some sources, rest for ``every`` seconds, go on with the next ones; for ever."""
    sources = sweep.sources()
    while True:
        try:
            if await _sweep_some(sweep, sources, pause):
                sources = sweep.sources()
        except ReelwayError as error:
            extra = {"action": Action.SWEEP_FAILED}
            _log.warning("results could not be swept: %s", error.detail, extra=extra)
            sources = sweep.sources()
        await asyncio.sleep(every * random.uniform(0.8, 1.2))


async def _sweep_some(
    sweep: Sweep, sources: AsyncIterator[tuple[TenantId, str]], pause: float
) -> bool:
    """One pass; answers whether it was the last of the round."""
    removed = 0
    for _ in range(_PASS):
        found = await anext(sources, None)
        if found is None:
            break
        removed += await sweep.look_at(*found)
        await asyncio.sleep(pause)
    if removed:
        extra = {"action": Action.RESULTS_SWEPT, "files": str(removed)}
        _log.info("%d files of results that nobody uses were removed", removed, extra=extra)
    return found is None
