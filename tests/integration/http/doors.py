"""Several gateways of one deployment, on a real Redis and one folder, with drive's handlers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from services.drive.handlers import DriveHandlers
from services.drive.pieces import Pieces
from services.gateway.service import GATEWAY
from services.gateway.settings import Settings
from services.gateway.tenants import Tenants
from shared.blobs.locations import original
from shared.blobs.store import Blobs, open_blobs
from shared.bus.consumer import Consumer
from shared.bus.memory import MemoryTransport
from shared.clock import now_ms
from shared.contracts.records import Video
from shared.errors import Conflict
from shared.health import Health
from shared.host import Runtime
from shared.ids import new_id
from shared.settings import HostSettings
from shared.store.keys import video_key
from shared.store.records import Change, Records
from shared.store.redis import Store
from shared.store.space import Space
from shared.store.uploads import Uploads
from shared.telemetry.metrics import new_metrics
from shared.telemetry.traces import new_tracer
from shared.tenancy import TenantId
from shared.work.jobs import Jobs
from shared.work.results import Results
from tests.integration.work.bench import ACME
from tests.support.range_table import Target

BEE = TenantId("bee")
SETTINGS = Settings(port=0)


@dataclass
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return str(msgspec.json.decode(self.body)["code"]) if self.body else ""


@dataclass
class Doors:
    """Running gateways, and what stands behind them."""

    urls: list[str]
    session: aiohttp.ClientSession
    keys: Mapping[TenantId, str]
    store: Store
    uploads: Uploads
    pieces: Pieces
    folder: Path
    blobs: Blobs

    async def call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        door: int = 0,
        tenant: TenantId = ACME,
    ) -> Answer:
        """A request of a tenant's to one of the gateways."""
        given = {"Authorization": f"Bearer {self.keys[tenant]}", **(headers or {})}
        url = f"{self.urls[door]}{path}"
        async with self.session.request(
            method, url, headers=given, data=data, allow_redirects=False
        ) as reply:
            return Answer(reply.status, reply.headers.copy(), await reply.read())

    async def submits(self) -> list[dict[str, Any]]:
        """The jobs that drive has asked for."""
        entries: Any = await self.store.commands.xrange("rw:outbox:drive")
        return [msgspec.json.decode(fields[b"body"]) for _, fields in entries]

    async def video(self, content: bytes, name: str, tenant: TenantId = ACME) -> str:
        """The path of a video with these bytes, as if it had been uploaded and described."""
        video = Video(
            id=new_id(),
            name=name,
            file_id=new_id(),
            location="",
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            media_type="video/mp4",
            created_at=now_ms(),
            updated_at=now_ms(),
            version=1,
            process_job=new_id(),
        )
        video = msgspec.structs.replace(video, location=original(tenant, video.file_id))

        async def chunks() -> AsyncIterator[bytes]:
            yield content

        await self.blobs.put(video.location, chunks())
        change = Change(tenant).put(video_key(tenant, video.id), video)
        await Records(self.store, "catalog").commit(change)
        return f"/v1/videos/{video.id}"

    def target(self, path: str, content: bytes) -> Target:
        """That path for the table of ranges."""
        port = int(self.urls[0].rpartition(":")[2])
        return Target(port, path, content, {"Authorization": f"Bearer {self.keys[ACME]}"})

    def files(self) -> list[Path]:
        """Every file in the blob store."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


@asynccontextmanager
async def doors(
    store: Store,
    folder: Path,
    count: int = 2,
    blobs_url: str = "",
    settings: Settings = SETTINGS,
) -> AsyncIterator[Doors]:
    """So many gateways, whose blobs are in the folder unless another store is named."""
    blobs_url = blobs_url or (folder / "blobs").as_uri()
    transport, blobs = MemoryTransport(), open_blobs(blobs_url)
    tenants = Tenants(Records(store, "gateway"), now_ms)
    keys = {}
    for tenant in (ACME, BEE):
        with suppress(Conflict):  # made by other doors on this store
            await tenants.create(tenant, "enterprise")
        keys[tenant] = (await tenants.create_key(tenant)).key
    pieces = Pieces(Uploads(store, "drive"), blobs, Space(store), now_ms)
    drive = DriveHandlers(
        records=Records(store, "drive"),
        blobs=blobs,
        jobs=Jobs(store),
        results=Results(store),
        pieces=pieces,
        space=Space(store),
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(Consumer(transport, drive.router()).running())
        urls = [
            str(await stack.enter_async_context(GATEWAY.run(runtime, settings)))
            for runtime in [
                _runtime(stack, store, transport, folder, blobs_url) for _ in range(count)
            ]
        ]
        session = await stack.enter_async_context(aiohttp.ClientSession())
        uploads = Uploads(store, "gateway")
        yield Doors(urls, session, keys, store, uploads, pieces, folder / "blobs", blobs)


def _runtime(
    stack: AsyncExitStack, store: Store, transport: MemoryTransport, folder: Path, blobs_url: str
) -> Runtime:
    runtime = Runtime(
        settings=HostSettings(store_url=store.url),
        transport=transport,
        store=store,
        blobs_url=blobs_url,
        data_dir=folder,
        health=Health(),
        metrics=new_metrics(),
        tracer=new_tracer(),
        instance="here",
        stopping=asyncio.Event(),
    )
    stack.callback(runtime.metrics.close)
    stack.callback(runtime.tracer.close)
    return runtime
