"""A real server on a free port of the loopback, and raw sockets to treat it badly."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

from services.gateway.door import DOOR
from services.gateway.door import Door as GatewayDoor
from services.gateway.idempotency import once_for_each_key, repeatable
from shared.http.context import PRINCIPAL, Handler, Principal
from shared.http.routes import BINARY, Route, register
from shared.http.server import edge_app, listening
from shared.store.idempotency import Idempotency
from shared.store.redis import Store
from shared.telemetry.metrics import new_metrics
from tests.integration.http.shop import LEASE, FakeDoor, Shop, Thing
from tests.integration.work.bench import ACME, any_redis, clean_store

Observed = tuple[str, str, int]


@dataclass
class Door:
    """A running application."""

    app: web.Application
    port: int
    session: aiohttp.ClientSession
    seen: list[Observed] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path: str, **headers: str) -> aiohttp.client._RequestContextManager:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.get(self.url(path), headers=named)

    @asynccontextmanager
    async def wire(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def raw(self, sent: bytes) -> bytes:
        """The one answer to these bytes; the server may keep the connection a little longer."""
        async with self.wire() as (reader, writer), asyncio.timeout(60):
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"Content-Length: ([0-9]+)", head)
            return head + await reader.readexactly(int(length[1]) if length else 0)

    async def until_seen(self, number: int = 1) -> Observed:
        """The request observed as this one in order, when it has ended."""
        await self.until(lambda: len(self.seen) >= number)
        return self.seen[number - 1]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Come back when the condition holds; fail after a minute."""
        for _ in range(12_000):
            if condition():
                return
            await asyncio.sleep(0.005)
        raise TimeoutError


Serve = Callable[..., Awaitable[Door]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(*routes: Route, app: web.Application | None = None) -> Door:
            seen: list[Observed] = []
            app = app or edge_app(lambda *what: seen.append(what[:3]))
            register(app, routes)
            port = await stack.enter_async_context(listening(app, "127.0.0.1", 0))
            session = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
            return Door(app, port, session, seen)

        yield start


def route(
    path: str, handler: Callable[..., Awaitable[web.StreamResponse]], method: str = "GET"
) -> Route:
    return Route(method=method, path=path, handler=handler, summary="")


@pytest.fixture(name="route")
def route_maker() -> Callable[..., Route]:
    return route


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with any_redis() as url:
        yield url


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[Store]:
    async with clean_store(redis_url) as opened:
        yield opened


@web.middleware
async def trusting(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Stands in for authentication: the tenant says who it is."""
    tenant = request.headers.get("X-Tenant", ACME)
    request[PRINCIPAL] = Principal(tenant=tenant, credential="c")
    return await handler(request)


@pytest.fixture
async def shop(serve: Any, store: Store) -> AsyncIterator[Shop]:
    metrics = new_metrics()
    app = edge_app(lambda *_: None)
    app.middlewares.extend((trusting, once_for_each_key))
    inside = FakeDoor(Idempotency(store, LEASE), metrics)
    app[DOOR] = cast("GatewayDoor", inside)
    made = Shop(None, store, inside)
    plain: dict[str, Any] = {"method": "POST", "summary": ""}
    routes = [
        Route(path="/v1/things", handler=made.make, body=Thing, **plain),
        Route(path="/v1/other", handler=made.make, body=Thing, **plain),
        Route(path="/v1/bare", handler=made.bare, **plain),
        Route(path="/v1/files", handler=made.take, body=BINARY, **plain),
    ]
    made.door = await serve(
        *map(repeatable, routes),
        Route(path="/v1/open", handler=made.bare, method="PUT", summary=""),
        app=app,
    )
    made.go_on.set()
    yield made
    metrics.close()
