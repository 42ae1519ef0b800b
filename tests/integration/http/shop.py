"""Routes that take an idempotency key, on real servers, with handlers that count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from shared.http.bodies import json_reply, read_json, stream_body
from shared.store.idempotency import Idempotency
from shared.store.keys import idempotency_key
from shared.store.redis import Store
from shared.telemetry.metrics import Metrics
from shared.tenancy import TenantId
from tests.integration.work.bench import ACME

MEBI = 1 << 20
LEASE = 10.0


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    n: int


@dataclass
class FakeDoor:
    """What the middleware needs of a door."""

    idempotency: Idempotency
    metrics: Metrics


@dataclass
class Shop:
    """Handlers that count what they do, and do what the test wants."""

    door: Any
    store: Store
    inside: FakeDoor
    made: int = 0
    received: int = 0
    fails: Exception | None = None
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def make(self, request: web.Request) -> web.StreamResponse:
        thing = await read_json(request, Thing)
        await self.go_on.wait()
        self.made += 1
        if self.fails:
            raise self.fails
        headers = {"Location": f"/v1/things/{self.made}", "X-Other": "not kept"}
        return json_reply({"n": thing.n, "made": self.made}, status=201, headers=headers)

    async def bare(self, request: web.Request) -> web.StreamResponse:
        self.made += 1
        return web.Response(status=204)

    async def take(self, request: web.Request) -> web.StreamResponse:
        async for chunk in stream_body(request, limit=512 * MEBI, read_timeout=60):
            self.received += len(chunk)
        self.made += 1
        return json_reply({"received": self.received}, status=202)

    async def post(self, key: str | None, body: Any = None, **options: Any) -> Any:
        """Post to ``/v1/things``; answers status, headers, body."""
        headers = {"Idempotency-Key": key} if key is not None else {}
        headers |= options.pop("headers", {})
        path = options.pop("path", "/v1/things")
        if body is None and "data" not in options:
            body = {"n": 1}
        json = {} if body is None else {"json": body}
        async with self.door.session.post(
            self.door.url(path), headers=headers, **json, **options
        ) as reply:
            return reply.status, reply.headers.copy(), await reply.read()

    async def record(self, key: str, tenant: TenantId = ACME) -> dict[str, str]:
        found: Any = await self.store.commands.hgetall(idempotency_key(tenant, key))
        return {name.decode(): value.decode() for name, value in found.items()}

    def counted(self) -> dict[str, int]:
        """How often each outcome was counted."""
        lines = self.inside.metrics.render().decode().splitlines()
        name = "reelway_idempotent_requests_total{"
        samples = [[*line.split('"')[1::2], line.split()[-1]] for line in lines if name in line]
        return {outcome: int(float(value)) for outcome, value in samples if float(value)}

    async def until_held(self, key: str) -> None:
        """Wait until somebody carries the key's request out."""
        await self.until(key, lambda record: "owner" in record)

    async def until(self, key: str, holds: Callable[[dict[str, str]], bool]) -> None:
        """Wait for the record of a key."""
        async with asyncio.timeout(60):
            while not holds(await self.record(key)):  # noqa: ASYNC110 - it is in another process
                await asyncio.sleep(0.01)
