"""The steps that catalog contributes to the flows: writing down what was found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from services.catalog.model import (
    ReadCaptions,
    ReadFrames,
    described,
    frames_of,
    named,
    new_video,
    numbered,
    proposed_layout,
    settled_layout,
)
from services.catalog.videos import Videos, captions_changed, laid_out
from shared.blobs import locations
from shared.clock import Clock
from shared.contracts.catalog import CaptionsPublished
from shared.contracts.drive import FileStored
from shared.contracts.records import (
    Artifact,
    Captions,
    Frames,
    Layout,
    StepOutput,
    Tenant,
    Video,
)
from shared.errors import Conflict, NotFound
from shared.ids import derived_id
from shared.store.keys import captions_key, frames_key, layout_key, tenant_key
from shared.store.records import Change, Records, StaleFence
from shared.work.context import StepContext, StepFunction, made_earlier
from shared.work.step import StepFailed

T = TypeVar("T")
_Edit = Callable[[Video, Change], Awaitable[Video]]


@dataclass(frozen=True, slots=True)
class CatalogSteps:
    """The steps of the pool ``catalog``."""

    records: Records
    videos: Videos
    clock: Clock

    def table(self) -> dict[str, StepFunction]:
        """Every step by name."""
        return {"describe": self.describe, "publish": self.publish}

    async def describe(self, context: StepContext) -> StepOutput:
        """Write what ``process_video`` found, and go on to the captions if that may be.

        Once in each epoch of the job. A later epoch writes facts, pictures and frames anew; the
        layout that a person approved stays, and so do the captions unless the layout is another.
        """
        await self._ensure_video(context)
        pictures = await _keep_pictures(context)
        found = await _read(context, "read_frames", "frames.json", ReadFrames)
        proposed = await self._proposed(context)
        epoch, at = context.job.epoch, self.clock()

        async def edit(video: Video, change: Change) -> Video:
            if video.described >= epoch:
                return video  # done before, by an attempt that could not say so; perhaps approved
            frames = Frames(video_id=video.id, frames=frames_of(found, pictures))
            change.put(frames_key(context.tenant, video.id), frames)
            edited = described(video, context.outputs, pictures, at)
            known = await self.records.get(Layout, layout_key(context.tenant, video.id))
            layout = settled_layout(known, proposed)
            if layout is not known:
                edited = laid_out(change, edited, layout)
            return msgspec.structs.replace(edited, described=epoch)

        video = await self._update(context, edit)
        await _drop_older_pictures(context)
        return StepOutput(result={"layout": video.layout})

    async def publish(self, context: StepContext) -> StepOutput:
        """Write the captions that ``caption_video`` read; from then on they can be searched."""
        found = await _read(context, "read_captions", "captions.json", ReadCaptions)
        video_id, at = context.job.subject, self.clock()
        captions = numbered(video_id, found)

        async def edit(video: Video, change: Change) -> Video:
            document = Captions(
                video_id=video.id,
                origin=found.origin,
                updated_at=at,
                version=video.version + 1,
                captions=captions,
            )
            change.put(captions_key(context.tenant, video.id), document)
            captions_changed(change, video.id)
            event = CaptionsPublished(
                video_id=video.id, job_id=context.job.id, captions=len(captions)
            )
            told = derived_id("published", context.job.id, str(context.job.epoch))
            change.say(event, message_id=told, key=video.id)
            return msgspec.structs.replace(
                video, captions=len(captions), updated_at=at, version=video.version + 1
            )

        await self._update(context, edit)
        return StepOutput(result={"captions": len(captions)})

    async def _ensure_video(self, context: StepContext) -> None:
        """The event that a file was stored may still be on its way: the step knows the same."""
        stored = msgspec.convert(
            {
                **context.outputs["store"].result,
                "kind": FileStored.__struct_config__.tag,
                "video_id": context.job.subject,
                "job_id": context.job.id,
            },
            FileStored,
        )
        await self.videos.add(new_video(stored, self.clock()), context.change)

    async def _proposed(self, context: StepContext) -> Layout:
        tenant = await self.records.get(Tenant, tenant_key(context.tenant))
        return proposed_layout(
            context.job.subject,
            context.outputs["layout"].result,
            auto_approve=tenant.auto_approve if tenant else False,
            at=context.job.opened_at,
        )

    async def _update(self, context: StepContext, edit: _Edit) -> Video:
        subject = context.job.subject
        try:
            return await self.videos.update(context.tenant, subject, edit, context.change)
        except NotFound as error:
            raise StepFailed(
                "video_deleted", "the video was deleted meanwhile", error_class="cancelled"
            ) from error
        except StaleFence:
            raise
        except Conflict as error:
            raise StepFailed("video_busy", error.detail, error_class="transient") from error


async def _read(context: StepContext, step: str, name: str, type_: type[T]) -> T:
    artifact = named(context.outputs[step].artifacts, name)
    with made_earlier(artifact.name):
        return msgspec.json.decode(await context.blobs.read_all(artifact.key), type=type_)


async def _keep_pictures(context: StepContext) -> dict[str, str]:
    """Copy the pictures from the results, which may expire; answers their keys by name."""
    kept: dict[str, str] = {}
    pictures = [a for s in ("poster", "frames") for a in context.outputs[s].artifacts]
    for done, artifact in enumerate(pictures):
        kept[artifact.name] = await _keep_picture(context, artifact)
        await context.progress(done / len(pictures), "keeping the pictures")
    return kept


async def _keep_picture(context: StepContext, artifact: Artifact) -> str:
    job = context.job
    key = locations.picture(context.tenant, job.subject, job.id, artifact.name, job.epoch)
    with made_earlier(artifact.name):
        await context.blobs.copy(artifact.key, key)
    return key


async def _drop_older_pictures(context: StepContext) -> None:
    """Remove the pictures of earlier epochs, which no record names any more."""
    job = context.job
    for epoch in range(1, job.epoch):
        older = locations.pictures_by(context.tenant, job.subject, job.id, epoch)
        await context.blobs.delete_prefix(older)
