"""Which pages of other origins may call Reelway from a browser (Fetch standard, section 3.3).

Nothing here is a credential: keys travel in ``Authorization``, which a page sets itself, and no
answer allows cookies. So a page may do what its key may do, and one without a key may do nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from services.gateway import tus
from shared.errors import Forbidden
from shared.http.context import Handler

ANYBODY: Final = "*"
SETTING: Final = "REELWAY_GATEWAY_CORS_ORIGINS"

REMEMBERED_SECONDS: Final = 7200
"""For so long a browser need not ask again; Chromium takes no more."""

SENT: Final = (
    "Accept",
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Last-Event-ID",
    "Range",
    "X-Request-Id",
    "X-Requested-With",
    "traceparent",
    "tracestate",
    tus.RESUMABLE,
    tus.UPLOAD_OFFSET,
    tus.UPLOAD_LENGTH,
    tus.DEFER_LENGTH,
    tus.METADATA,
    tus.CHECKSUM,
    tus.CONCAT,
    tus.OVERRIDE,
)
"""Headers that a page may send."""

READ: Final = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Idempotency-Replayed",
    "Location",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-Id",
    "Tus-Checksum-Algorithm",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Version",
    tus.RESUMABLE,
    tus.UPLOAD_OFFSET,
    tus.UPLOAD_LENGTH,
    tus.DEFER_LENGTH,
    tus.METADATA,
    tus.CONCAT,
    tus.EXPIRES,
)
"""Headers that a page may read, besides those that every page may."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")
_EMBEDDING = "Cross-Origin-Resource-Policy"


def origin_of(url: str) -> str:
    """The origin of a URL, as browsers send it (RFC 6454, 6.2); empty where it has none.

    >>> origin_of("HTTPS://Videos.example:443/player?id=1")
    'https://videos.example'
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        port = parts.port
    except ValueError:
        return ""
    host = f"[{host}]" if ":" in host else host
    if not parts.scheme or not _HOST.fullmatch(host):
        return ""
    shown = "" if port in {None, _DEFAULT_PORTS.get(parts.scheme)} else f":{port}"
    return f"{parts.scheme}://{host}{shown}"


def check_origins(origins: Collection[str]) -> None:
    """Refuse an allow list with an entry that would never match; :class:`ValueError`."""
    if ANYBODY in origins and len(origins) > 1:
        raise ValueError("CORS_ORIGINS has * beside others: write * alone, or leave it out")
    for origin in origins:
        if origin != ANYBODY and origin != origin_of(origin):
            meant = origin_of(origin) or "scheme://host or scheme://host:port"
            raise ValueError(f"CORS_ORIGINS has {origin!r}, which is no origin: write {meant}")


@dataclass(frozen=True, slots=True)
class Cors:
    """The rules for pages of other origins. ``private`` are paths that no page may read."""

    origins: frozenset[str]
    private: frozenset[str] = frozenset()

    def add_to(self, app: web.Application) -> None:
        """Have the application keep them; without origins it stays as it was. Goes before
        whatever asks who the client is: a browser asks for permission without a key.
        """
        if self.origins:
            app.middlewares.append(self.permit)
            app.on_response_prepare.append(self.dress)

    def allows(self, origin: str) -> bool:
        """Whether pages of this origin may call."""
        return bool(origin) and (ANYBODY in self.origins or origin in self.origins)

    @web.middleware
    async def permit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The middleware that answers a browser's question whether a page may send a request."""
        if not _is_preflight(request) or request.path in self.private:
            return await handler(request)
        origin = request.headers[hdrs.ORIGIN]
        if not self.allows(origin):
            raise Forbidden(
                f"pages of {origin[:100]} may not call Reelway",
                code="origin_refused",
                hint=f"whoever runs Reelway lists it in {SETTING}",
            )
        methods = await _methods(request) or hdrs.METH_ALL  # it is none: let the page read so
        headers = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(sorted(methods)),
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ", ".join(SENT),
            hdrs.ACCESS_CONTROL_MAX_AGE: str(REMEMBERED_SECONDS),
        }
        return web.Response(status=204, headers=headers)

    async def dress(self, request: web.Request, response: web.StreamResponse) -> None:
        """The signal that lets a page of an allowed origin read an answer, errors and streams too.

        ``<video>`` and ``<img>`` name no origin unless their tag says ``crossorigin``; whether they
        may show what they fetch is told by the page that they say they come from.
        """
        if request.path in self.private:
            return
        varied = response.headers.get(hdrs.VARY)
        response.headers[hdrs.VARY] = f"{varied}, {hdrs.ORIGIN}" if varied else hdrs.ORIGIN
        origin = request.headers.get(hdrs.ORIGIN, "")
        page = origin or origin_of(request.headers.get(hdrs.REFERER, ""))
        if self.allows(page) and response.headers.get(_EMBEDDING) == "same-origin":
            response.headers[_EMBEDDING] = "cross-origin"
        if self.allows(origin):
            given = ANYBODY if ANYBODY in self.origins else origin
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = given
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = ", ".join(READ)


def _is_preflight(request: web.Request) -> bool:
    """A browser asks; a plain OPTIONS is somebody's own question."""
    needed = {hdrs.ORIGIN, hdrs.ACCESS_CONTROL_REQUEST_METHOD}
    return request.method == hdrs.METH_OPTIONS and all(name in request.headers for name in needed)


async def _methods(request: web.Request) -> set[str]:
    """What may be done at the address of a request; nothing where there is none such."""
    found: set[str] = set()
    for resource in request.app.router.resources():
        found |= (await resource.resolve(request))[1]
    return found
