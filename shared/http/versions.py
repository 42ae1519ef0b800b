"""Changing only what one has seen: the version of a record as an entity tag, and ``If-Match``."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web

from shared.http.errors import PreconditionFailed, PreconditionRequired
from shared.http.ranges import matches

MERGE_PATCH: Final = "application/merge-patch+json"
"""The media type of RFC 7396."""


def version_tag(version: int) -> str:
    """The strong entity tag of a version.

    >>> version_tag(3)
    '"3"'
    """
    return f'"{version}"'


def check_match(request: web.Request, tag: str) -> None:
    """Whether the request means what is there now (RFC 9110 section 13.1.1).

    :class:`PreconditionRequired` without ``If-Match`` (RFC 6585 section 3),
    :class:`PreconditionFailed` for another tag.
    """
    given = request.headers.getall(hdrs.IF_MATCH, [])
    if not given:
        raise PreconditionRequired(hint="send If-Match with the ETag that it was shown with, or *")
    if not matches(",".join(given), tag, weak=False):
        raise PreconditionFailed("it has changed meanwhile", hint="look at it again")
