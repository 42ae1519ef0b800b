"""Whether more work is taken on: by how much of a tenant waits already, and for how long."""

from __future__ import annotations

from services.jobs.flows import FLOWS
from services.jobs.priority import LONGEST_WAIT_SECONDS, Share
from shared.contracts.jobs import Admission
from shared.store.records import Change, Records
from shared.tenancy import TenantId, ledger_key
from shared.work.governor import Governor, Place

_SOONEST, _LATEST = 5, 3600


async def admission(
    governor: Governor, tenant: TenantId, share: Share, job_id: str, flow: str
) -> Admission:
    """Keep a place for a job, or say when to ask again."""
    pool = max(FLOWS[flow], key=lambda step: step.weight).pool  # where most of the time goes
    place = await governor.admit(
        tenant,
        job_id,
        most=share.queued,
        base=share.base,
        pool=pool,
        longest_seconds=LONGEST_WAIT_SECONDS,
    )
    if place.kept:
        return Admission(admitted=True, queued=place.queued, most=share.queued)
    is_full = place.queued >= share.queued
    return Admission(
        admitted=False,
        queued=place.queued,
        most=share.queued,
        reason="queue_full" if is_full else "backlog",
        retry_after=_retry_after(place, is_full=is_full),
    )


async def give_back(records: Records, tenant: TenantId, job_id: str) -> None:
    """Let go of the place of a job that will not be submitted."""
    await records.commit(Change(tenant).unindex(ledger_key("admitted", tenant), job_id))


def _retry_after(place: Place, *, is_full: bool) -> int:
    """Seconds until a place may be free: one job's time, or what is too much of the backlog."""
    over = place.average_ms if is_full else place.wait_ms - LONGEST_WAIT_SECONDS * 1000
    return max(_SOONEST, min(_LATEST, over // 1000))
