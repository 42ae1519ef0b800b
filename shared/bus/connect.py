"""From a URL to a transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from shared.bus.memory import MemoryTransport
from shared.bus.rabbitmq import RabbitTransport
from shared.bus.transport import Transport


@dataclass
class _Shared:
    transport: MemoryTransport = field(default_factory=MemoryTransport)
    holders: int = 0


DEFAULT_PREFIX = "reelway."
_memory: dict[tuple[asyncio.AbstractEventLoop, str], _Shared] = {}


def connect(url: str, *, name: str) -> AbstractAsyncContextManager[Transport]:
    """The transport behind a URL, open while the block is; ``name`` is what operators see.

    ``memory:`` is one bus per event loop and URL, shared by all that hold it open at the same
    time (``memory:other`` is another one). ``amqp://`` and ``amqps://`` wait a few seconds for the
    broker and go on without it, connecting in the background; ``?prefix=`` in their query begins
    every name there, so that several Reelways can share a virtual host. Any other URL is a
    ``ValueError``.
    """
    scheme = url.partition(":")[0]
    if scheme == "memory" and ":" in url:
        return _shared_memory(url)
    if scheme in ("amqp", "amqps") and "://" in url:
        return _rabbit(url, name)
    raise ValueError(f"the bus URL must start with memory: or amqp:// or amqps://, not {scheme!r}")


@asynccontextmanager
async def _shared_memory(url: str) -> AsyncIterator[Transport]:
    key = (asyncio.get_running_loop(), url)
    shared = _memory.setdefault(key, _Shared())
    shared.holders += 1
    try:
        yield shared.transport
    finally:
        shared.holders -= 1
        if not shared.holders:
            del _memory[key]
            await shared.transport.close()


@asynccontextmanager
async def _rabbit(url: str, name: str) -> AsyncIterator[Transport]:
    url, prefix = _without_prefix(url)
    transport = RabbitTransport(url, name=name, prefix=prefix)
    async with transport.running():
        yield transport


def _without_prefix(url: str) -> tuple[str, str]:
    """The URL without what is ours in its query, and the prefix of names."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query)
    rest = urlencode([pair for pair in query if pair[0] != "prefix"])
    return urlunsplit(parts._replace(query=rest)), dict(query).get("prefix", DEFAULT_PREFIX)
