"""Keeps recurring jobs, as the desk for them does: makes, changes and removes schedules."""

from __future__ import annotations

import random
from typing import Any, cast

import msgspec

from services.jobs.repeats import REPEATS, Repeat
from shared.contracts.records import Video
from shared.contracts.schedules import Overlap, Schedule
from shared.ids import derived_id
from shared.store.keys import video_key
from shared.store.records import Records
from shared.store.redis import Store
from shared.tenancy import TenantId, blob_key
from shared.work.schedules import Schedules
from tests.recovery.parcels import FLOW, TENANTS

_EVERY: dict[Overlap, int] = {"skip": 1, "allow": 3}
"""Seconds between two times of a schedule that makes jobs: some come too soon, and are skipped."""
_LATEST_MS = 120_000
"""How long after its time a schedule has surely been looked at, whatever was killed meanwhile."""
_FAR = 3600


async def _facts(_: Records, tenant: TenantId, __: Video) -> dict[str, Any]:
    return {"kind": "plain", "location": blob_key(tenant, "source")}


def allow_repeats() -> None:
    """Let the flow of these tests recur."""
    cast("dict[str, Repeat]", REPEATS)[FLOW] = Repeat(_facts)


class Timetable:
    """One who sees to it that jobs recur."""

    def __init__(self, store: Store) -> None:
        self._redis = store.commands
        self._schedules = Schedules(store)

    async def round(self) -> None:
        """Have two schedules of each tenant that last, and one that is made and soon removed."""
        for tenant in TENANTS:
            for overlap, every in _EVERY.items():
                await self._put(tenant, overlap, every, overlap)
            await self._put(tenant, "fleeting", _FAR, "skip")
            await self._schedules.delete(tenant, "fleeting")
            if not random.randrange(20):
                await self._schedules.delete(tenant, random.choice(tuple(_EVERY)))

    async def clear(self) -> None:
        """Remove all of them."""
        for tenant in TENANTS:
            for schedule in await self._schedules.all(tenant):
                await self._check(schedule)
                await self._schedules.delete(tenant, schedule.name)

    async def _put(self, tenant: TenantId, name: str, every: int, overlap: Overlap) -> None:
        upcoming = await self._schedules.now() + every * 1000
        schedule = Schedule(
            tenant=tenant,
            name=name,
            flow=FLOW,
            subject=await self._video(tenant, name),
            every=every,
            overlap=overlap,
            next_at=upcoming,
        )
        await self._check(await self._schedules.put(schedule))

    async def _check(self, schedule: Schedule) -> None:
        """No time is passed over: somebody looks."""
        late = await self._schedules.now() - schedule.next_at
        assert late < _LATEST_MS, f"{schedule} was due {late} ms ago"

    async def _video(self, tenant: TenantId, name: str) -> str:
        """The video that a schedule's jobs are about."""
        video = Video(
            id=derived_id("video", tenant, name),
            name=name,
            file_id="",
            location="",
            size=0,
            sha256="",
            media_type="",
            created_at=0,
            updated_at=0,
            version=1,
            process_job="",
        )
        await self._redis.set(video_key(tenant, video.id), msgspec.json.encode(video))
        return video.id
