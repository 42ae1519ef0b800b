"""Places to go on from: small, versioned, checksummed, naming the files they rest on."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

from shared.contracts.records import Artifact

VERSION = 1
MAX_BYTES = 32 * 1024
"""The largest checkpoint; anything larger belongs into an artifact."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an unfinished step and the files of its that were safe at that moment."""

    step: str
    state: dict[str, Any]
    artifacts: tuple[Artifact, ...] = ()


class _Sealed(msgspec.Struct, frozen=True, kw_only=True):
    v: int
    crc: int
    body: msgspec.Raw


def seal(checkpoint: Checkpoint) -> bytes:
    """The checkpoint as bytes with its checksum; ``ValueError`` when it is too large."""
    body = msgspec.json.encode(checkpoint)
    if len(body) > MAX_BYTES:
        raise ValueError(f"checkpoint of {checkpoint.step} has {len(body)} bytes, over {MAX_BYTES}")
    return msgspec.json.encode(
        _Sealed(v=VERSION, crc=zlib.crc32(body), body=msgspec.Raw(body)),
    )


def unseal(raw: bytes | None) -> Checkpoint | None:
    """The checkpoint in these bytes, or None when there is none that can be trusted."""
    if not raw:
        return None
    try:
        sealed = msgspec.json.decode(raw, type=_Sealed)
        if sealed.v != VERSION or sealed.crc != zlib.crc32(bytes(sealed.body)):
            return None
        return msgspec.json.decode(sealed.body, type=Checkpoint)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
