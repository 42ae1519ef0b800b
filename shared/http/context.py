"""What every request carries and every reply shows: an id, safe headers, one observation.

Headers are set by a signal and not by the middleware, because a stream has sent its head long
before its handler returns.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from shared.ids import new_id

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Observe = Callable[[str, str, int, float, web.Request], None]
"""Told of each finished request: method, route template, status, seconds, the request. Methods
outside RFC 9110 arrive as ``_OTHER`` and unknown paths as ``_unmatched``: labels stay bounded."""

CLIENT_LEFT: Final = 499
"""The status that :data:`Observe` sees where nobody was left to answer; it is never sent."""

SERVER_NAME: Final = "reelway"
X_REQUEST_ID: Final = "X-Request-Id"
SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""What a reply carries unless its handler chose otherwise (OWASP ASVS 5.0, 3.4)."""

_ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: set by a door's authentication, read by its handlers."""

    tenant: str
    credential: str
    scopes: frozenset[str] = frozenset()


REQUEST_ID: Final = web.RequestKey("request_id", str)
PRINCIPAL: Final = web.RequestKey("principal", Principal)
SIGNED_BY: Final = "token"
"""The query parameter of a signed address."""
SIGNED: Final = web.RequestKey("signed", bool)
"""Set where a signed address let the request in: its token is no handler's own parameter."""


class Truncated(ConnectionError):
    """A reply failed after its head was sent; only ending the connection can tell the client.

    Whoever raises it has logged the cause.
    """


def accepted_request_id(offered: str | None) -> str:
    """The caller's ``X-Request-Id`` where it is harmless to log, else a fresh id.

    >>> accepted_request_id("trace-7")
    'trace-7'
    """
    if offered is not None and _ACCEPTABLE.fullmatch(offered):
        return offered
    return new_id()


def request_id(request: web.Request) -> str:
    """The id of this request, decided the first time somebody asks."""
    known = request.get(REQUEST_ID)
    if known is None:
        known = request[REQUEST_ID] = accepted_request_id(request.headers.get(X_REQUEST_ID))
    return known


def reset(request: web.Request) -> None:
    """End the connection at once, and let the kernel forget what it still holds for the client."""
    transport = request.transport
    if transport is None:
        return
    wire = transport.get_extra_info("socket")
    if wire is not None:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def leave_unread(request: web.Request, response: web.Response) -> None:
    """Answer without the rest of the body, which would be taken for a next request's: the
    connection ends with the answer, once the client had time to read it.
    """
    if not request.content.is_eof():
        response.force_close()


def route_template(request: web.Request) -> str:
    """The path as the route table writes it, such as ``/v1/videos/{video}``."""
    resource = request.match_info.route.resource
    return "_unmatched" if resource is None else resource.canonical


def observing(observe: Observe) -> Middleware:
    """The outermost middleware: names the request and tells ``observe`` how it ended."""

    @web.middleware
    async def context(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id(request)
        began = time.perf_counter()
        status = CLIENT_LEFT
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as redirect:
            status = redirect.status
            raise
        except Truncated:
            status = 500
            raise
        finally:
            method = request.method if request.method in hdrs.METH_ALL else "_OTHER"
            seconds = time.perf_counter() - began
            observe(method, route_template(request), status, seconds, request)
        return response

    return context


async def dress(request: web.Request, response: web.StreamResponse) -> None:
    """The signal that gives a reply its id and its security headers, streams included."""
    response.headers[X_REQUEST_ID] = request_id(request)
    response.headers[hdrs.SERVER] = SERVER_NAME
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
