"""Clients of event streams that are cut off, come back to another door, and remember everything."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from tests.support.client import PATIENCE, SentEvent

FOREVER = aiohttp.ClientTimeout(total=None, sock_read=PATIENCE)
REST = (0.05, 0.3)
"""Seconds before a client that was cut off comes back."""


@dataclass(eq=False)
class Subscriber:
    """One client of one stream, behind any of the doors; ``is_done`` says when it has enough."""

    session: aiohttp.ClientSession
    doors: Sequence[str]
    path: str
    is_done: Callable[[SentEvent], bool]
    seen: list[SentEvent] = field(default_factory=list)
    last_id: str = ""
    connections: int = 0
    door: str = ""
    _reply: aiohttp.ClientResponse | None = None

    async def follow(self) -> None:
        """Read until done, over any number of connections."""
        while not (self.seen and self.is_done(self.seen[-1])):
            self.door = random.choice([each for each in self.doors if each != self.door])
            try:
                await self._connect()
            except aiohttp.ClientError:
                await asyncio.sleep(random.uniform(*REST))

    def cut(self) -> bool:
        """Break the connection, if there is one."""
        if self._reply is None or self._reply.connection is None:
            return False
        transport = self._reply.connection.transport
        if transport is not None:
            transport.abort()
        return transport is not None

    async def _connect(self) -> None:
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        async with self.session.get(
            self.door + self.path, headers=headers, timeout=FOREVER
        ) as reply:
            assert reply.status == 200, await reply.text()
            self._reply, self.connections = reply, self.connections + 1
            try:
                async for block in _blocks(reply):
                    self._take(block)
                    if self.seen and self.is_done(self.seen[-1]):
                        return
            finally:
                self._reply = None

    def _take(self, block: bytes) -> None:
        fields = dict(line.partition(": ")[::2] for line in block.decode().split("\n"))
        self.last_id = fields.get("id", self.last_id)
        if "data" in fields:
            data = msgspec.json.decode(fields["data"])
            self.seen.append(SentEvent(fields["event"], fields.get("id", ""), data))

    def states(self) -> list[SentEvent]:
        """The states and ends that it saw."""
        return [each for each in self.seen if each.event in {"state", "end"}]


async def _blocks(reply: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in reply.content.iter_any():
        *blocks, rest = (rest + chunk).split(b"\n\n")
        for block in blocks:
            yield block


@asynccontextmanager
async def session_of(key: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A session that opens as many connections as it is asked for."""
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {key}"}, connector=aiohttp.TCPConnector(limit=0)
    ) as session:
        yield session


async def new_key(door: str, admin_key: str, name: str) -> str:
    """A key of a new tenant, made by an operator over HTTP."""
    async with session_of(admin_key) as operator:
        address = f"{door}/v1/admin/tenants"
        async with operator.post(address, json={"id": name}) as reply:
            assert reply.status == 201, await reply.text()
        async with operator.post(f"{address}/{name}/keys", json={}) as reply:
            assert reply.status == 201, await reply.text()
            key: str = (await reply.json())["key"]
            return key


def place(event_id: str) -> tuple[int, int]:
    """An id as epoch and seq."""
    epoch, _, seq = event_id.partition("-")
    return int(epoch), int(seq)


def place_in_job(data: dict[str, Any]) -> tuple[int, int]:
    """Where an event of a tenant's stream stands in the stream of its job."""
    return data["epoch"], data["seq"]
