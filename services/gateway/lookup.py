"""Finding videos and jobs, also in the moment between our 202 and their owners' records."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from services.gateway import job_views, schemas, views
from services.gateway.door import Door
from shared.blobs.library import is_in_library
from shared.contracts.library import LibraryFile
from shared.contracts.records import Accepted, Job, Video
from shared.errors import Conflict, NotFound, Rejected
from shared.ids import is_id
from shared.store.keys import accepted_key, deleted_key, library_file_key, video_key
from shared.tenancy import TenantId


async def find_video(door: Door, tenant: TenantId, video_id: str) -> Video:
    """The record of a video; :class:`NotFound` for any other id, also another tenant's."""
    video = None
    if is_id(video_id):
        video = await door.records.get(Video, video_key(tenant, video_id))
    if video is None or video.trashed_at:
        raise NotFound("there is no such video")
    return video


async def show_video(door: Door, tenant: TenantId, video_id: str) -> schemas.Video:
    """A video as it is shown, from the moment its upload was accepted."""
    key = video_key(tenant, video_id) if is_id(video_id) else ""
    video = await door.records.get(Video, key) if key else None
    if video and video.trashed_at:
        raise NotFound("there is no such video")
    if shown := await show_videos(door, tenant, [video] if video else []):
        return shown[0]
    accepted = await find_accepted(door, tenant, video_id)
    job = await door.jobs.get(tenant, accepted.job_id)
    is_deleted = await door.records.exists(deleted_key(tenant, video_id))
    if is_deleted and (job is None or job.state != "failed"):
        raise NotFound("there is no such video")
    return views.accepted_video(accepted, job)


async def show_videos(
    door: Door, tenant: TenantId, videos: Sequence[Video]
) -> tuple[schemas.Video, ...]:
    """Videos as they are shown, with the state of their jobs.

    The records are read again after the jobs: a job that has succeeded has written its record, so
    what is shown as done is really there.
    """
    wanted = [job for video in videos for job in (video.process_job, video.caption_job) if job]
    found = await door.jobs.get_many(tenant, wanted)
    jobs: dict[str, Job | None] = dict(zip(wanted, found, strict=True))
    fresh = await door.records.get_many(Video, [video_key(tenant, each.id) for each in videos])
    in_place = [each.file_id for each in fresh if is_in_library(each.location)]
    keys = [library_file_key(tenant, each) for each in in_place]
    files = {each.id: each for each in await door.records.get_many(LibraryFile, keys)}
    return tuple(
        views.video(
            video,
            jobs.get(video.process_job),
            jobs.get(video.caption_job),
            files.get(video.file_id),
        )
        for video in fresh
    )


async def find_accepted(door: Door, tenant: TenantId, any_id: str) -> Accepted:
    """What was accepted under the id of its video or its job."""
    accepted = None
    if is_id(any_id):
        accepted = await door.records.get(Accepted, accepted_key(tenant, any_id))
    if accepted is None:
        raise NotFound("there is no such thing here")
    return accepted


async def show_job(door: Door, tenant: TenantId, job_id: str) -> schemas.Job:
    """A job as it is shown, from the moment its upload was accepted."""
    return (await seek_job(door, tenant, job_id))[1]


async def seek_job(door: Door, tenant: TenantId, job_id: str) -> tuple[Job | None, schemas.Job]:
    """A job's record, if its owner has written it, and how the job is shown."""
    job = await door.jobs.get(tenant, job_id) if is_id(job_id) else None
    if job is not None:
        return job, job_views.job(job, door.clock())
    return None, job_views.accepted_job(await find_accepted_job(door, tenant, job_id))


async def find_accepted_job(door: Door, tenant: TenantId, job_id: str) -> Accepted:
    """What was accepted under the id of its job."""
    with suppress(NotFound):
        accepted = await find_accepted(door, tenant, job_id)
        if accepted.job_id == job_id:
            return accepted
    raise NotFound("there is no such job")


async def find_job(door: Door, tenant: TenantId, job_id: str) -> Job:
    """A job of the ledger; :class:`NotFound` for any other id, :class:`Conflict` for one that was
    accepted a moment ago and is still on its way there.
    """
    job = await door.jobs.get(tenant, job_id) if is_id(job_id) else None
    if job is None:
        raise await missing_job(door, tenant, job_id)
    return job


async def missing_job(door: Door, tenant: TenantId, job_id: str) -> Rejected:
    """Why there is no such job in the ledger."""
    try:
        await find_accepted_job(door, tenant, job_id)
    except NotFound as unknown:
        return unknown
    return Conflict("the job is not in line yet", code="not_in_line", hint="try again in a moment")
