"""Several gateways of one deployment, on a real Redis and one folder, with drive's handlers."""

from __future__ import annotations

import asyncio
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
from shared.blobs.store import open_blobs
from shared.bus.consumer import Consumer
from shared.bus.memory import MemoryTransport
from shared.clock import now_ms
from shared.errors import Conflict
from shared.health import Health
from shared.host import Runtime
from shared.settings import HostSettings
from shared.store.records import Records
from shared.store.redis import Store
from shared.store.space import Space
from shared.store.uploads import Uploads
from shared.telemetry.metrics import new_metrics
from shared.telemetry.traces import new_tracer
from shared.tenancy import TenantId
from shared.work.jobs import Jobs
from shared.work.results import Results
from tests.integration.work.bench import ACME

BEE = TenantId("bee")


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
        async with self.session.request(method, url, headers=given, data=data) as reply:
            return Answer(reply.status, reply.headers.copy(), await reply.read())

    async def submits(self) -> list[dict[str, Any]]:
        """The jobs that drive has asked for."""
        entries: Any = await self.store.commands.xrange("rw:outbox:drive")
        return [msgspec.json.decode(fields[b"body"]) for _, fields in entries]

    def files(self) -> list[Path]:
        """Every file in the blob store."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


@asynccontextmanager
async def doors(
    store: Store, folder: Path, count: int = 2, settings: Settings | None = None
) -> AsyncIterator[Doors]:
    """So many gateways, on free ports."""
    chosen = settings or Settings(port=0)
    transport, blobs = MemoryTransport(), open_blobs((folder / "blobs").as_uri())
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
        urls = []
        for _ in range(count):
            door = _door(stack, _runtime(store, transport, folder), chosen)
            urls.append(await stack.enter_async_context(door))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        uploads = Uploads(store, "gateway")
        yield Doors(urls, session, keys, store, uploads, pieces, folder / "blobs")


@asynccontextmanager
async def _door(stack: AsyncExitStack, runtime: Runtime, settings: Settings) -> AsyncIterator[str]:
    stack.callback(runtime.metrics.close)
    stack.callback(runtime.tracer.close)
    async with GATEWAY.run(runtime, settings) as url:
        yield str(url)


def _runtime(store: Store, transport: MemoryTransport, folder: Path) -> Runtime:
    return Runtime(
        settings=HostSettings(store_url=store.url),
        transport=transport,
        store=store,
        blobs_url=(folder / "blobs").as_uri(),
        data_dir=folder,
        health=Health(),
        metrics=new_metrics(),
        tracer=new_tracer(),
        instance="here",
        stopping=asyncio.Event(),
    )
