"""Looks at what is under way of a tenant, as those who follow all its jobs do."""

from __future__ import annotations

from shared.store.redis import Store
from shared.work.jobs import ENDED, Jobs
from shared.work.tenant_events import TenantEvents
from tests.recovery.parcels import TENANTS

_MOST = 50
_FOLLOWED = 3


class Onlooker:
    """One who never sees time go backwards."""

    def __init__(self, store: Store) -> None:
        self._events = TenantEvents(store)
        self._jobs = Jobs(store)
        self._seen = 0

    async def round(self) -> None:
        """Look once."""
        found = await self._events.unfinished(TENANTS[0], _MOST)
        assert found.seq >= self._seen, f"event {found.seq} after {self._seen}"
        assert not [job for job in found.jobs if job["state"] in ENDED], found.jobs
        self._seen = found.seq
        for job in found.jobs[:_FOLLOWED]:
            events = await self._jobs.events(TENANTS[0], job["job"], (0, 0))
            numbers = [event.seq for event in events]
            assert numbers == list(range(1, len(numbers) + 1)), (job, numbers)
            assert len(numbers) >= job["seq"], (job, numbers)
