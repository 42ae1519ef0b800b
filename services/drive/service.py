"""How the drive service is put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated

from services.drive.handlers import DriveHandlers
from services.drive.library.desk import LibraryDesk
from services.drive.library.folders import Folders
from services.drive.library.scan import Scan, scan_step
from services.drive.library.watch import Times, Watch
from services.drive.pieces import Pieces, drop_abandoned_forever
from services.drive.steps import store_step
from services.drive.sweep import Sweep, sweep_forever
from shared.host import Runtime, Service
from shared.serving import answering, blobs_of, relaying, working
from shared.settings import Said
from shared.settings import Settings as Base
from shared.store.records import Records
from shared.store.space import Space
from shared.store.uploads import Uploads
from shared.work.governor import Governor
from shared.work.jobs import Jobs
from shared.work.results import Results


class Settings(Base, frozen=True, kw_only=True):
    """What can be set for drive."""

    slots: Annotated[
        int, Said(ge=1, le=64, description="How many uploads are verified at a time")
    ] = 2
    library_settle_seconds: Annotated[
        float,
        Said(ge=0, le=3600, description="A file in a library is whole when it is still so long"),
    ] = 10.0
    library_scan_seconds: Annotated[
        float, Said(ge=1, description="How often a library is looked through anyway")
    ] = 900.0
    library_watch: Annotated[
        bool, Said(description="Whether changes in libraries are noticed at once")
    ] = True
    library_queue: Annotated[
        int,
        Said(ge=1, description="While so many jobs of a tenant wait, scans begin no more videos"),
    ] = 100


@asynccontextmanager
async def _run(runtime: Runtime, settings: Settings) -> AsyncIterator[str | None]:
    blobs = blobs_of(runtime)
    runtime.health.add("drive blobs", blobs.ping)
    records = Records(runtime.store, "drive")
    jobs, results = Jobs(runtime.store), Results(runtime.store)
    space = Space(runtime.store)
    pieces = Pieces(Uploads(runtime.store, "drive"), blobs, space, runtime.clock)
    handlers = DriveHandlers(
        records=records, blobs=blobs, jobs=jobs, results=results, pieces=pieces, space=space
    )
    sweep = Sweep(records=records, blobs=blobs, jobs=jobs, results=results, clock=runtime.clock)
    folders = Folders(runtime.roots, records)
    desk = LibraryDesk(folders, records, runtime.clock)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(relaying(runtime, "drive"))
        await stack.enter_async_context(answering(runtime, desk.answering(handlers.router())))
        if runtime.role != "api":
            await stack.enter_async_context(runtime.supervise("sweep", sweep_forever(sweep)))
            abandoned = drop_abandoned_forever(pieces)
            await stack.enter_async_context(runtime.supervise("abandoned uploads", abandoned))
        if runtime.roots:
            runtime.health.add("drive libraries", desk.check, needed=False)
            await _watch(runtime, settings, folders, stack)
        worker = working(
            runtime,
            pool="drive",
            steps={
                "store": store_step(records, pieces, space),
                "scan": scan_step(_scan(runtime, settings, folders)),
            },
            blobs=blobs,
            slots=settings.slots,
        )
        await stack.enter_async_context(worker)
        yield None


def _scan(runtime: Runtime, settings: Settings, folders: Folders) -> Scan:
    return Scan(
        folders=folders,
        records=folders.records,
        governor=Governor(runtime.store),
        clock=runtime.clock,
        settle_ms=int(settings.library_settle_seconds * 1000),
        queue=settings.library_queue,
    )


async def _watch(
    runtime: Runtime, settings: Settings, folders: Folders, stack: AsyncExitStack
) -> None:
    """Have libraries scanned at the right time, unless this process is only a door."""
    if runtime.role == "api":
        return
    settle, every = settings.library_settle_seconds, settings.library_scan_seconds
    times = Times(int(settle * 1000), int(every * 1000))
    watch = Watch(folders, folders.records, Jobs(runtime.store), runtime.clock, times)
    await stack.enter_async_context(runtime.supervise("library scans", watch.run()))
    for root in runtime.roots if settings.library_watch else ():
        listening = runtime.supervise("library watch", watch.listen(root.place))
        await stack.enter_async_context(listening)


DRIVE = Service("drive", Settings, _run)
