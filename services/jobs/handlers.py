"""What the jobs service does about each message."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from services.jobs.admission import admission, give_back
from services.jobs.desk import Desk
from services.jobs.flows import FLOWS, POOLS
from services.jobs.priority import SHARES, Shares
from services.jobs.restart import first_step
from services.jobs.standing import explained
from shared.blobs.store import Blobs
from shared.bus.router import Context, Router
from shared.contracts.jobs import (
    Admission,
    AdmitJob,
    BoostLaw,
    CancelJob,
    ClearDead,
    DeskReport,
    ExplainJob,
    Explanation,
    GovernPool,
    GovernTenant,
    JobStatus,
    ListPools,
    PauseJob,
    PoolList,
    PoolStatus,
    PrioritizeJob,
    ResumeJob,
    RetryJob,
    StopJob,
    SubmitJob,
    TenantRules,
)
from shared.contracts.records import Job, Tenant, Tier
from shared.errors import Conflict, Invalid, NotFound
from shared.store.keys import tenant_key
from shared.store.records import Records
from shared.telemetry.traces import current_trace
from shared.tenancy import TenantId
from shared.work.governor import Governor
from shared.work.jobs import Jobs
from shared.work.ledger import Ledger, NewJob
from shared.work.priority import Boost

_HIGHEST_BASE = 90
TIER_SECONDS = 5.0
_MOST_TIERS = 10_000


@dataclass(frozen=True, slots=True)
class JobHandlers:
    """Keeps the ledger on behalf of whoever asks."""

    ledger: Ledger
    governor: Governor
    jobs: Jobs
    records: Records
    blobs: Blobs
    shares: Shares = field(default_factory=lambda: SHARES)
    _tiers: dict[TenantId, tuple[float, Tier]] = field(default_factory=dict)

    def router(self) -> Router:
        """The service's table of contents."""
        return (
            Router("jobs")
            .on(SubmitJob, self.submit)
            .on(StopJob, self.stop)
            .answer(CancelJob, self.cancel)
            .answer(RetryJob, self.retry)
            .answer(PauseJob, self.pause)
            .answer(ResumeJob, self.resume)
            .answer(PrioritizeJob, self.prioritize)
            .answer(ExplainJob, self.explain)
            .answer(AdmitJob, self.admit)
            .answer(ClearDead, self.clear_dead)
            .answer(ListPools, self.list_pools)
            .answer(GovernPool, self.govern_pool)
            .answer(GovernTenant, self.govern_tenant)
        )

    async def submit(self, message: SubmitJob, context: Context) -> None:
        """Put the job into its line once; the same command again changes nothing."""
        steps = FLOWS.get(message.flow)
        if steps is None:
            raise Invalid(f"there is no flow {message.flow!r}", code="unknown_flow")
        tier = await self._tier(context.tenant)
        share = self.shares[tier]
        base = share.base if message.base is None else message.base
        await self.ledger.submit(
            NewJob(
                id=message.job_id,
                tenant=context.tenant,
                flow=message.flow,
                subject=message.subject,
                base=max(0, min(_HIGHEST_BASE, base)),
                steps=steps,
                params=message.params,
                boost=_boost(message.boost) or Boost(),
                tier=tier,
                due_at=message.due_at,
                expires_at=message.expires_at,
                running=share.running,
                weight=share.weight,
                correlation=context.correlation,
                trace=current_trace(),
            )
        )

    async def stop(self, message: StopJob, context: Context) -> None:
        """Stop a job if there is anything to stop."""
        try:
            await self.ledger.cancel(context.tenant, message.job_id, message.reason)
        except (NotFound, Conflict):
            return

    async def cancel(self, message: CancelJob, context: Context) -> JobStatus:
        """Stop a job for a person, who wants to know what became of it."""
        state = await self.ledger.cancel(context.tenant, message.job_id, message.reason)
        return JobStatus(job_id=message.job_id, state=state)

    async def retry(self, message: RetryJob, context: Context) -> JobStatus:
        """Give a job that has ended another chance, or run it again from a step. What has to be
        made before that step because it is no longer kept may be taken from another job.
        """
        job = await self._job(context.tenant, message.job_id)
        step = await first_step(job, message.step, self.blobs)
        state = await self.ledger.retry(context.tenant, job.id, step, message.step)
        begun = (await self._job(context.tenant, message.job_id)).step
        return JobStatus(job_id=message.job_id, state=state, step=begun)

    async def pause(self, message: PauseJob, context: Context) -> JobStatus:
        """Let a job rest."""
        state = await self.ledger.pause(context.tenant, message.job_id)
        return JobStatus(job_id=message.job_id, state=state)

    async def resume(self, message: ResumeJob, context: Context) -> JobStatus:
        """Let a job go on."""
        state = await self.ledger.resume(context.tenant, message.job_id)
        return JobStatus(job_id=message.job_id, state=state)

    async def prioritize(self, message: PrioritizeJob, context: Context) -> JobStatus:
        """Change how urgent a job is."""
        if message.base is not None and not 0 <= message.base <= _HIGHEST_BASE:
            raise Invalid(f"a base priority is from 0 to {_HIGHEST_BASE}", code="invalid_priority")
        state = await self.ledger.prioritize(
            context.tenant, message.job_id, message.base, _boost(message.boost)
        )
        return JobStatus(job_id=message.job_id, state=state)

    async def explain(self, message: ExplainJob, context: Context) -> Explanation:
        """Say where a job stands and why."""
        standing = await self.governor.stands(context.tenant, message.job_id)
        return explained(await self._job(context.tenant, message.job_id), standing)

    async def admit(self, message: AdmitJob, context: Context) -> Admission:
        """Say whether more of this tenant is taken on now."""
        if message.flow not in FLOWS:
            raise Invalid(f"there is no flow {message.flow!r}", code="unknown_flow")
        share = self.shares[await self._tier(context.tenant)]
        if message.give_back:
            await give_back(self.records, context.tenant, message.job_id)
            queued = await self.governor.queued(context.tenant)
            return Admission(admitted=False, queued=queued, most=share.queued)
        return await admission(self.governor, context.tenant, share, message.job_id, message.flow)

    async def clear_dead(self, message: ClearDead, context: Context) -> DeskReport:
        """Retry or discard failed jobs in bulk."""
        return await Desk(self.ledger, self.jobs).clear(context.tenant, message)

    async def list_pools(self, _: ListPools, __: Context) -> PoolList:
        """Say what every pool is doing."""
        return PoolList(items=tuple([await self.governor.pool(pool) for pool in POOLS]))

    async def govern_pool(self, message: GovernPool, _: Context) -> PoolStatus:
        """Change a pool's limit, or let it rest."""
        if message.pool not in POOLS:
            raise NotFound(f"there is no pool {message.pool[:80]!r}", code="unknown_pool")
        if message.limit is not None and message.limit < 0:
            raise Invalid("a limit is 0, for none, or more")
        await self.governor.set_pool(message.pool, limit=message.limit, paused=message.paused)
        return await self.governor.pool(message.pool)

    async def govern_tenant(self, message: GovernTenant, context: Context) -> TenantRules:
        """Let a tenant's waiting work rest, or go on."""
        share = self.shares[await self._tier(context.tenant)]
        rules = await self.governor.set_tenant(context.tenant, paused=message.paused)
        return TenantRules(
            paused="paused" in rules,
            running_limit=int(rules.get("limit", share.running)),
            queued=await self.governor.queued(context.tenant),
            queued_limit=share.queued,
        )

    async def _tier(self, tenant: TenantId) -> Tier:
        """The tenant's tier, looked up at most every :data:`TIER_SECONDS`."""
        until, tier = self._tiers.get(tenant, (0.0, "free"))
        if time.monotonic() < until:
            return tier
        record = await self.records.get(Tenant, tenant_key(tenant))
        tier = record.tier if record else "free"
        if len(self._tiers) >= _MOST_TIERS:
            self._tiers.clear()
        self._tiers[tenant] = time.monotonic() + TIER_SECONDS, tier
        return tier

    async def _job(self, tenant: TenantId, job_id: str) -> Job:
        job = await self.jobs.get(tenant, job_id)
        if job is None:
            raise NotFound("there is no such job")
        return job


def _boost(law: BoostLaw | None) -> Boost | None:
    if law is None:
        return None
    return Boost(rate=law.rate, step_seconds=law.step_seconds, cap=law.cap)
