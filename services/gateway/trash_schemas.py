"""Deleting and the trash, as the HTTP interface takes and shows them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from services.gateway.schemas import Id


class HowToDelete(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a video goes into the trash."""

    permanent: Annotated[bool, msgspec.Meta(description="Remove it for good, at once")] = False


class DeleteBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which videos to delete."""

    ids: Annotated[tuple[Id, ...], msgspec.Meta(min_length=1, max_length=100)]
    permanent: bool = False


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one of them; `code` and `detail` say why it failed."""

    id: str
    outcome: Literal["deleted", "missing", "failed"]
    code: str | None = None
    detail: str | None = None


class DeletedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """What became of each, in the order they were given."""

    items: tuple[Deleted, ...]


class TrashedVideo(msgspec.Struct, frozen=True, kw_only=True):
    """A video in the trash; it can be restored until `purge_at`."""

    id: str
    name: str
    size: int
    created_at: str
    trashed_at: str
    purge_at: str


class TrashedVideos(msgspec.Struct, frozen=True, kw_only=True):
    """A page of videos in the trash."""

    items: tuple[TrashedVideo, ...]
    next: str | None = None


class VideoChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shall be different about a video (JSON merge patch, RFC 7396)."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
