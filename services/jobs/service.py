"""How the jobs service is put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from services.jobs.firing import Firing, fire_forever
from services.jobs.flows import MEDIA, MEDIA_STEPS
from services.jobs.handlers import JobHandlers
from services.jobs.reaper import forget_forever, reap_forever
from services.jobs.recipes import RECIPES
from services.jobs.schedules import ScheduleDesk
from services.jobs.settings import Settings, shares_of
from shared.blobs.store import Blobs
from shared.host import Runtime, Service
from shared.machine import memory_bytes, processors
from shared.serving import MIB, answering, blobs_of, ledger_of, relaying, working
from shared.store.records import Records
from shared.work.child import ChildSteps
from shared.work.child_limits import ChildLimits, python_module
from shared.work.governor import Governor
from shared.work.jobs import Jobs
from shared.work.results import Results
from shared.work.reuse import Reuse
from shared.work.schedules import Schedules

_LEAST_MEMORY_MB = 1024


@asynccontextmanager
async def _run(runtime: Runtime, settings: Settings) -> AsyncIterator[str | None]:
    ledger, blobs = ledger_of(runtime), blobs_of(runtime)
    governor, schedules = Governor(runtime.store), Schedules(runtime.store)
    records, shares = Records(runtime.store, "jobs"), shares_of(settings)
    desk = ScheduleDesk(schedules, records)
    handlers = JobHandlers(
        ledger=ledger,
        governor=governor,
        jobs=Jobs(runtime.store),
        records=records,
        blobs=blobs,
        shares=shares,
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(relaying(runtime, "jobs"))
        await stack.enter_async_context(answering(runtime, desk.answering(handlers.router())))
        if runtime.role != "api":
            reaper = runtime.supervise("reaper", reap_forever(ledger))
            await stack.enter_async_context(reaper)
            told = runtime.metrics.schedule_due
            firing = Firing(schedules, records, told, shares)
            await stack.enter_async_context(runtime.supervise("schedules", fire_forever(firing)))
        if runtime.role != "api" and settings.retention_days:
            past = forget_forever(governor, settings.retention_days, runtime.clock)
            await stack.enter_async_context(runtime.supervise("retention", past))
        await stack.enter_async_context(_media(runtime, settings, blobs))
        yield None


@asynccontextmanager
async def _media(runtime: Runtime, settings: Settings, blobs: Blobs) -> AsyncIterator[None]:
    limits = ChildLimits(memory_mb=settings.child_memory_mb, silence=settings.child_silence_seconds)
    child = ChildSteps(python_module("services.jobs.steps"), limits)
    slots = settings.slots or processors()
    seconds = settings.result_days * 24 * 3600
    results = Results(runtime.store, seconds=seconds) if seconds else None
    worker = working(
        runtime,
        pool=MEDIA,
        steps=dict.fromkeys(MEDIA_STEPS, child.run),
        blobs=blobs,
        slots=slots,
        room={"memory": _memory(settings), "ocr": settings.ocr_slots or slots},
        reuse=Reuse(recipes=RECIPES, results=results, clock=runtime.clock),
    )
    async with worker:
        yield


def _memory(settings: Settings) -> int:
    """MiB that media steps share; never less than what the largest of them needs."""
    return max(_LEAST_MEMORY_MB, settings.memory_mb or memory_bytes() // MIB * 3 // 4)


JOBS = Service("jobs", Settings, _run)
