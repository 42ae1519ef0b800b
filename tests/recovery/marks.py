"""How steps of these tests have effects that can be counted afterwards."""

from __future__ import annotations

from shared.errors import Conflict
from shared.store.records import Change, Records, StaleFence
from shared.tenancy import record_key
from shared.work.context import StepContext
from tests.support.history import EFFECTS, TOUCHES


async def do_once(records: Records, context: StepContext, what: str) -> None:
    """Have an effect, once: an earlier attempt may have had it and could not say so."""
    mark = record_key(context.tenant, "done", context.job.id, what)
    change = context.change().absent(mark).mark(mark, 3600)
    try:
        await records.commit(_noting(change, EFFECTS, context, what))
    except StaleFence:
        raise
    except Conflict:
        return


async def touch(records: Records, context: StepContext, what: str) -> None:
    """Do something that may be done any number of times, but only by who holds the job."""
    await records.commit(_noting(context.change(), TOUCHES, context, what))


def _noting(change: Change, where: str, context: StepContext, what: str) -> Change:
    epoch, fence = str(context.job.epoch), str(context.claim.fence)
    key = context.claim.key
    return change.append(where, 1_000_000, job=key, what=what, epoch=epoch, fence=fence)
