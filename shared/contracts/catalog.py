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
