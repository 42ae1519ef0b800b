"""New identifiers: UUIDv7 (RFC 9562), so that ids sort by the time they were made."""

from __future__ import annotations

import os
import re
import time
from hashlib import sha256
from uuid import UUID, uuid5

_NAMESPACE = UUID("6f1d1c5e-6c3a-4a55-9d0e-5d1f2f7f6a10")
_CANONICAL = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def new_id() -> str:
    """A fresh UUIDv7 in canonical form."""
    return _uuid7(time.time_ns() // 1_000_000, os.urandom(10))


def _uuid7(milliseconds: int, rest: bytes) -> str:
    """RFC 9562, section 5.7: 48 bits of time, version, variant, and 74 bits of ``rest``."""
    value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(rest)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=value))


def derived_id(*parts: str) -> str:
    """The id that always belongs to these parts: doing a thing twice names it once."""
    return str(uuid5(_NAMESPACE, "\x1f".join(parts)))


def derived_id_at(milliseconds: int, *parts: str) -> str:
    """Like :func:`derived_id`, but sorting with the fresh ids of that moment."""
    return _uuid7(milliseconds, sha256("\x1f".join(parts).encode()).digest()[:10])


def file_of(upload_id: str) -> str:
    """The id of the file that an upload becomes."""
    return derived_id("file", upload_id)


def is_id(text: str) -> bool:
    """Whether the text is an id in canonical form."""
    return _CANONICAL.fullmatch(text) is not None
