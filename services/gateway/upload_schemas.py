"""Uploads in pieces, as the HTTP interface shows them."""

from __future__ import annotations

from typing import Literal

import msgspec


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload in pieces. `length` is null until the client has said it, `video` and `job` are
    there once it is complete.
    """

    id: str
    name: str
    state: Literal["open", "complete"]
    offset: int
    length: int | None
    created_at: str
    expires_at: str | None
    video: str
    job: str


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant has; `max_bytes` is null without a quota. While `intake` is paused for want of
    space, no upload is taken.
    """

    bytes: int
    files: int
    max_bytes: int | None
    intake: Literal["open", "paused"]
