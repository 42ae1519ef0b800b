"""Changes to the record of a video, each one atomic commit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from services.catalog.model import caption_job_id
from shared.contracts.catalog import VideoDeleted
from shared.contracts.drive import DeleteFile
from shared.contracts.jobs import StopJob, SubmitJob
from shared.contracts.records import Layout, Video
from shared.errors import Conflict, NotFound
from shared.ids import derived_id
from shared.store.keys import (
    CAPTION_CHANGES,
    captions_key,
    deleted_key,
    frames_key,
    layout_key,
    trash_index,
    video_key,
    videos_index,
)
from shared.store.records import Change, Records, StaleFence
from shared.tenancy import TenantId, tenant_id

T = TypeVar("T")
TOMBSTONE_SECONDS = 7 * 24 * 3600
CHANGES_KEPT = 100_000
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Videos:
    """The catalog's own records."""

    records: Records

    async def get(self, tenant: TenantId, video_id: str) -> Video:
        """The video; :class:`NotFound` when there is none."""
        video = await self.records.get(Video, video_key(tenant, video_id))
        if video is None:
            raise NotFound("there is no such video")
        return video

    async def add(self, video: Video, new_change: Callable[[], Change]) -> None:
        """Write a new video, unless it is there or was deleted meanwhile; then its bytes go too, as
        whoever deleted it may not have known of them.
        """
        change = new_change()
        tenant = tenant_id(change.tenant)
        key, deleted = video_key(tenant, video.id), deleted_key(tenant, video.id)
        change.absent(key).absent(deleted)
        change.put(key, video).index(videos_index(tenant), video.id)
        try:
            await self.records.commit(change)
        except StaleFence:
            raise
        except Conflict:
            if await self.records.exists(deleted):
                await self.records.commit(_without_file(new_change(), video))

    async def refuse(self, video_id: str, change: Change) -> None:
        """A video that nobody has told of shall not be there: see :meth:`add`."""
        change.mark(deleted_key(tenant_id(change.tenant), video_id), TOMBSTONE_SECONDS)
        await self.records.commit(change)

    async def update(
        self,
        tenant: TenantId,
        video_id: str,
        edit: Callable[[Video, Change], Awaitable[Video]],
        new_change: Callable[[], Change],
    ) -> Video:
        """Change a video as it is now: ``edit`` gets the record and may add to the change, also by
        what it reads of the video's other records. When another change came in between, it is
        asked again.
        """
        key = video_key(tenant, video_id)

        async def change_it() -> Video:
            video = await self.get(tenant, video_id)
            change = new_change().expect(key, video.version)
            edited = await edit(video, change)
            await self.records.commit(change.put(key, edited))
            return edited

        return await _retried(change_it)

    async def remove(
        self,
        tenant: TenantId,
        video_id: str,
        new_change: Callable[[], Change],
        only_if: Callable[[Video], bool] = lambda _: True,
    ) -> None:
        """Remove a video as it is now, with all that hangs on it, if it is such a one; drive lets
        go of the bytes.
        """

        async def remove_it() -> None:
            video = await self.get(tenant, video_id)
            if only_if(video):
                change = new_change().expect(video_key(tenant, video_id), video.version)
                await self._remove(tenant, video, change)

        await _retried(remove_it)

    async def _remove(self, tenant: TenantId, video: Video, change: Change) -> None:
        change.delete(
            video_key(tenant, video.id),
            layout_key(tenant, video.id),
            frames_key(tenant, video.id),
            captions_key(tenant, video.id),
        ).unindex(videos_index(tenant), video.id).unindex(trash_index(tenant), video.id)
        change.mark(deleted_key(tenant, video.id), TOMBSTONE_SECONDS)
        captions_changed(change, video.id)
        for job_id in _jobs_of(video):
            stop = StopJob(job_id=job_id, reason="the video was deleted")
            change.say(stop, message_id=derived_id("stop", job_id), key=video.id)
        _without_file(change, video)
        event = VideoDeleted(video_id=video.id)
        change.say(event, message_id=derived_id("deleted", video.id), key=video.id)
        await self.records.commit(change)


def _jobs_of(video: Video) -> tuple[str, ...]:
    return tuple(job for job in (video.process_job, video.caption_job) if job)


def _without_file(change: Change, video: Video) -> Change:
    """Have drive let go of the bytes. It may be told so again."""
    gone = DeleteFile(video_id=video.id, file_id=video.file_id, job_ids=_jobs_of(video))
    return change.say(gone, message_id=derived_id("delete", video.id), key=video.id)


async def _retried(act: Callable[[], Awaitable[T]]) -> T:
    """Do it again, a few times, when another change came in between."""
    for _ in range(_TRIES - 1):
        try:
            return await act()
        except StaleFence:
            raise
        except Conflict:
            continue
    return await act()


def captions_changed(change: Change, video_id: str) -> None:
    """Let every search index know that it should look at this video again."""
    change.append(CAPTION_CHANGES, CHANGES_KEPT, tenant=change.tenant, video=video_id)


def laid_out(change: Change, video: Video, layout: Layout) -> Video:
    """The video with a layout that is new to it. What reads captions under the one before is
    stopped; what was read stays until other captions take its place, or there are none.
    """
    tenant = tenant_id(change.tenant)
    change.put(layout_key(tenant, video.id), layout)
    if video.caption_job:
        stop = StopJob(job_id=video.caption_job, reason="the layout has changed")
        told = derived_id("stop", video.caption_job, str(layout.updated_at))
        change.say(stop, message_id=told, key=video.id)
    job_id, captions = "", video.captions
    if layout.state == "approved":
        job_id = ask_for_captions(change, video, layout)
    elif layout.state == "none" and captions is not None:
        change.delete(captions_key(tenant, video.id))
        captions_changed(change, video.id)
        captions = None
    return msgspec.structs.replace(
        video, layout=layout.state, caption_job=job_id, captions=captions
    )


def ask_for_captions(change: Change, video: Video, layout: Layout) -> str:
    """Have the captions read under this layout; answers the id of the job."""
    job_id = caption_job_id(video.id, layout)
    submit = SubmitJob(
        job_id=job_id,
        flow="caption_video",
        subject=video.id,
        params={
            "location": video.location,
            "sha256": video.sha256,
            "layout": layout.proposal,
            "duration": video.media.duration if video.media else 0.0,
        },
    )
    change.say(submit, message_id=derived_id("submit", job_id), key=video.id)
    return job_id
