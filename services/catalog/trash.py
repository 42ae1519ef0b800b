"""The trash: videos that nobody sees any more and that can come back, until their time is over."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import msgspec

from services.catalog.videos import Videos, captions_changed
from shared.clock import Clock
from shared.contracts.catalog import VideoRestored, VideoTrashed
from shared.contracts.records import Video
from shared.errors import NotFound, ReelwayError
from shared.ids import derived_id
from shared.store.keys import TENANTS, trash_index, videos_index
from shared.store.records import Change, Records
from shared.telemetry.names import Action
from shared.tenancy import TenantId, tenant_id

DAY_MS = 24 * 3600 * 1000
_EVERY = 600.0
_PAGE = 200
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trash:
    """The trash of every tenant. What lies in it is kept for ``days``."""

    records: Records
    videos: Videos
    clock: Clock
    days: float

    async def put(self, tenant: TenantId, video_id: str, new_change: Callable[[], Change]) -> None:
        """Put a video into the trash; :class:`NotFound` when it is not there, or there already."""

        async def edit(video: Video, change: Change) -> Video:
            if video.trashed_at:
                raise NotFound("there is no such video")
            now, version = self.clock(), video.version + 1
            purge_at = now + int(self.days * DAY_MS)
            change.unindex(videos_index(tenant), video.id).index(trash_index(tenant), video.id)
            event = VideoTrashed(video_id=video.id, purge_at=purge_at)
            _say(change, "trashed", event, version)
            return msgspec.structs.replace(
                video, trashed_at=now, purge_at=purge_at, version=version, updated_at=now
            )

        await self.videos.update(tenant, video_id, edit, new_change)

    async def restore(
        self, tenant: TenantId, video_id: str, new_change: Callable[[], Change]
    ) -> None:
        """Take a video out of the trash; :class:`NotFound` when it is not in there."""

        async def edit(video: Video, change: Change) -> Video:
            if not video.trashed_at:
                raise NotFound("there is no such video in the trash")
            version = video.version + 1
            change.unindex(trash_index(tenant), video.id).index(videos_index(tenant), video.id)
            _say(change, "restored", VideoRestored(video_id=video.id), version)
            return msgspec.structs.replace(
                video, trashed_at=0, purge_at=0, version=version, updated_at=self.clock()
            )

        await self.videos.update(tenant, video_id, edit, new_change)

    async def purge(self) -> int:
        """Remove what has been in the trash for long enough; answers how many videos. Several may
        do so at a time.
        """
        purged = 0
        async for tenant in self._pages(TENANTS):
            owner = tenant_id(tenant)
            async for video_id in self._pages(trash_index(owner)):
                purged += await self._purge(owner, video_id)
        return purged

    async def _purge(self, tenant: TenantId, video_id: str) -> bool:
        def is_due(video: Video) -> bool:
            return 0 < video.purge_at <= self.clock()

        try:
            if is_due(await self.videos.get(tenant, video_id)):
                await self.videos.remove(tenant, video_id, lambda: Change(tenant), is_due)
                return True
        except NotFound:  # somebody was quicker
            return False
        return False

    async def _pages(self, index: str) -> AsyncIterator[str]:
        before = ""
        while members := await self.records.page(index, before, _PAGE):
            for member in members:
                yield member
            before = members[-1]


def _say(change: Change, what: str, event: VideoTrashed | VideoRestored, version: int) -> None:
    """Tell of it, and have every search index look at the video again."""
    captions_changed(change, event.video_id)
    message_id = derived_id(what, event.video_id, str(version))
    change.say(event, message_id=message_id, key=event.video_id)


async def purge_forever(trash: Trash, every: float = _EVERY) -> None:
    """Look through the trash now and then, for ever."""
    while True:
        try:
            if purged := await trash.purge():
                extra = {"action": Action.TRASH_PURGED, "videos": str(purged)}
                _log.info("%d videos whose time in the trash was over went", purged, extra=extra)
        except ReelwayError as error:
            extra = {"action": Action.SWEEP_FAILED}
            _log.warning("the trash could not be looked through: %s", error.detail, extra=extra)
        await asyncio.sleep(every * random.uniform(0.8, 1.2))
