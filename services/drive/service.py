"""How the drive service is put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated

from services.drive.handlers import DriveHandlers
from services.drive.pieces import Pieces, drop_abandoned_forever
from services.drive.steps import store_step
from services.drive.sweep import Sweep, sweep_forever
from shared.blobs.store import open_blobs
from shared.host import Runtime, Service
from shared.serving import answering, relaying, working
from shared.settings import Said
from shared.settings import Settings as Base
from shared.store.records import Records
from shared.store.space import Space
from shared.store.uploads import Uploads
from shared.work.jobs import Jobs
from shared.work.results import Results


class Settings(Base, frozen=True, kw_only=True):
    """What can be set for drive."""

    slots: Annotated[
        int, Said(ge=1, le=64, description="How many uploads are verified at a time")
    ] = 2


@asynccontextmanager
async def _run(runtime: Runtime, settings: Settings) -> AsyncIterator[str | None]:
    blobs = open_blobs(runtime.blobs_url)
    runtime.health.add("drive blobs", blobs.ping)
    records = Records(runtime.store, "drive")
    jobs, results = Jobs(runtime.store), Results(runtime.store)
    space = Space(runtime.store)
    pieces = Pieces(Uploads(runtime.store, "drive"), blobs, space, runtime.clock)
    handlers = DriveHandlers(
        records=records, blobs=blobs, jobs=jobs, results=results, pieces=pieces, space=space
    )
    sweep = Sweep(records=records, blobs=blobs, jobs=jobs, results=results, clock=runtime.clock)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(relaying(runtime, "drive"))
        await stack.enter_async_context(answering(runtime, handlers.router()))
        if runtime.role != "api":
            await stack.enter_async_context(runtime.supervise("sweep", sweep_forever(sweep)))
            abandoned = drop_abandoned_forever(pieces)
            await stack.enter_async_context(runtime.supervise("abandoned uploads", abandoned))
        worker = working(
            runtime,
            pool="drive",
            steps={"store": store_step(records, pieces, space)},
            blobs=blobs,
            slots=settings.slots,
        )
        await stack.enter_async_context(worker)
        yield None


DRIVE = Service("drive", Settings, _run)
