"""A remote blob store in this process: it answers with whatever status it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from aiohttp import web
from obstore.store import S3Store

from shared.blobs.store import Blobs

_SOON = timedelta(milliseconds=5)


class Bucket:
    """Speaks S3 as far as reading goes. ``status`` is what it answers; ``down`` names tenants for
    whom it answers 503. While ``gate`` is closed, requests wait.
    """

    def __init__(self) -> None:
        self.status = 200
        self.down: set[str] = set()
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Blobs]:
        """The bucket as blobs, for as long as the block is open."""
        app = web.Application()
        app.router.add_route("*", "/{any:.*}", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield Blobs(_client(runner.addresses[0][1]), None)
        finally:
            self.gate.set()
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        tenant = request.path.split("/")[2]
        self.asked.append(tenant)
        await self.gate.wait()
        status = 503 if tenant in self.down else self.status
        when = {"Last-Modified": "Sat, 21 Nov 2026 08:00:00 GMT", "ETag": '"1"'}
        return web.Response(status=status, text="<Error/>", headers=when)


def _client(port: int) -> S3Store:
    return S3Store(
        "bucket",
        access_key_id="a",
        secret_access_key="b",
        region="here",
        endpoint=f"http://127.0.0.1:{port}",
        client_options={"allow_http": True},
        retry_config={
            "max_retries": 0,
            "retry_timeout": timedelta(seconds=5),
            "backoff": {"init_backoff": _SOON, "max_backoff": _SOON, "base": 2},
        },
    )
