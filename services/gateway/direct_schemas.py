"""Uploads that go to the object store directly, as the HTTP interface shows them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Number = Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class NewDirectUpload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is going to be sent: its name, and how many bytes it has."""

    size: Annotated[int, msgspec.Meta(ge=1)]
    name: str = ""


class DirectUpload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload to the object store. All of its `parts` have `part_size` bytes but the last one.
    `video` and `job` are there once it is complete.
    """

    id: str
    name: str
    state: Literal["open", "complete"]
    size: int
    part_size: int
    parts: int
    created_at: str
    expires_at: str | None
    video: str
    job: str


class PartAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where to send a part with PUT: exactly `size` bytes, without credentials or other headers,
    until it expires.
    """

    url: str
    number: int
    size: int
    expires_at: str
    method: Literal["PUT"] = "PUT"


class DirectPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part that has arrived."""

    number: int
    etag: str
    size: int


class DirectParts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts that have arrived, by their numbers."""

    items: list[DirectPart]


class PartTag(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part and the `ETag` that the store answered."""

    number: Number
    etag: str


class CompleteDirectUpload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parts as the client has seen them arrive; those that are left out are not compared."""

    parts: list[PartTag] = []
