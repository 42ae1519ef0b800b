"""Content that somebody else sends: an object store by its own address, or the proxy in front.

The request has been authorised here; conditions and ranges are for whoever has the bytes, and an
entity tag of its own for them.
"""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import hdrs, web

from shared.http.responder import Content, described

ACCEL = "X-Accel-Redirect"
SHOWN = (hdrs.CONTENT_TYPE, hdrs.CONTENT_DISPOSITION)
"""What the store is asked to say of the content, as far as there is something to say."""


def shown(content: Content, name: str, *, download: bool = False) -> dict[str, str]:
    """The headers with which an object store shall send the content."""
    told = described(content, name, download=download)
    return {str(header): told[header] for header in SHOWN if header in told}


def elsewhere(url: str) -> web.Response:
    """307: the same request is answered there, for a while."""
    headers = {hdrs.LOCATION: url, hdrs.CACHE_CONTROL: "no-store", "Referrer-Policy": "no-referrer"}
    return web.Response(status=307, headers=headers)


def by_proxy(
    content: Content, prefix: str, key: str, name: str, *, download: bool = False
) -> web.Response:
    """Have nginx send the file ``key`` below its internal location ``prefix``. The path is quoted
    as nginx wants it, whatever the key has in it.
    """
    headers = described(content, name, download=download)
    for header in (hdrs.ETAG, hdrs.LAST_MODIFIED):
        headers.pop(header, None)  # nginx makes its own, and would not pass these on
    return web.Response(headers={**headers, ACCEL: prefix + quote(key)})
