"""A jobs service whose steps do nothing but say so: ``python -m tests.support.quick_jobs``."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated

from services.jobs.flows import FLOWS
from services.jobs.reaper import reap_forever
from shared.blobs.store import open_blobs
from shared.contracts.records import StepOutput
from shared.host import Runtime, Service, main
from shared.serving import ledger_of, relaying, working
from shared.settings import Said, Settings
from shared.work.context import StepContext
from shared.work.step import StepFailed

POOLS = {step.pool for steps in FLOWS.values() for step in steps}


class QuickSettings(Settings, frozen=True, kw_only=True):
    """What can be set for a jobs service with quick steps."""

    slots: Annotated[int, Said(ge=1, description="Steps that run at a time, in each pool")] = 4


async def quick(context: StepContext) -> StepOutput:
    """Make some progress; now and then it does not work out, or takes its time."""
    end = time.monotonic() + context.job.params.get(f"{context.step} seconds", 0)
    while time.monotonic() < end:
        await context.progress(random.random() / 4, "taking its time")
        await asyncio.sleep(0.1)
    for fraction in (0.3, 0.6, 1.0):
        await context.progress(fraction, context.step)
        await asyncio.sleep(random.uniform(0, 0.05))
    if random.random() < context.job.params.get("failing", 0):
        raise StepFailed("by_chance", "it did not work out", error_class="transient")
    return StepOutput()


@asynccontextmanager
async def _run(runtime: Runtime, settings: QuickSettings) -> AsyncIterator[None]:
    ledger = ledger_of(runtime)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(relaying(runtime, "jobs"))
        await stack.enter_async_context(runtime.supervise("reaper", reap_forever(ledger)))
        for pool in sorted(POOLS):
            steps = {s.name: quick for flow in FLOWS.values() for s in flow if s.pool == pool}
            blobs = open_blobs(runtime.blobs_url)
            worker = working(runtime, pool=pool, steps=steps, blobs=blobs, slots=settings.slots)
            await stack.enter_async_context(worker)
        yield None


if __name__ == "__main__":
    main(Service("jobs", QuickSettings, _run))
