"""Room for uploads: what a tenant may have, and what the disk takes.

Bytes are promised before they come. While the disk has less than its reserve free, nothing is taken
in; what an upload has got by then stays, and it goes on when there is room again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from services.gateway.tenants import Tenants
from shared.blobs.store import Blobs
from shared.errors import StorageFull, Unavailable
from shared.ids import file_of
from shared.store.space import QuotaExceeded, Space
from shared.telemetry.metrics import Metrics
from shared.telemetry.names import Action
from shared.tenancy import TenantId

STEP: Final = 16 << 20
"""After so many bytes it is looked at again; so many are promised at a time to an upload that does
not say how many it has."""
_LOOK_SECONDS: Final = 5.0
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Room:
    """What may still be taken in. Nobody can tell it of a store that is not a disk here."""

    blobs: Blobs
    reserve: int
    metrics: Metrics
    is_paused: bool = False

    async def left(self) -> int | None:
        """Bytes that may still be written, none while the reserve is not free; None where nobody
        can tell.
        """
        free = await self.blobs.free_bytes()
        if free is None:
            return None
        self._notice(free)
        return max(0, free - self.reserve)

    async def check(self) -> int | None:
        """The same; :class:`StorageFull` while it is nothing."""
        left = await self.left()
        if left == 0:
            raise StorageFull(
                "nothing is taken in for want of space",
                hint="try again when there is room; what has arrived in pieces is kept",
            )
        return left

    async def watch(self) -> None:
        """Look now and then, for ever, so that the state is told also when nobody comes."""
        while True:
            await self.left()
            await asyncio.sleep(_LOOK_SECONDS)

    def _notice(self, free: int) -> None:
        self.metrics.storage_free.set(free)
        is_paused = free < self.reserve
        if is_paused == self.is_paused:
            return
        self.is_paused = is_paused
        mib = f"{free >> 20} MiB are free, {self.reserve >> 20} are to stay free"
        if is_paused:
            extra = {"action": Action.INTAKE_PAUSED}
            _log.warning("nothing is taken in for want of space: %s; make room", mib, extra=extra)
        else:
            _log.info("uploads are taken again: %s", mib, extra={"action": Action.INTAKE_RESUMED})


@dataclass(slots=True)
class Promise:
    """The bytes promised to one upload, for ``seconds`` after the last that came of it."""

    space: Space
    room: Room
    tenants: Tenants
    tenant: TenantId
    upload_id: str
    seconds: float
    _enough: int = -1

    @asynccontextmanager
    async def beginning(self, length: int | None) -> AsyncIterator[None]:
        """Room for an upload that begins in the block, and comes to nothing if that fails."""
        await self.expect(0, length)
        try:
            yield
        except BaseException:
            with suppress(Unavailable):  # then it comes back when its time is over
                await self.give_back()
            raise

    async def expect(self, arrived: int, length: int | None) -> None:
        """So many bytes are here, and the rest may come; if nobody knows how many that are, the
        next of them. :class:`QuotaExceeded`, :class:`StorageFull`.
        """
        room = await (self.room.left() if arrived == length else self.room.check())
        most = (await self.tenants.get(self.tenant)).max_bytes
        if length is not None:
            await self._take(arrived, length, most, room)
            self._enough = arrived + STEP
            return
        try:
            await self._take(arrived, arrived + STEP, most, room)
            self._enough = arrived + STEP
        except QuotaExceeded:  # fewer may do, and each is looked at
            await self._take(arrived, max(1, arrived), most, room)
            self._enough = arrived

    async def expect_more(self, arrived: int, length: int | None) -> None:
        """The same, but only when more have come than were expected."""
        if arrived > self._enough:
            await self.expect(arrived, length)

    async def _take(self, arrived: int, size: int, most: int, room: int | None) -> None:
        await self.space.take(
            self.tenant,
            file_of(self.upload_id),
            size,
            seconds=self.seconds,
            most=most,
            due=size - arrived,
            room=room,
        )

    async def keep(self, size: int) -> None:
        """All bytes are here, and stay."""
        await self.space.take(self.tenant, file_of(self.upload_id), size)

    async def give_back(self) -> None:
        """They do not come, or are gone."""
        await self.space.give(self.tenant, file_of(self.upload_id))
