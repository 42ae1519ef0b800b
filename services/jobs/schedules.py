"""The desk for recurring jobs: what may be asked of them is decided here."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from services.jobs.occurrences import check_times, next_time
from services.jobs.repeats import check_params
from shared.bus.router import Context, Router
from shared.contracts.schedules import DeleteSchedule, PutSchedule, Schedule, ScheduleGone
from shared.errors import Invalid, NotFound
from shared.ids import is_id
from shared.store.keys import video_key
from shared.store.records import Records
from shared.tenancy import TenantId
from shared.work.schedules import Schedules, is_schedule_name


@dataclass(frozen=True, slots=True)
class ScheduleDesk:
    """Makes, changes and removes schedules on behalf of a tenant."""

    schedules: Schedules
    records: Records

    def answering(self, router: Router) -> Router:
        """The service's table of contents, with what is answered here."""
        return router.answer(PutSchedule, self.put).answer(DeleteSchedule, self.delete)

    async def put(self, message: PutSchedule, context: Context) -> Schedule:
        """Make or change a schedule, if it makes sense."""
        wanted = _wanted(message, context.tenant)
        check_params(wanted.flow, wanted.params)
        check_times(wanted)
        await self._check_subject(context.tenant, wanted.subject)
        upcoming = next_time(wanted, await self.schedules.now()) or 0
        return await self.schedules.put(msgspec.structs.replace(wanted, next_at=upcoming))

    async def delete(self, message: DeleteSchedule, context: Context) -> ScheduleGone:
        """Remove a schedule; the jobs it has made go on."""
        if not await self.schedules.delete(context.tenant, message.name):
            raise NotFound("there is no such schedule")
        return ScheduleGone(name=message.name)

    async def _check_subject(self, tenant: TenantId, video_id: str) -> None:
        if not is_id(video_id) or not await self.records.exists(video_key(tenant, video_id)):
            raise Invalid("there is no such video", code="unknown_video")


def _wanted(message: PutSchedule, tenant: TenantId) -> Schedule:
    if not is_schedule_name(message.name):
        raise Invalid(
            f"{message.name[:80]!r} is no name of a schedule",
            code="invalid_name",
            hint="use 1 to 63 lower case letters, digits, inner hyphens and underscores",
        )
    return Schedule(tenant=tenant, **msgspec.structs.asdict(message))
