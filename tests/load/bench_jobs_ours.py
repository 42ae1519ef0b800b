"""Reelway's side of ``make bench-jobs``: the jobs service as it ships, a pool whose only step does
nothing, and somebody who submits.

``python -m tests.load.bench_jobs_ours ledger`` hosts the jobs service (handlers, relay, reaper),
``… pool`` a worker, ``… ledger pool`` both in one process, which is how Reelway runs by default.
``… submit`` submits (see :mod:`tests.load.bench_jobs_line`) as the gateway sends commands.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import cast

from services.jobs.flows import FLOWS
from services.jobs.service import JOBS
from shared.blobs.store import open_blobs
from shared.bus.connect import connect
from shared.bus.publisher import Bus
from shared.bus.rabbitmq_topology import Names
from shared.bus.transport import Unroutable
from shared.contracts.jobs import SubmitJob
from shared.contracts.records import StepOutput, StepStatus
from shared.host import Runtime, Service, main
from shared.ids import new_id
from shared.serving import working
from shared.settings import Settings as Base
from shared.tenancy import TenantId, tenant_id
from shared.work.context import StepContext
from tests.load.bench_jobs_line import SLOTS, Submitted, a_payload, gathered, serve_line

POOL = FLOW = "bench"
QUEUE = Names().durable("jobs")
JOBS_OF_A_TENANT = 100


class Settings(Base, frozen=True, kw_only=True):
    """What can be set for the pool."""

    slots: int = SLOTS


async def noop(context: StepContext) -> StepOutput:
    """The step that does nothing."""
    return StepOutput()


@asynccontextmanager
async def _pool(runtime: Runtime, settings: Settings) -> AsyncIterator[str | None]:
    blobs = open_blobs(runtime.blobs_url)
    async with working(runtime, pool=POOL, steps={"noop": noop}, blobs=blobs, slots=settings.slots):
        yield None


SERVICES = {"ledger": JOBS, "pool": Service("bench", Settings, _pool)}


def tenant(number: int) -> TenantId:
    """Whose job number so much is: no tenant has more jobs than any may have waiting."""
    return tenant_id(f"t{number // JOBS_OF_A_TENANT}")


async def submit() -> None:
    """Submit on demand."""
    numbers = count()
    url = os.environ["BENCH_AMQP_URL"]
    async with connect(url, name="bench") as transport, Bus(transport, source="bench") as bus:

        async def one() -> str:
            payload, job_id, owner = a_payload(), new_id(), tenant(next(numbers))
            subject = payload.pop("subject")
            message = SubmitJob(job_id=job_id, flow=FLOW, subject=subject, params=payload)
            while True:
                try:
                    await bus.send(message, tenant=owner)
                except Unroutable:  # the jobs service is not up yet
                    await asyncio.sleep(0.2)
                else:
                    return f"{owner} {job_id}"

        async def batch(count: int) -> Submitted:
            return await gathered(count, one)

        await serve_line(batch)


if __name__ == "__main__":
    if sys.argv[1:] == ["submit"]:
        asyncio.run(submit())
    else:
        steps = (StepStatus(name="noop", pool=POOL),)
        cast("dict[str, tuple[StepStatus, ...]]", FLOWS)[FLOW] = steps
        main(*(SERVICES[word] for word in sys.argv[1:]))
