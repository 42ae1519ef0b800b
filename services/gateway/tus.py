"""What the headers of resumable uploads say (tus 1.0.0, https://tus.io/protocols/resumable-upload).
Pure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from shared.errors import Invalid, Rejected, UnsupportedMedia
from shared.http.errors import PreconditionFailed
from shared.ids import is_id

Headers = Mapping[str, str]

VERSION: Final = "1.0.0"
EXTENSIONS: Final = (
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "termination",
    "checksum",
    "expiration",
    "concatenation",
)
OFFSET_STREAM: Final = "application/offset+octet-stream"
PATH: Final = "/v1/uploads/"

RESUMABLE: Final = "Tus-Resumable"
UPLOAD_OFFSET: Final = "Upload-Offset"
UPLOAD_LENGTH: Final = "Upload-Length"
DEFER_LENGTH: Final = "Upload-Defer-Length"
METADATA: Final = "Upload-Metadata"
CHECKSUM: Final = "Upload-Checksum"
CONCAT: Final = "Upload-Concat"
EXPIRES: Final = "Upload-Expires"
PARTIAL: Final = "partial"
OVERRIDE: Final = "X-HTTP-Method-Override"

HASHES: Final[Mapping[str, Callable[[], Any]]] = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}
"""The algorithms of ``Upload-Checksum``. The protocol asks for sha1, which finds damage."""

_LONGEST = 18
_NUMBER = re.compile(f"[0-9]{{1,{_LONGEST}}}")
_KEY = re.compile(r"[!-+\--~]+")
_MOST_PARTS = 1000


class ChecksumMismatch(Rejected):
    """The bytes that came are not those that were sent."""

    status = 460
    default_code = "checksum_mismatch"


class Checksum(NamedTuple):
    """What the bytes of one request must add up to."""

    algorithm: str
    digest: bytes


def check_version(headers: Headers) -> None:
    """Refuse to speak another version than ours."""
    if headers.get(RESUMABLE) != VERSION:
        raise PreconditionFailed(
            f"{RESUMABLE} must be {VERSION}",
            code="tus_version",
            hint="send it with each request",
        )


def check_type(content_type: str) -> None:
    """Bytes of an upload come as one type only."""
    if content_type != OFFSET_STREAM:
        raise UnsupportedMedia(hint=f"send Content-Type: {OFFSET_STREAM}")


def number(headers: Headers, name: str) -> int | None:
    """A header that counts bytes; None when it is not there."""
    given = headers.get(name)
    if given is None:
        return None
    if not _NUMBER.fullmatch(given):
        raise Invalid(f"{name} is no number of bytes: {given[:40]!r}")
    return int(given)


def length_of(headers: Headers) -> int | None:
    """How long a new upload will be; None when it will be told later."""
    length, deferred = number(headers, UPLOAD_LENGTH), headers.get(DEFER_LENGTH)
    if deferred is not None and (deferred != "1" or length is not None):
        raise Invalid(f"{DEFER_LENGTH} must be 1, and stand without {UPLOAD_LENGTH}")
    if deferred is None and length is None:
        raise Invalid(f"{UPLOAD_LENGTH} is missing", hint=f"send it, or {DEFER_LENGTH}: 1")
    return length


def metadata_of(headers: Headers) -> dict[str, str]:
    """What the client says of the file, by its own names.

    >>> metadata_of({"Upload-Metadata": "filename aGEubXA0,is_private"})
    {'filename': 'ha.mp4', 'is_private': ''}
    """
    found: dict[str, str] = {}
    for pair in headers.get(METADATA, "").split(","):
        name, _, coded = pair.strip().partition(" ")
        if not name and not coded:
            continue
        if not _KEY.fullmatch(name) or name in found:
            raise Invalid(f"{METADATA} names {name[:40]!r}, which it may not, or not twice")
        found[name] = _decoded(METADATA, coded).decode("utf-8", "replace")
    return found


def checksum_of(headers: Headers) -> Checksum | None:
    """What the client says the request's bytes add up to."""
    if CHECKSUM not in headers:
        return None
    algorithm, _, coded = headers[CHECKSUM].partition(" ")
    if algorithm not in HASHES:
        known = ", ".join(HASHES)
        raise Invalid(f"{CHECKSUM} knows no {algorithm[:40]!r}", hint=f"known are: {known}")
    digest = _decoded(CHECKSUM, coded)
    if len(digest) != HASHES[algorithm]().digest_size:
        raise Invalid(f"{CHECKSUM} is no {algorithm} digest")
    return Checksum(algorithm, digest)


def parts_of(headers: Headers) -> tuple[str, ...] | None:
    """The ids of the uploads that one shall consist of; None when it is no such upload.

    >>> parts_of({"Upload-Concat": "partial"}) is None
    True
    """
    given = headers.get(CONCAT, PARTIAL)
    if given == PARTIAL:
        return None
    kind, _, addresses = given.partition(";")
    if kind != "final" or not addresses.split():
        raise Invalid(f"{CONCAT} is partial, or final;address address …")
    if len(addresses.split()) > _MOST_PARTS:
        raise Invalid(f"{CONCAT} names more than {_MOST_PARTS} uploads")
    return tuple(_named(address) for address in addresses.split())


def _named(address: str) -> str:
    """The id in the address of an upload of ours; a host may stand before its path."""
    path = urlsplit(address).path
    upload_id = path.removeprefix(PATH)
    if not path.startswith(PATH) or not is_id(upload_id):
        raise Invalid(f"{CONCAT} names {address[:120]!r}, which is no upload")
    return upload_id


def _decoded(header: str, coded: str) -> bytes:
    try:
        return base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid(f"{header} has {coded[:40]!r}, which is no Base64") from None
