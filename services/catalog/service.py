"""How the catalog service is put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated

from services.catalog.handlers import CatalogHandlers
from services.catalog.search import CaptionIndex
from services.catalog.steps import CatalogSteps
from services.catalog.trash import Trash, purge_forever
from services.catalog.videos import Videos
from shared.host import Runtime, Service
from shared.serving import answering, blobs_of, relaying, working
from shared.settings import Said
from shared.settings import Settings as Base
from shared.store.changes import Changes
from shared.store.keys import CAPTION_CHANGES
from shared.store.records import Records


class Settings(Base, frozen=True, kw_only=True):
    """What can be set for catalog."""

    slots: Annotated[
        int, Said(ge=1, le=64, description="How many results are written down at a time")
    ] = 2
    trash_days: Annotated[
        float,
        Said(ge=0, le=3650, description="How long a deleted video can be restored from the trash"),
    ] = 30.0


@asynccontextmanager
async def _run(runtime: Runtime, settings: Settings) -> AsyncIterator[str | None]:
    blobs = blobs_of(runtime)
    runtime.health.add("catalog blobs", blobs.ping)
    records = Records(runtime.store, "catalog")
    videos = Videos(records)
    index = CaptionIndex(records, Changes(runtime.store, CAPTION_CHANGES))
    trash = Trash(records, videos, runtime.clock, settings.trash_days)
    handlers = CatalogHandlers(
        records=records, videos=videos, index=index, trash=trash, clock=runtime.clock
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(relaying(runtime, "catalog"))
        await stack.enter_async_context(answering(runtime, handlers.router()))
        if runtime.role != "worker":
            await stack.enter_async_context(runtime.supervise("caption index", index.follow()))
        if runtime.role != "api":
            await stack.enter_async_context(runtime.supervise("trash", purge_forever(trash)))
        worker = working(
            runtime,
            pool="catalog",
            steps=CatalogSteps(records=records, videos=videos, clock=runtime.clock).table(),
            blobs=blobs,
            slots=settings.slots,
        )
        await stack.enter_async_context(worker)
        yield None


CATALOG = Service("catalog", Settings, _run)
