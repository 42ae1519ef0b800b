"""Messages owned by the drive service, which keeps the bytes of a tenant."""

from __future__ import annotations

from shared.contracts.base import Command, Event


class CompleteUpload(Command, frozen=True, kw_only=True, tag="drive.complete_upload.v1"):
    """All bytes of an upload have arrived: take them in and have the video processed.

    The sender chooses every id, so the command sent twice is one upload. ``size`` is in bytes.
    """

    upload_id: str
    video_id: str
    job_id: str
    name: str
    size: int


class DeleteFile(Command, frozen=True, kw_only=True, tag="drive.delete_file.v1"):
    """Remove the bytes of a video: its file, its pictures, and what the jobs named left behind."""

    video_id: str
    file_id: str
    job_ids: tuple[str, ...] = ()


class FileStored(Event, frozen=True, kw_only=True, tag="drive.file_stored.v1"):
    """A file is in its place, verified; ``location`` is its blob key."""

    file_id: str
    video_id: str
    job_id: str
    name: str
    size: int
    sha256: str
    media_type: str
    location: str
