"""A service that is told of everything that happens to jobs, and writes it down: ends once."""

from __future__ import annotations

from shared.bus.router import Context, Router
from shared.contracts.jobs import JobFinished, JobsChanged
from shared.serving import change_of
from shared.store.records import Records
from shared.tenancy import tenant_id
from shared.work.jobs import job_key
from tests.support.history import TOLD

AUDIT = "audit"


def audit_router(records: Records) -> Router:
    """Its table of contents."""

    async def finished(message: JobFinished, context: Context) -> None:
        what = context.message_id.removeprefix(message.job_id + ":")
        change = change_of(context).once(AUDIT, context.message_id)
        change.append(TOLD, 1_000_000, job=job_key(context.tenant, message.job_id), what=what)
        await records.commit(change)

    async def changed(message: JobsChanged, context: Context) -> None:
        change = change_of(context)
        for each in message.changes:
            job = job_key(tenant_id(each.tenant), each.job_id)
            change.append(TOLD, 1_000_000, job=job, what=f"{each.epoch}-{each.seq}")
        await records.commit(change)

    return Router(AUDIT).on(JobFinished, finished).on(JobsChanged, changed)
