"""Makes the jobs of schedules whose time has come. Needs no leader: of those who try, one does.

A time that was missed, because nothing ran, is made up for once, then the schedule goes on with the
first time to come.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from services.jobs.flows import FLOWS
from services.jobs.occurrences import next_time
from services.jobs.priority import SHARES, Shares
from services.jobs.repeats import repeat_of
from shared.contracts.records import Tenant, Tier, Video
from shared.contracts.schedules import Schedule
from shared.errors import Invalid, Unavailable
from shared.store.keys import tenant_key, video_key
from shared.store.records import Records
from shared.telemetry.names import Action
from shared.tenancy import tenant_id
from shared.work.ledger import NewJob
from shared.work.schedules import Schedules, job_id_of

_AT_ONCE = 100
_NEVER = 0
_log = logging.getLogger(__name__)


def _nobody(_outcome: str) -> None:
    """Nobody is told."""


@dataclass(frozen=True, slots=True)
class Firing:
    """Looks for what is due. ``told`` hears what became of each time: ``fired``, ``overlap``,
    ``queue_full``, or why there can be no job.
    """

    schedules: Schedules
    records: Records
    told: Callable[[str], None] = _nobody
    shares: Shares = field(default_factory=lambda: SHARES)

    async def look(self) -> bool:
        """Do what is due now, up to a limit; answers whether there may be more."""
        now, due = await self.schedules.due(_AT_ONCE)
        for schedule in due:
            outcome = await self._fire(schedule, now)
            if outcome != "gone":
                self._tell(schedule, outcome)
        return len(due) == _AT_ONCE

    async def _fire(self, schedule: Schedule, now: int) -> str:
        """Make the job of one time, or say why not; ``gone`` when another process has."""
        tenant = tenant_id(schedule.tenant)
        video = await self.records.get(Video, video_key(tenant, schedule.subject))
        if video is None:
            return await self.schedules.skip(schedule, _NEVER, "subject_gone")
        try:
            upcoming = next_time(schedule, now) or _NEVER
            facts = await repeat_of(schedule.flow).facts(self.records, tenant, video)
        except Invalid as error:  # it was valid once, by another version's rules
            return await self.schedules.skip(schedule, _NEVER, error.code)
        if isinstance(facts, str):
            return await self.schedules.skip(schedule, upcoming, facts)
        return await self._make(schedule, upcoming, {**schedule.params, **facts})

    async def _make(self, schedule: Schedule, upcoming: int, params: dict[str, Any]) -> str:
        tenant, job_id = tenant_id(schedule.tenant), job_id_of(schedule)
        record = await self.records.get(Tenant, tenant_key(tenant))
        tier: Tier = record.tier if record else "free"
        share = self.shares[tier]
        new = NewJob(
            id=job_id,
            tenant=tenant,
            flow=schedule.flow,
            subject=schedule.subject,
            base=share.base,
            steps=FLOWS[schedule.flow],
            params=params,
            tier=tier,
            running=share.running,
            weight=share.weight,
            correlation=job_id,
        )
        return await self.schedules.fire(schedule, upcoming, new, share.queued)

    def _tell(self, schedule: Schedule, outcome: str) -> None:
        self.told(outcome)
        extra = {"action": Action.SCHEDULE_DUE, "tenant": schedule.tenant, "outcome": outcome}
        if outcome == "fired":
            extra["job_id"] = job_id_of(schedule)
        _log.info("schedule %s was due: %s", schedule.name, outcome, extra=extra)


async def fire_forever(firing: Firing, every: float = 1.0) -> None:
    """Look about once every ``every`` seconds, for ever."""
    while True:
        try:
            if await firing.look():
                continue
        except Unavailable as away:
            _log.warning("schedules cannot be looked at: %s", away.detail)
        await asyncio.sleep(every * random.uniform(0.8, 1.2))
