"""How the gateway is put together."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from services.gateway.app import create_app
from services.gateway.checkpoints import CheckpointReader
from services.gateway.door import Door
from services.gateway.handlers import GatewayHandlers
from services.gateway.places import Places
from services.gateway.room import Room
from services.gateway.settings import Settings
from services.gateway.shares import Shares
from services.gateway.signatures import Signatures
from services.gateway.tenants import Tenants
from services.gateway.watch import Watchers
from shared.bus.publisher import Bus
from shared.errors import Conflict
from shared.host import Runtime, Service, product_version
from shared.http.probes import Probes
from shared.http.server import listening
from shared.serving import answering, blobs_of, relaying, sending
from shared.store.breaker import Breakers
from shared.store.idempotency import Idempotency
from shared.store.records import Records
from shared.store.space import Space
from shared.store.uploads import Uploads
from shared.telemetry.names import Action
from shared.telemetry.traces import inject
from shared.tenancy import TenantId
from shared.work.jobs import Jobs
from shared.work.ledger import Ledger
from shared.work.schedules import Schedules
from shared.work.tenant_events import TenantEvents

DEFAULT = TenantId("default")
KEY_FILE = "default.key"
_log = logging.getLogger(__name__)


@asynccontextmanager
async def _run(runtime: Runtime, settings: Settings) -> AsyncIterator[str | None]:
    runtime.metrics.began(door=True)
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(
            Bus(runtime.transport, "gateway", trace=inject, around=sending(runtime))
        )
        door = _door(runtime, settings, bus)
        await _attend(stack, runtime, door)
        if runtime.settings.store_url.startswith("embedded:"):
            await _ensure_default(door.tenants, runtime.data_dir)
        probes = Probes(runtime.health, runtime.metrics.render, product_version(), runtime.role)
        app = create_app(door, probes, runtime.tracer)
        port = await stack.enter_async_context(
            listening(app, settings.host, settings.port, setting="REELWAY_GATEWAY_PORT")
        )
        yield f"http://{_shown(settings.host)}:{port}"


def _door(runtime: Runtime, settings: Settings, bus: Bus) -> Door:
    """What the handlers of the door have at hand."""
    store, clock = runtime.store, runtime.clock
    records, jobs = Records(store, "gateway"), Jobs(store)
    tenants, blobs = Tenants(records, clock), blobs_of(runtime)
    return Door(
        settings=settings,
        records=records,
        jobs=jobs,
        ledger=Ledger(store),
        schedules=Schedules(store),
        breakers=Breakers(store),
        blobs=blobs,
        bus=bus,
        tenants=tenants,
        signatures=Signatures(records, tenants, clock),
        shares=Shares(records, clock),
        watchers=Watchers(jobs, TenantEvents(store)),
        idempotency=Idempotency(store),
        uploads=Uploads(store, "gateway"),
        checkpoints=CheckpointReader(store, blobs),
        places=Places(settings),
        space=Space(store),
        room=Room(blobs, settings.reserve_bytes, runtime.metrics),
        metrics=runtime.metrics,
        clock=clock,
    )


async def _attend(stack: AsyncExitStack, runtime: Runtime, door: Door) -> None:
    """What the gateway does besides answering requests, until the stack is left."""
    runtime.health.add("gateway blobs", door.blobs.ping)
    heard = door.watchers.listen(runtime.transport)
    await stack.enter_async_context(runtime.supervise("job watcher", heard))
    await stack.enter_async_context(runtime.supervise("room watcher", door.room.watch()))
    # A gateway is a door in every role: what it has taken in is handed on from here.
    await stack.enter_async_context(relaying(runtime, "gateway", always=True))
    handlers = GatewayHandlers(door.records, door.shares)
    await stack.enter_async_context(answering(runtime, handlers.router()))


async def _ensure_default(tenants: Tenants, data_dir: Path) -> None:
    """One box, one person: a tenant and its key are made at the first start."""
    path = data_dir / KEY_FILE
    try:
        await tenants.create(DEFAULT, "enterprise")  # whose box it is has no need of limits
    except Conflict:
        if path.exists():
            return
    key = await tenants.create_key(DEFAULT, name="first start")
    _write_private(path, key.key + "\n")
    # A warning, because whoever misses it cannot get in.
    extra = {"action": Action.KEY_MADE}
    _log.warning("FIRST START: the API key of the tenant %s is in %s", DEFAULT, path, extra=extra)


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


GATEWAY = Service("gateway", Settings, _run)
