"""Where the bytes of a tenant lie. Every blob key of Reelway has one of these shapes.

::

    <tenant>/incoming/<upload>                 as it arrived, not yet verified
    <tenant>/incoming/<upload>.d/<offset>-<who>
                                               a piece of it, where it arrives in pieces
    <tenant>/files/<file>/original             the file itself
    <tenant>/work/<job>/<fence>/<name>         what an attempt keeps for the next one, and for later
                                               steps where it is nothing for other jobs
    <tenant>/results/<source>/<key>/<job>-<fence>/<name>
                                               what a step made of a source, for every job
    <tenant>/videos/<video>/<job>/<name>       pictures of a video, made by a job; what a later
                                               epoch of the job made is in <job>-<epoch>
"""

from __future__ import annotations

import re
from typing import NamedTuple

from shared.tenancy import TenantId, blob_key


def incoming(tenant: TenantId, upload_id: str) -> str:
    """An upload on its way in."""
    return blob_key(tenant, "incoming", upload_id)


def piece(tenant: TenantId, upload_id: str, offset: int, owner: str) -> str:
    """A piece of an upload that begins at this byte. The owner, who may add to the upload, keeps
    one that has lost that right out of another's pieces.
    """
    return blob_key(tenant, "incoming", f"{upload_id}.d", f"{offset:020d}-{owner}")


def direct(tenant: TenantId, upload_id: str) -> str:
    """The one piece of an upload whose parts the object store takes itself."""
    return piece(tenant, upload_id, 0, "direct")


def pieces(tenant: TenantId, upload_id: str) -> str:
    """All pieces of an upload, also those that do not count."""
    return blob_key(tenant, "incoming", f"{upload_id}.d") + "/"


def original(tenant: TenantId, file_id: str) -> str:
    """The bytes of a file."""
    return blob_key(tenant, "files", file_id, "original")


def files(tenant: TenantId, file_id: str) -> str:
    """Everything that belongs to a file."""
    return blob_key(tenant, "files", file_id) + "/"


def work(tenant: TenantId, job_id: str, fence: int, name: str) -> str:
    """What one attempt of a job made. The fence keeps a late attempt out of another's files."""
    return blob_key(tenant, "work", job_id, str(fence), name)


def work_by(tenant: TenantId, job_id: str, fence: int) -> str:
    """Everything one attempt of a job left."""
    return blob_key(tenant, "work", job_id, str(fence)) + "/"


def work_of(tenant: TenantId, job_id: str) -> str:
    """Everything all attempts of a job left."""
    return blob_key(tenant, "work", job_id) + "/"


class Made(NamedTuple):
    """Which result the blobs of one folder belong to, and which attempt made them."""

    key: str
    job_id: str
    fence: int


def result(tenant: TenantId, source: str, made: Made, name: str) -> str:
    """A file of a result. Two who make the same at a time write into folders of their own."""
    folder = f"{made.job_id}-{made.fence}"
    return blob_key(tenant, "results", source, made.key, folder, name)


def results_of(tenant: TenantId, source: str) -> str:
    """Everything that was made of a source."""
    return blob_key(tenant, "results", source) + "/"


def results(tenant: TenantId) -> str:
    """Everything that was made of any source."""
    return blob_key(tenant, "results") + "/"


_RESULT = re.compile(r"[^/]+/results/[0-9a-f]{64}/([0-9a-f]{64})/([^/]+)-([0-9]+)/[^/]+")


def made_of(key: str) -> Made | None:
    """What a blob of a result belongs to; None when it is none of these."""
    found = _RESULT.fullmatch(key)
    return Made(found[1], found[2], int(found[3])) if found else None


def picture(tenant: TenantId, video_id: str, job_id: str, name: str, epoch: int = 1) -> str:
    """A picture of a video. It never changes: another job, or epoch, makes another key."""
    return blob_key(tenant, "videos", video_id, _picture_folder(job_id, epoch), name)


def pictures_by(tenant: TenantId, video_id: str, job_id: str, epoch: int) -> str:
    """Everything that one epoch of a job kept for a video."""
    return blob_key(tenant, "videos", video_id, _picture_folder(job_id, epoch)) + "/"


def _picture_folder(job_id: str, epoch: int) -> str:
    return job_id if epoch == 1 else f"{job_id}-{epoch}"


def pictures(tenant: TenantId, video_id: str) -> str:
    """Everything kept for a video besides its file."""
    return blob_key(tenant, "videos", video_id) + "/"
