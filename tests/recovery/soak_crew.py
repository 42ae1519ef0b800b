"""The processes of the soak: services hosted as ``reelway`` does it, and who stands at the door.

Everything is the product's own but for the media steps, which take a while, leave checkpoints and
effects, and hand on files of the right shape without looking at a video.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

import msgspec

import services.jobs.service
import shared.host
from services.catalog.service import CATALOG
from services.drive.service import DRIVE
from services.jobs.flows import FLOWS, MEDIA
from services.jobs.service import JOBS
from shared.blobs.store import open_blobs
from shared.bus.connect import connect
from shared.bus.publisher import Bus
from shared.contracts.records import StepOutput
from shared.host import Runtime, Service, host
from shared.serving import answering
from shared.settings import Settings
from shared.store.records import Records
from shared.store.redis import Store, StoreUnavailable, open_redis
from shared.work.context import StepContext
from tests.recovery.audit import AUDIT, audit_router
from tests.recovery.marks import do_once
from tests.recovery.porter import Porter

PIECES = 3
PIECE_SECONDS = 0.15
_RESULTS: dict[str, dict[str, Any]] = {
    "probe": {"duration": 12.0, "width": 640, "height": 360, "fps": 25.0},
    "poster": {
        "sprite": {"columns": 1, "rows": 1, "tile_width": 8, "tile_height": 8, "interval": 2.0}
    },
    "layout": {"found": True, "sure": True},
}
_FILES: dict[str, dict[str, Any]] = {
    "poster": {"poster.jpg": "a picture", "sprite.jpg": "pictures"},
    "frames": {"frame-0.jpg": "a frame"},
    "read_frames": {"frames.json": {"frames": [{"name": "frame-0.jpg", "time": 1.0}]}},
    "read_captions": {
        "captions.json": {
            "captions": [{"start_frame": 0, "end_frame": 9, "text": "Hello", "confidence": 1.0}]
        }
    },
}


def done_by(flow: str) -> tuple[str, ...]:
    """What a job of this flow has done when it has succeeded, of what is counted."""
    media = [step.name for step in FLOWS[flow] if step.pool == MEDIA]
    return tuple(f"{step}-{number}" for step in media for number in range(PIECES))


class QuickMedia:
    """Stands in for :class:`shared.work.child.ChildSteps`, in this process."""

    def __init__(self, *_: object) -> None:
        """There are no children to be limited."""

    async def run(self, context: StepContext) -> StepOutput:
        """Take a while over the step, and leave what later steps need."""
        checkpoint = await context.resume()
        done = int(checkpoint.state["pieces"]) if checkpoint else 0
        records = Records(context._ledger._scripts._store, "jobs")
        for number in range(done, PIECES):
            await asyncio.sleep(PIECE_SECONDS)
            await do_once(records, context, f"{context.step}-{number}")
            await context.progress((number + 1) / PIECES, f"piece {number}")
            await context.checkpoint({"pieces": number + 1})
        paths = []
        for name, content in _FILES.get(context.step, {}).items():
            paths.append(context.folder / name)
            paths[-1].write_bytes(msgspec.json.encode(content))
        kept = await context.keep(paths)
        return StepOutput(result=_RESULTS.get(context.step, {}), artifacts=kept)


@asynccontextmanager
async def _audit(runtime: Runtime, _: Settings) -> AsyncIterator[str | None]:
    async with answering(runtime, audit_router(Records(runtime.store, AUDIT))):
        yield None


_SERVICES = {
    "jobs": JOBS,
    "drive": DRIVE,
    "catalog": CATALOG,
    AUDIT: Service(AUDIT, Settings, _audit),
}


async def service(name: str, **settings: str) -> int:
    """Host one service; a worker's name tells its process."""
    instance = f"p{os.getpid()}"
    variables = {f"REELWAY_{setting.upper()}": value for setting, value in settings.items()}
    with (
        patch.object(services.jobs.service, "ChildSteps", QuickMedia),
        patch.object(shared.host, "_instance", lambda: instance),
    ):
        return await host([_SERVICES[name]], variables)


async def door(bus_url: str, store_url: str, blobs_url: str, **_: str) -> None:
    """Take uploads in until told that it is enough and all of them have been captioned."""
    while True:
        try:
            async with open_redis(store_url) as store:
                return await _stand_at_the_door(store, bus_url, blobs_url)
        except StoreUnavailable:
            await asyncio.sleep(0.2)


async def _stand_at_the_door(store: Store, bus_url: str, blobs_url: str) -> None:
    async with (
        connect(bus_url, name=f"door-{os.getpid()}") as transport,
        Bus(transport, "gateway") as bus,
    ):
        await Porter(store, bus, open_blobs(blobs_url)).work()
