"""What tells one request from another, and the key that a client may put on it."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec
from aiohttp import hdrs, web

from services.gateway.schemas import IdempotencyKey
from shared.errors import Invalid
from shared.http.bodies import read_small
from shared.http.routes import BINARY, Route

HEADER: Final = "Idempotency-Key"


def given_key(request: web.Request) -> str:
    """The request's ``Idempotency-Key``, byte for byte: quotes, as the draft has them, are part of
    it. :class:`Invalid` unless there is one such header of the form that is described.
    """
    given = request.headers.getall(HEADER, [])
    try:
        (only,) = msgspec.convert(given, tuple[IdempotencyKey])
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise Invalid(
            f"{HEADER} is not what it can be",
            code="invalid_idempotency_key",
            hint="send it once, with 1 to 255 printable ASCII characters, such as a UUID",
        ) from error
    return only


async def fingerprint(request: web.Request, route: Route) -> str:
    """SHA-256, in hex, of everything that makes it this request: method, path, query, content type
    and the body. Of a body that is streamed only the declared length is known beforehand, and its
    name from the query; the boundary of a form is new each time. What no handler reads is left out.
    """
    parts = [request.method, request.rel_url.raw_path]
    parts += sorted(request.rel_url.raw_query_string.split("&"))
    if route.body is BINARY:
        parts += [request.content_type, request.headers.get(hdrs.CONTENT_LENGTH, "")]
    elif route.body is not None:
        parts += [request.content_type, sha256(await read_small(request)).hexdigest()]
    return sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
