"""Records of share links, which let anybody who has one see a video."""

from __future__ import annotations

from shared.contracts.records import Record


class Share(Record, frozen=True, kw_only=True):
    """A link by which anybody may see a video (owner: gateway). Of its token only the SHA-256 is
    kept, of its password what scrypt made of it. 0 stands for no end and for no limit of views.
    ``wrong`` counts tries at the password since ``wrong_since``.
    """

    id: str
    tenant: str
    video_id: str
    digest: str
    created_at: int
    version: int
    name: str = ""
    created_by: str = ""
    expires_at: int = 0
    max_views: int = 0
    views: int = 0
    captions_only: bool = False
    password: str = ""
    wrong: int = 0
    wrong_since: int = 0
    revoked_at: int = 0


class ShareLink(Record, frozen=True, kw_only=True):
    """Which share a token belongs to (owner: gateway)."""

    tenant: str
    id: str
