"""Sends uploads in pieces, several at a time to one and the same."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import cast

from shared.contracts.catalog import VideoDeleted
from shared.errors import Rejected
from shared.ids import new_id
from shared.store.keys import upload_key
from shared.store.records import Change
from shared.store.redis import Store
from shared.store.space import Space
from shared.store.uploads import Piece, Upload, Uploads
from tests.recovery.parcels import TENANTS

UNDER_WAY = "test:uploads"
"""List of uploads that anybody may go on with."""
LENGTH = 100
_LOOKED_AT = 6
_PATIENCE = 0.3


class Shipper:
    """One client."""

    def __init__(self, store: Store) -> None:
        self._redis = store.commands
        self._uploads = Uploads(store, "shipper")
        self._space = Space(store)

    async def round(self) -> None:
        """Begin an upload, go on with one, give one up, forget about one, or make one of two."""
        await self._drop_abandoned()
        match random.random():
            case luck if luck < 0.3:
                upload = await self._begin()
                await self._redis.lpush(UNDER_WAY, upload.id)
            case luck if luck < 0.45:
                await self._join()
            case luck if luck < 0.6:
                await self._abandon()
            case _:
                await self._go_on()

    async def _abandon(self) -> None:
        """Leave one alone for a day."""
        upload = await self._begin()
        key = upload_key(TENANTS[0], upload.id)
        await self._redis.zadd("rw:uploads:expiring", {key: 1})

    async def _drop_abandoned(self) -> None:
        for tenant, upload_id in await self._uploads.expired(3):
            with suppress(Rejected):
                async with self._uploads.held(tenant, upload_id, _PATIENCE) as hold:
                    await hold.remove()
                    await self._space.give(tenant, upload_id)

    async def _begin(self, length: int = LENGTH, concat: str = "") -> Upload:
        upload = Upload(
            id=new_id(),
            tenant=TENANTS[0],
            name="a",
            video_id=new_id(),
            job_id=new_id(),
            length=length,
            concat=concat,
        )
        await self._expect(upload)
        await self._uploads.create(upload)
        return upload

    async def _expect(self, upload: Upload, size: int = 0) -> None:
        """Space for what has still to come, sometimes for so short that it comes back."""
        length = upload.length or 0
        seconds, due = random.choice((0.1, 600)), length - upload.offset - size
        await self._space.take(TENANTS[0], upload.id, length, seconds=seconds, due=due)

    async def _go_on(self) -> None:
        latest = cast("list[bytes]", await self._redis.lrange(UNDER_WAY, 0, _LOOKED_AT - 1))
        if latest:
            await self._add(random.choice(latest).decode())

    async def _add(self, upload_id: str, most: int = 40) -> None:
        async with self._uploads.held(TENANTS[0], upload_id, _PATIENCE) as hold:
            upload = await self._uploads.get(TENANTS[0], upload_id)
            if random.random() < 0.05 and upload.concat == "":
                await hold.remove()
                await self._space.give(TENANTS[0], upload_id)
                return
            size = min(random.randint(1, most), (upload.length or 0) - upload.offset)
            if size:
                await self._expect(upload, size)
                piece = Piece(f"{upload.offset}-{size}", size)
                await hold.add(upload.offset, [piece], _said(upload))

    async def _join(self) -> None:
        parts = [await self._begin(10, "partial") for _ in range(2)]
        for part in parts:
            while (await self._uploads.get(TENANTS[0], part.id)).state == "open":
                await self._add(part.id, 10)
        whole = Upload(
            id=new_id(),
            tenant=TENANTS[0],
            name="a",
            video_id=new_id(),
            job_id=new_id(),
            length=20,
            concat="final;",
        )
        await self._uploads.join(whole, [part.id for part in parts], _said(whole))


def _said(upload: Upload) -> Change:
    gone = VideoDeleted(video_id=upload.video_id)
    return Change(upload.tenant).say(gone, message_id=upload.id)
