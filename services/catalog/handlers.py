"""What the catalog service does about each message."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from services.catalog.model import new_video
from services.catalog.search import CaptionIndex
from services.catalog.trash import Trash
from services.catalog.videos import Videos, ask_for_captions
from shared.bus.router import Context, Router
from shared.clock import Clock
from shared.contracts.catalog import (
    ApproveLayout,
    DeleteVideo,
    Hits,
    RenameVideo,
    RestoreVideo,
    SearchCaptions,
    TrashVideo,
    VideoRenamed,
    VideoStatus,
)
from shared.contracts.drive import FileStored
from shared.contracts.jobs import JobFinished
from shared.contracts.library import FileRenamed
from shared.contracts.records import Layout, Video
from shared.errors import Conflict, NotFound
from shared.ids import derived_id
from shared.serving import change_of
from shared.store.keys import layout_key
from shared.store.records import Change, Records


@dataclass(frozen=True, slots=True)
class CatalogHandlers:
    """Keeps what is known of videos, and answers questions about it."""

    records: Records
    videos: Videos
    index: CaptionIndex
    trash: Trash
    clock: Clock

    def router(self) -> Router:
        """The service's table of contents."""
        return (
            Router("catalog")
            .on(FileStored, self.add_video)
            .on(FileRenamed, self.rename)
            .on(JobFinished, self.drop_refused)
            .answer(DeleteVideo, self.delete_video)
            .answer(TrashVideo, self.trash_video)
            .answer(RestoreVideo, self.restore_video)
            .answer(RenameVideo, self.rename_video)
            .answer(ApproveLayout, self.approve_layout)
            .answer(SearchCaptions, self.search)
        )

    async def add_video(self, message: FileStored, context: Context) -> None:
        """A file is in its place: from now on there is a video."""
        await self.videos.add(new_video(message, self.clock()), lambda: change_of(context))

    async def rename(self, message: FileRenamed, context: Context) -> None:
        """The file in its library has another name, and so has the video, unless somebody has given
        it one of its own.
        """

        async def edit(video: Video, _: Change) -> Video:
            if video.name != message.was:
                return video
            return msgspec.structs.replace(
                video, name=message.name, version=video.version + 1, updated_at=self.clock()
            )

        with suppress(NotFound):  # it was deleted meanwhile
            await self.videos.update(
                context.tenant, message.video_id, edit, lambda: change_of(context)
            )

    async def drop_refused(self, message: JobFinished, context: Context) -> None:
        """What turned out to be no video is refused as a whole: the failed job is its receipt. That
        its file was stored may be told later than that its job has ended.
        """
        if message.flow != "process_video" or message.error_class != "bad_input":
            return

        def never_passed(video: Video) -> bool:
            return video.process_job == message.job_id and video.media is None

        try:
            await self.videos.remove(
                context.tenant, message.subject, lambda: change_of(context), never_passed
            )
        except NotFound:
            await self.videos.refuse(message.subject, change_of(context))

    async def delete_video(self, message: DeleteVideo, context: Context) -> VideoStatus:
        """Remove a video for good."""
        await self.videos.remove(context.tenant, message.video_id, lambda: change_of(context))
        return VideoStatus(video_id=message.video_id)

    async def trash_video(self, message: TrashVideo, context: Context) -> VideoStatus:
        """Put a video into the trash."""
        await self.trash.put(context.tenant, message.video_id, lambda: change_of(context))
        return VideoStatus(video_id=message.video_id)

    async def restore_video(self, message: RestoreVideo, context: Context) -> VideoStatus:
        """Take a video out of the trash."""
        await self.trash.restore(context.tenant, message.video_id, lambda: change_of(context))
        return VideoStatus(video_id=message.video_id)

    async def rename_video(self, message: RenameVideo, context: Context) -> VideoStatus:
        """Give a video another name, if it is still the one that was seen."""

        async def edit(video: Video, change: Change) -> Video:
            if video.version != message.version or video.trashed_at:
                raise Conflict("the video has changed meanwhile", code="version_changed")
            version = video.version + 1
            event = VideoRenamed(video_id=video.id, name=message.name)
            change.say(
                event, message_id=derived_id("renamed", video.id, str(version)), key=video.id
            )
            return msgspec.structs.replace(
                video, name=message.name, version=version, updated_at=self.clock()
            )

        await self.videos.update(context.tenant, message.video_id, edit, lambda: change_of(context))
        return VideoStatus(video_id=message.video_id)

    async def approve_layout(self, message: ApproveLayout, context: Context) -> VideoStatus:
        """Accept the proposed region and queue the reading of the captions, in one change."""
        key = layout_key(context.tenant, message.video_id)

        async def edit(video: Video, change: Change) -> Video:
            layout = await self._layout(key)
            if layout.state == "approved":
                return video
            approved = msgspec.structs.replace(
                layout, state="approved", approved_by="person", updated_at=self.clock()
            )
            change.put(key, approved)
            job_id = ask_for_captions(change, video, approved)
            return msgspec.structs.replace(
                video,
                layout="approved",
                caption_job=job_id,
                version=video.version + 1,
                updated_at=self.clock(),
            )

        await self.videos.update(context.tenant, message.video_id, edit, lambda: change_of(context))
        return VideoStatus(video_id=message.video_id)

    async def _layout(self, key: str) -> Layout:
        layout = await self.records.get(Layout, key)
        if layout is None:
            raise NotFound("there is no layout to approve")
        if layout.state == "none":
            raise Conflict("no caption region was found in this video", code="no_layout")
        return layout

    async def search(self, message: SearchCaptions, context: Context) -> Hits:
        """Captions by their words, of this tenant alone."""
        await self.index.refresh()
        return await asyncio.to_thread(
            self.index.search, context.tenant, message.q, message.limit, message.offset
        )
