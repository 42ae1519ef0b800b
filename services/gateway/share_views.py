"""Share links as the HTTP interface shows them. Pure."""

from __future__ import annotations

from typing import Any, Literal

from services.gateway.share_schemas import NewShare, ShareView
from shared.clock import rfc3339
from shared.contracts.shares import Share

SHARED = "/v1/shared/"
"""Where share links are opened."""


def shown(share: Share, now: int) -> ShareView:
    """A share link; ``now`` is in milliseconds since the epoch."""
    return ShareView(**_fields(share, now))


def shown_new(share: Share, now: int, token: str) -> NewShare:
    """A share link that was just made, with the address that is shown this once."""
    return NewShare(**_fields(share, now), url=f"{SHARED}{token}")


def _fields(share: Share, now: int) -> dict[str, Any]:
    return {
        "id": share.id,
        "video": share.video_id,
        "name": share.name,
        "created_at": rfc3339(share.created_at),
        "expires_at": rfc3339(share.expires_at) if share.expires_at else None,
        "has_password": bool(share.password),
        "captions_only": share.captions_only,
        "views": share.views,
        "max_views": share.max_views or None,
        "ended": _ended(share, now),
    }


def _ended(share: Share, now: int) -> Literal["revoked", "expired", "used_up"] | None:
    if share.revoked_at:
        return "revoked"
    if 0 < share.expires_at <= now:
        return "expired"
    return "used_up" if 0 < share.max_views <= share.views else None
