"""The desk for failed jobs: found by what is wrong with them, retried or given up in bulk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from shared.contracts.jobs import ClearDead, DeadFilter, DeskReport, Settled
from shared.contracts.records import Job
from shared.errors import Conflict, NotFound
from shared.store.scan import Found, scan
from shared.tenancy import TenantId
from shared.work.jobs import Jobs
from shared.work.ledger import Ledger

_MOST = 500


@dataclass(frozen=True, slots=True)
class Desk:
    """Works through failed jobs of a tenant, looking at ``most`` in one go. One that cannot be
    settled does not stop the rest.
    """

    ledger: Ledger
    jobs: Jobs
    most: int = 2_000

    async def clear(self, tenant: TenantId, query: ClearDead) -> DeskReport:
        """Do to every failed job that matches what was asked for, up to the limit."""
        found = await self._found(tenant, query)
        items = [await self._settle(tenant, job, query) for job in found.items]
        known = {job.id for job in found.items}
        missing = [each for each in dict.fromkeys(query.which.ids) if each not in known]
        items += [Settled(job_id=each, outcome="missing") for each in missing]
        after = found.next or ""
        return DeskReport(matched=len(known), items=tuple(items), more=bool(after), next=after)

    async def _found(self, tenant: TenantId, query: ClearDead) -> Found[Job]:
        """Those that are meant: of the ids, where there are any, else of all."""

        def is_meant(job: Job) -> bool:
            return is_dead(job) and matches(job, query.which)

        if ids := tuple(dict.fromkeys(query.which.ids[:_MOST])):
            named = await self.jobs.get_many(tenant, ids)
            return Found(tuple(job for job in named if job and is_meant(job)), None)
        limit = max(1, min(_MOST, query.limit))
        read = partial(self.jobs.dead, tenant)
        return await scan(read, query.cursor, limit, is_meant, most=self.most)

    async def _settle(self, tenant: TenantId, job: Job, query: ClearDead) -> Settled:
        if query.dry_run:
            return Settled(job_id=job.id, outcome="matched")
        try:
            if query.action == "retry":
                await self.ledger.retry(tenant, job.id)
                return Settled(job_id=job.id, outcome="retried")
            await self.ledger.discard(tenant, job.id)
            return Settled(job_id=job.id, outcome="discarded")
        except (Conflict, NotFound) as refused:  # somebody was quicker
            return Settled(job_id=job.id, outcome="refused", detail=refused.detail)


def is_dead(job: Job) -> bool:
    """Whether a job has failed and nobody has seen to it."""
    return job.state == "failed" and not job.discarded_at


def matches(job: Job, which: DeadFilter) -> bool:
    """Whether a failed job is meant."""
    error = job.error
    wanted = (
        (which.flow, job.flow),
        (which.subject, job.subject),
        (which.step, error.step if error else ""),
        (which.code, error.code if error else ""),
        (which.error_class, error.error_class if error else ""),
    )
    is_before = not which.before or job.finished_at < which.before
    in_time = is_before and job.finished_at >= which.after
    is_named = not which.ids or job.id in which.ids
    return in_time and is_named and all(not want or want == has for want, has in wanted)
