"""Videos to make schedules for, and a hand on the schedules' clock."""

from __future__ import annotations

from typing import Any

from services.jobs.firing import Firing
from services.jobs.schedules import ScheduleDesk
from shared.bus.router import Context
from shared.contracts.records import Job, Layout, Tenant, Tier, Video
from shared.contracts.schedules import DeleteSchedule, PutSchedule, Schedule
from shared.ids import derived_id
from shared.store.keys import layout_key, tenant_key, video_key
from shared.store.records import Change, Records
from shared.tenancy import TenantId
from shared.work.schedules import Schedules
from tests.integration.work.bench import ACME, Bench

VIDEO = derived_id("video")
PROPOSAL = {"found": True, "regions": []}
HOUR = 3600


class Calendar:
    """What the jobs service does about schedules, on a real store."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.schedules = Schedules(bench.store)
        self.records = Records(bench.store, "jobs")
        self.desk = ScheduleDesk(self.schedules, self.records)
        self.outcomes: list[str] = []
        self.firing = Firing(self.schedules, self.records, self.outcomes.append)

    async def add_video(
        self, tenant: TenantId = ACME, layout: Any = "approved", video_id: str = VIDEO
    ) -> None:
        """A video of a tenant, with a layout."""
        plain = dict.fromkeys(("created_at", "updated_at", "version", "size"), 1)
        texts = dict.fromkeys(("name", "file_id", "sha256", "media_type", "process_job"), "x")
        video = Video(id=video_id, location="acme/files/f/original", **plain, **texts)  # type: ignore[arg-type]
        found = Layout(video_id=video_id, state=layout, proposal=PROPOSAL, updated_at=1)
        change = Change(tenant).put(video_key(tenant, video_id), video)
        await self.records.commit(change.put(layout_key(tenant, video_id), found))

    async def add_tenant(self, tier: Tier, tenant: TenantId = ACME) -> None:
        """The record of a tenant."""
        record = Tenant(id=tenant, tier=tier, created_at=1)
        await self.records.commit(Change(tenant).put(tenant_key(tenant), record))

    async def put(self, name: str = "n", tenant: TenantId = ACME, **fields: Any) -> Schedule:
        """A schedule, by default hourly."""
        plain = {"flow": "caption_video", "subject": VIDEO}
        if "cron" not in fields:
            plain["every"] = HOUR  # type: ignore[assignment]
        context = Context(tenant=tenant, message_id="m", correlation="c")
        return await self.desk.put(PutSchedule(name=name, **(plain | fields)), context)

    async def delete(self, name: str = "n", tenant: TenantId = ACME) -> None:
        """Remove a schedule."""
        context = Context(tenant=tenant, message_id="m", correlation="c")
        await self.desk.delete(DeleteSchedule(name=name), context)

    async def get(self, name: str = "n", tenant: TenantId = ACME) -> Schedule:
        """A schedule that must be there."""
        schedule = await self.schedules.get(tenant, name)
        assert schedule
        return schedule

    async def came(self, name: str = "n", tenant: TenantId = ACME, ago: int = 0) -> int:
        """Let the next time of a schedule be now, or so many seconds ago; answers it."""
        at = await self.bench.now() - ago * 1000
        key = f"rw:t:{tenant}:schedule:{name}"
        await self.bench.store.commands.hset(key, "next_at", str(at))
        await self.bench.store.commands.zadd("rw:jobs:schedules", {key: at})
        return at

    async def jobs(self, tenant: TenantId = ACME) -> list[Job]:
        """Every job of a tenant, newest first."""
        return await self.bench.jobs.page(tenant, "", 1000)
