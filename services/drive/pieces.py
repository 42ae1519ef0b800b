"""Pieces of uploads: made one file where they are taken in, removed where nobody goes on."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from dataclasses import dataclass

from shared.blobs import locations
from shared.blobs.joining import join
from shared.blobs.store import Blobs
from shared.clock import Clock
from shared.errors import Locked, NotFound, ReelwayError
from shared.ids import file_of
from shared.store.space import Space
from shared.store.uploads import Uploads
from shared.telemetry.names import Action
from shared.tenancy import TenantId
from shared.work.context import StepContext

_EVERY = 60.0
_PASS = 100
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pieces:
    """The pieces of every upload."""

    uploads: Uploads
    blobs: Blobs
    space: Space
    clock: Clock

    async def join(self, context: StepContext, upload_id: str, target: str) -> str | None:
        """Make the pieces of an upload one blob; answers its key, which is that of the only piece
        where there is but one, and None when there is none. May be repeated after a death;
        :meth:`drop` what is left of them once what they became is recorded.
        """
        keys = await self.uploads.pieces(context.tenant, upload_id)
        if len(keys) < 2:
            return keys[0] if keys else None

        async def told(fraction: float) -> None:
            await context.progress(fraction / 2, "joining the pieces")

        await join(self.blobs, keys, target, int(context.job.params["size"]), told)
        return target

    async def drop(self, tenant: TenantId, upload_id: str) -> None:
        """Remove the pieces of an upload, also those that it got from others."""
        keys = await self.uploads.pieces(tenant, upload_id)
        folders = {f"{key.rpartition('/')[0]}/" for key in keys}
        for folder in sorted(folders | {locations.pieces(tenant, upload_id)}):
            await self.blobs.clear(folder)
        await self.uploads.forget_pieces(tenant, upload_id)

    async def drop_abandoned(self) -> int:
        """Remove uploads whose time is over, with their bytes; answers how many."""
        dropped = 0
        for tenant, upload_id in await self.uploads.expired(_PASS):
            with suppress(Locked, NotFound):  # somebody goes on with it, or was quicker
                dropped += await self._drop_expired(tenant, upload_id)
        return dropped

    async def _drop_expired(self, tenant: TenantId, upload_id: str) -> bool:
        async with self.uploads.held(tenant, upload_id, patience=1.0) as hold:
            upload = await self.uploads.get(tenant, upload_id, direct=None)
            if upload.expires_at > self.clock():
                return False
            if upload.direct and self.blobs.s3:
                with suppress(NotFound):  # it has no parts any more
                    key = locations.direct(tenant, upload_id)
                    await self.blobs.s3.give_up(key, upload.direct)
            await self.blobs.clear(locations.pieces(tenant, upload_id))
            await hold.remove()
            await self.space.give(tenant, file_of(upload_id))
        return True


async def drop_abandoned_forever(pieces: Pieces, every: float = _EVERY) -> None:
    """Look for abandoned uploads now and then, for ever. Several may do so at a time."""
    while True:
        try:
            if dropped := await pieces.drop_abandoned():
                extra = {"action": Action.UPLOADS_ABANDONED, "uploads": str(dropped)}
                _log.info("%d abandoned uploads were removed", dropped, extra=extra)
        except ReelwayError as error:
            extra = {"action": Action.SWEEP_FAILED}
            _log.warning("abandoned uploads stay for now: %s", error.detail, extra=extra)
        await asyncio.sleep(every * random.uniform(0.8, 1.2))
