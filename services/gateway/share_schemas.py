"""Share links and signed addresses, as the HTTP interface takes and shows them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from services.gateway.schemas import Id, Media

Password = Annotated[str, msgspec.Meta(max_length=200, description="Anybody who comes must say it")]


class SignedWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long signed addresses shall be valid."""

    seconds: Annotated[
        int, msgspec.Meta(ge=60, le=86_400, description="Until they end; a player asks again")
    ] = 21_600


class SignedVideo(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of a video's media that need no key, until they end or the key that asked for them
    is revoked.
    """

    expires_at: str
    stream: str
    download: str
    thumbnail: str
    captions: str


class SignedJob(msgspec.Struct, frozen=True, kw_only=True):
    """The address of a job's events that needs no key."""

    expires_at: str
    events: str


class ShareBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a share link shall allow. Without `expires_in` (seconds) it stays until it is deleted;
    `captions_only` shows the captions, not the picture.
    """

    name: Annotated[str, msgspec.Meta(max_length=200)] = ""
    expires_in: Annotated[int, msgspec.Meta(ge=60, le=366 * 86_400)] | None = None
    password: Password = ""
    max_views: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    captions_only: bool = False


class ShareView(msgspec.Struct, frozen=True, kw_only=True):
    """A share link; its address was shown when it was made. `ended` says why it opens nothing any
    more.
    """

    id: Id
    video: Id
    name: str
    created_at: str
    expires_at: str | None
    has_password: bool
    captions_only: bool
    views: int
    max_views: int | None
    ended: Literal["revoked", "expired", "used_up"] | None


class NewShare(ShareView, frozen=True, kw_only=True):
    """A share link that was just made; `url` is shown this once."""

    url: str


class SharesView(msgspec.Struct, frozen=True, kw_only=True):
    """The share links of a video, newest first; there are at most 100."""

    items: tuple[ShareView, ...]


class ShareVisit(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody came by a share link: `view` (and was let in), `refused` (by the password),
    `stream`, `download` (from the first byte on).
    """

    at: str
    what: str
    request_id: str
    address: str
    user_agent: str


class ShareLog(msgspec.Struct, frozen=True, kw_only=True):
    """The last visits, newest first."""

    items: tuple[ShareVisit, ...]


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What is behind a share link. Where `needs_view`, ask for a view first; until then neither
    name nor media are shown.
    """

    needs_view: bool
    password_required: bool
    captions_only: bool
    expires_at: str | None
    name: str | None = None
    media: Media | None = None


class ViewBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Looking at what is shared."""

    password: Annotated[str, msgspec.Meta(max_length=200)] = ""


class ViewQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who has asked for a view says which."""

    view: Annotated[str, msgspec.Meta(max_length=1024)] = ""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A view: addresses that are valid for a while. `stream`, `download` and `thumbnail` are null
    where only the captions are shared.
    """

    expires_at: str
    details: str
    captions: str
    captions_vtt: str
    stream: str | None = None
    download: str | None = None
    thumbnail: str | None = None
