"""Takes uploads in as the gateway does, and minds them as a person would: what failed is retried.

Like :mod:`tests.recovery.clerk` it writes down what it means to do, and what was accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import cast

from shared.blobs import locations
from shared.blobs.store import Blobs
from shared.bus.publisher import Bus
from shared.contracts.drive import CompleteUpload
from shared.contracts.jobs import RetryJob
from shared.contracts.records import Job, Video
from shared.errors import Rejected, Unavailable
from shared.ids import derived_id
from shared.store.keys import video_key
from shared.store.records import Records
from shared.store.redis import Store
from shared.tenancy import TenantId, tenant_id
from shared.work.jobs import Jobs, job_key
from tests.recovery.clerk import ACCEPTED, CLOSING, MEANT

TENANTS = (tenant_id("acme"), tenant_id("other"))
OPEN = "test:open"
"""How many uploads are under way at a time."""
_BYTES = b"\x1a\x45\xdf\xa3" + b"no video, but it looks like one" * 100
_REST = 0.2


class Upload:
    """The ``number``-th upload: everything about it follows from the number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.tenant: TenantId = TENANTS[number % len(TENANTS)]
        self.upload_id = derived_id("upload", str(number))
        self.video_id = derived_id("video", str(number))
        self.job_id = derived_id("process", str(number))

    @property
    def key(self) -> str:
        """The key of its first job."""
        return job_key(self.tenant, self.job_id)

    @property
    def video_key(self) -> str:
        """The key of its video."""
        return video_key(self.tenant, self.video_id)


class Porter:
    """One who stands at the door."""

    def __init__(self, store: Store, bus: Bus, blobs: Blobs) -> None:
        self._redis = store.commands
        self._jobs = Jobs(store)
        self._records = Records(store, "test")
        self._bus = bus
        self._blobs = blobs
        self._open: set[int] = set()

    async def work(self) -> None:
        """Take uploads in until it is enough; return when all have been captioned."""
        while True:
            with suppress(Unavailable):
                if await self._round():
                    return
            await asyncio.sleep(_REST)

    async def _round(self) -> bool:
        """Whether there is nothing left to do."""
        meant = self._open or await self._numbers(MEANT)
        for number in await self._numbers(MEANT) - await self._numbers(ACCEPTED):
            await self._take_in(Upload(number))
        self._open = {number for number in meant if not await self._is_settled(Upload(number))}
        if await self._redis.exists(CLOSING):
            return not self._open
        for _ in range(int(await self._redis.get(OPEN) or 1) - len(self._open)):
            number = int(await self._redis.incr(f"{MEANT}:last"))
            await self._redis.sadd(MEANT, number)
            self._open.add(number)
        return False

    async def _take_in(self, upload: Upload) -> None:
        await self._blobs.put(locations.incoming(upload.tenant, upload.upload_id), _content())
        command = CompleteUpload(
            upload_id=upload.upload_id,
            video_id=upload.video_id,
            job_id=upload.job_id,
            name=f"upload {upload.number}",
            size=len(_BYTES),
        )
        await self._bus.send(command, tenant=upload.tenant, id=upload.upload_id, timeout=3.0)
        await self._redis.sadd(ACCEPTED, upload.number)

    async def _is_settled(self, upload: Upload) -> bool:
        if not await self._has_succeeded(upload.tenant, upload.job_id):
            return False
        video = await self._records.get(Video, upload.video_key)
        if video is None or not video.caption_job:
            return False
        return await self._has_succeeded(upload.tenant, video.caption_job)

    async def _has_succeeded(self, tenant: TenantId, job_id: str) -> bool:
        job: Job | None = await self._jobs.get(tenant, job_id)
        if job and job.state == "failed":
            with suppress(Rejected):
                await self._bus.ask(RetryJob(job_id=job_id), tenant=tenant, timeout=2.0)
        return job is not None and job.state == "succeeded"

    async def _numbers(self, name: str) -> set[int]:
        members = cast("set[bytes]", await self._redis.smembers(name))
        return {int(member) for member in members}


async def _content() -> AsyncIterator[bytes]:
    yield _BYTES
