"""Files that ship inside a package, for browsers: with ETag, charset and a strict policy.

They are read once, through :mod:`importlib.resources`, so an installed wheel serves them as well as
a checkout, and no request can name a file outside.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from aiohttp import hdrs, web

from shared.errors import NotFound
from shared.http import ranges
from shared.http.context import Handler

PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_TEXT = ("text/", "application/javascript", "application/json", "image/svg+xml")


@dataclass(frozen=True, slots=True)
class Asset:
    """One file in memory."""

    body: bytes
    content_type: str
    etag: str


@dataclass(frozen=True, slots=True)
class Assets:
    """The files of one folder, by their path in it."""

    files: Mapping[str, Asset]

    def page(self, path: str) -> Handler:
        """A handler for one of the files."""
        asset = self.files[path]

        async def serve(request: web.Request) -> web.StreamResponse:
            return _reply(request, asset)

        return serve

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The handler for ``/…/{path:.+}``."""
        asset = self.files.get(request.match_info["path"])
        if asset is None:
            raise NotFound
        return _reply(request, asset)


def web_assets(package: str, folder: str) -> Assets:
    """All files below a folder of a package, such as ``web_assets("services.gateway", "web")``."""
    return Assets({path: _asset(path, file) for path, file in _walk(files(package) / folder)})


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.name.startswith((".", "__")):
            continue
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif not entry.name.endswith(".py"):
            yield prefix + entry.name, entry


def _asset(path: str, file: Traversable) -> Asset:
    body = file.read_bytes()
    media_type = mimetypes.guess_type(path)[0] or "text/plain"
    charset = "; charset=utf-8" if media_type.startswith(_TEXT) else ""
    return Asset(body, media_type + charset, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _reply(request: web.Request, asset: Asset) -> web.Response:
    headers = {
        hdrs.ETAG: asset.etag,
        hdrs.CACHE_CONTROL: "no-cache",
        "Content-Security-Policy": PAGE_POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    asked = ranges.combined(request.headers)
    if ranges.precondition(request.method, asked, etag=asset.etag) == ranges.NotModified():
        return web.Response(status=304, headers=headers)
    return web.Response(body=asset.body, headers={hdrs.CONTENT_TYPE: asset.content_type, **headers})
