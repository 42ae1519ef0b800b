"""A web server of somebody else, whose page uploads to Reelway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from shared.http.context import Handler

ROOT = Path(__file__).parents[2]
FILES: Final[Mapping[str, str]] = {
    "/": "tests/data/browser/index.html",
    "/uploads.js": "tests/data/browser/uploads.js",
    "/tus.min.js": "services/gateway/web/vendor/tus-js-client/tus.min.js",
    "/uppy.min.mjs": "tests/data/vendor/uppy/uppy.min.mjs",
}
_TYPES = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript"}


@asynccontextmanager
async def a_page() -> AsyncIterator[str]:
    """The origin of the page, which is at ``/``."""
    app = web.Application()
    for path, file in FILES.items():
        app.router.add_get(path, _giving(ROOT / file))
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _giving(file: Path) -> Handler:
    async def give(_: web.Request) -> web.StreamResponse:
        return web.Response(body=file.read_bytes(), content_type=_TYPES[file.suffix])

    return give
