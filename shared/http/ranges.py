"""Conditional and range requests as pure functions: RFC 9110 sections 13, 14 and 15.3.7.

:func:`decide` looks at a request's method and headers and at what is known of the content, and
says what to send. It reads nothing and sends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from multidict import MultiMapping

from shared.http.fields import parse_http_date

MOST_RANGES: Final = 8
"""More ranges than this in one request get the whole content (RFC 9110 section 17.15)."""


@dataclass(frozen=True, slots=True)
class Whole:
    """200 with everything."""


@dataclass(frozen=True, slots=True)
class Partial:
    """206 with the bytes from ``start`` up to, not including, ``stop``."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Several:
    """206 with ``multipart/byteranges``."""

    parts: tuple[Partial, ...]


@dataclass(frozen=True, slots=True)
class NotModified:
    """304: the client has it already."""


@dataclass(frozen=True, slots=True)
class PreconditionFailed:
    """412: it is no longer what the client thinks it is."""


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """416: no requested byte exists."""

    size: int


_FIELDS = (
    "If-Match",
    "If-Unmodified-Since",
    "If-None-Match",
    "If-Modified-Since",
    "If-Range",
    "Range",
)

Decision = Whole | Partial | Several | NotModified | PreconditionFailed | Unsatisfiable

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\uffff]*"'
_TAGS = re.compile(rf"[ \t,]*(?:{_TAG}[ \t]*(?:,[ \t,]*|$))*")
_ONE_TAG = re.compile(_TAG)
_SPEC = re.compile(r"(?P<first>[0-9]*)-(?P<last>[0-9]*)")
_LONGEST_NUMBER = 18


def combined(headers: MultiMapping[str]) -> dict[str, str]:
    """The fields that :func:`decide` reads; repeated ones joined (RFC 9110 section 5.3)."""
    return {name: ", ".join(headers.getall(name)) for name in _FIELDS if name in headers}


def decide(
    method: str, headers: Mapping[str, str], *, size: int, etag: str, modified: float | None = None
) -> Decision:
    """What a request for this content gets; ``etag`` is strong and quoted.

    ``headers`` is what :func:`combined` makes of a request's headers.
    """
    refusal = precondition(method, headers, etag=etag, modified=modified)
    if refusal is not None:
        return refusal
    wanted = headers.get("Range")
    # RFC 9110 section 14.2: Range means something for GET alone, so not for HEAD.
    if method != "GET" or wanted is None or not _same(headers.get("If-Range"), etag, modified):
        return Whole()
    return select(wanted, size)


def precondition(
    method: str, headers: Mapping[str, str], *, etag: str, modified: float | None = None
) -> NotModified | PreconditionFailed | None:
    """The first refusal in the order of RFC 9110 section 13.2.2; None to go on."""
    reading = method in {"GET", "HEAD"}
    since = None if modified is None else int(modified)
    if (if_match := headers.get("If-Match")) is not None:
        if not matches(if_match, etag, weak=False):
            return PreconditionFailed()
    elif _later(since, headers.get("If-Unmodified-Since")):
        return PreconditionFailed()
    if (if_none_match := headers.get("If-None-Match")) is not None:
        if matches(if_none_match, etag, weak=True):
            return NotModified() if reading else PreconditionFailed()
    elif reading and _unchanged(since, headers.get("If-Modified-Since")):
        return NotModified()
    return None


def select(wanted: str, size: int) -> Whole | Partial | Several | Unsatisfiable:
    """What a ``Range`` header selects; unknown units and malformed sets select everything."""
    unit, equals, rest = wanted.strip(" \t").partition("=")
    if unit.lower() != "bytes" or not equals:
        return Whole()
    specs = [spec for part in rest.split(",") if (spec := part.strip(" \t"))]
    spans = [_span(spec, size) for spec in specs[: MOST_RANGES + 1]]
    if not spans or len(spans) > MOST_RANGES or None in spans:
        return Whole()
    parts = tuple(Partial(*span) for span in spans if span and span[0] < span[1])
    if parts:
        return _worthwhile(parts, size)
    # RFC 9110 section 14.1.2: a suffix of an empty content is satisfied, by nothing at all.
    is_suffix_of_nothing = size == 0 and any(spec[0] == "-" and spec.strip("-0") for spec in specs)
    return Whole() if is_suffix_of_nothing else Unsatisfiable(size)


def _worthwhile(parts: tuple[Partial, ...], size: int) -> Whole | Partial | Several:
    if len(parts) == 1:
        return parts[0]
    # Overlapping ranges that ask for more than there is are an attack, not a wish (section 17.15).
    if sum(part.stop - part.start for part in parts) > size:
        return Whole()
    return Several(parts)


def _span(spec: str, size: int) -> tuple[int, int] | None:
    """Start and stop, equal or crossed where nothing is selected; None where it is malformed."""
    found = _SPEC.fullmatch(spec)
    if found is None or spec == "-":
        return None
    first, last = _number(found["first"]), _number(found["last"])
    if first is None:
        return max(0, size - (last or 0)), size
    if last is None:
        return first, size
    return (first, min(last + 1, size)) if first <= last else None


def _number(digits: str) -> int | None:
    if not digits:
        return None
    digits = digits.lstrip("0") or "0"
    # Python refuses to read thousands of digits; nothing is that large anyway.
    return int(digits) if len(digits) <= _LONGEST_NUMBER else 10**_LONGEST_NUMBER


def matches(field: str, etag: str, *, weak: bool) -> bool:
    """Whether ``If-Match`` (or, weakly, ``If-None-Match``) names this entity tag."""
    field = field.strip(" \t")
    if field == "*":
        return True
    if not _TAGS.fullmatch(field):
        return False
    tags = _ONE_TAG.findall(field)
    return etag in [tag.removeprefix("W/") for tag in tags] if weak else etag in tags


def _same(if_range: str | None, etag: str, modified: float | None) -> bool:
    if if_range is None:
        return True
    if if_range.lstrip(" \t").startswith(('"', "W/")):
        return if_range.strip(" \t") == etag
    # Section 13.1.5: a date must be exactly the Last-Modified that was sent, not merely later.
    return modified is not None and parse_http_date(if_range) == int(modified)


def _later(since: int | None, field: str | None) -> bool:
    limit = None if field is None else parse_http_date(field)
    return since is not None and limit is not None and since > limit


def _unchanged(since: int | None, field: str | None) -> bool:
    limit = None if field is None else parse_http_date(field)
    return since is not None and limit is not None and since <= limit
