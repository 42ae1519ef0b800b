"""What the handlers of the door have at hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from services.gateway.checkpoints import CheckpointReader
from services.gateway.places import Places
from services.gateway.room import Promise, Room
from services.gateway.settings import Settings
from services.gateway.shares import Shares
from services.gateway.signatures import Signatures
from services.gateway.tenants import Tenants
from services.gateway.watch import Watchers
from shared.blobs.store import Blobs
from shared.bus.publisher import Bus
from shared.clock import Clock
from shared.store.breaker import Breakers
from shared.store.idempotency import Idempotency
from shared.store.records import Records
from shared.store.space import Space
from shared.store.uploads import Uploads
from shared.telemetry.metrics import Metrics
from shared.tenancy import TenantId
from shared.work.jobs import Jobs
from shared.work.ledger import Ledger
from shared.work.schedules import Schedules


@dataclass(frozen=True, slots=True)
class Door:
    """Everything a request may need."""

    settings: Settings
    records: Records
    jobs: Jobs
    ledger: Ledger
    schedules: Schedules
    breakers: Breakers
    blobs: Blobs
    bus: Bus
    tenants: Tenants
    signatures: Signatures
    shares: Shares
    watchers: Watchers
    idempotency: Idempotency
    uploads: Uploads
    checkpoints: CheckpointReader
    places: Places
    space: Space
    room: Room
    metrics: Metrics
    clock: Clock

    def promise(self, tenant: TenantId, upload_id: str, seconds: float) -> Promise:
        """Bytes for an upload; see :class:`~services.gateway.room.Promise`."""
        return Promise(self.space, self.room, self.tenants, tenant, upload_id, seconds)


DOOR: Final = web.AppKey("door", Door)


@dataclass(frozen=True, slots=True)
class BlobContent:
    """A blob as content with ranges (see :mod:`shared.http.responder`)."""

    blobs: Blobs
    key: str
    size: int
    etag: str
    modified: float | None
    media_type: str
    held: Path | None = None

    @property
    def local_path(self) -> Path | None:
        """Where the bytes lie on this machine's disk, if they do."""
        return self.held or self.blobs.local_path(self.key)

    def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """The bytes from ``start`` up to ``stop``."""
        return self.blobs.read(self.key, start, stop)
