"""Messages owned by the catalog service, which keeps what is known of a video."""

from __future__ import annotations

import msgspec

from shared.contracts.base import Event, Query


class VideoStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The video a request was about."""

    video_id: str


class DeleteVideo(Query[VideoStatus], frozen=True, kw_only=True, tag="catalog.delete_video.v1"):
    """Remove a video with its captions, its jobs and its bytes."""

    video_id: str


class TrashVideo(Query[VideoStatus], frozen=True, kw_only=True, tag="catalog.trash_video.v1"):
    """Put a video into the trash: nobody sees or finds it, and nothing of it is lost."""

    video_id: str


class RestoreVideo(Query[VideoStatus], frozen=True, kw_only=True, tag="catalog.restore_video.v1"):
    """Take a video out of the trash."""

    video_id: str


class RenameVideo(Query[VideoStatus], frozen=True, kw_only=True, tag="catalog.rename_video.v1"):
    """Give a video another name, if it still has this version."""

    video_id: str
    name: str
    version: int


class ApproveLayout(Query[VideoStatus], frozen=True, kw_only=True, tag="catalog.approve_layout.v1"):
    """Accept the proposed caption region and have the captions read."""

    video_id: str


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """One caption that answers a search; times in seconds, ``snippet`` is HTML-escaped text with
    ``<b>`` around the words found.
    """

    video_id: str
    start: float
    end: float
    text: str
    snippet: str
    score: float


class Hits(msgspec.Struct, frozen=True, kw_only=True):
    """The best captions for a search and how many there are in all."""

    total: int
    hits: tuple[Hit, ...] = ()


class SearchCaptions(Query[Hits], frozen=True, kw_only=True, tag="catalog.search.v1"):
    """Find captions of the tenant by their words."""

    q: str
    limit: int = 20
    offset: int = 0


class CaptionsPublished(Event, frozen=True, kw_only=True, tag="catalog.captions_published.v1"):
    """The captions of a video can be read and searched."""

    video_id: str
    job_id: str
    captions: int


class VideoDeleted(Event, frozen=True, kw_only=True, tag="catalog.video_deleted.v1"):
    """A video is gone."""

    video_id: str


class VideoTrashed(Event, frozen=True, kw_only=True, tag="catalog.video_trashed.v1"):
    """A video is in the trash; it goes at ``purge_at``, in milliseconds since the epoch."""

    video_id: str
    purge_at: int


class VideoRestored(Event, frozen=True, kw_only=True, tag="catalog.video_restored.v1"):
    """A video is back from the trash."""

    video_id: str


class VideoRenamed(Event, frozen=True, kw_only=True, tag="catalog.video_renamed.v1"):
    """A video has another name."""

    video_id: str
    name: str
