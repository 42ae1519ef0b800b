"""What a blob store knows of a blob."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class BlobInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a blob: size in bytes, time of change in seconds since the epoch."""

    size: int
    modified: float


def info_of(meta: Mapping[str, Any]) -> BlobInfo:
    """What obstore tells of an object."""
    return BlobInfo(size=meta["size"], modified=meta["last_modified"].timestamp())
