"""Messages and habits that the tests of the bus share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from shared.bus.envelope import Envelope, Sort, decode
from shared.bus.transport import Delivery, Queue, Subscription, Transport
from shared.clock import now_ms
from shared.contracts.base import Command
from shared.ids import new_id


class Paint(Command, frozen=True, kw_only=True, tag="demo.paint.v1"):
    colour: str = "red"


def a_message(kind: str = "demo.paint.v1", sort: Sort = "command", **fields: Any) -> Envelope:
    body = msgspec.Raw(msgspec.json.encode({"kind": kind, "colour": fields.pop("colour", "red")}))
    defaults = {"tenant": "alice", "correlation": "c", "sent_at": now_ms(), "id": new_id()}
    return Envelope(**{**defaults, "kind": kind, "sort": sort, "body": body, **fields})


def a_queue(name: str = "demo", **options: Any) -> Queue:
    return Queue(**{"name": name, "kinds": ("demo.paint.v1",), **options})


def colour_of(delivery: Delivery) -> str:
    body: dict[str, str] = msgspec.json.decode(decode(delivery.raw).body)
    return body["colour"]


async def take(subscription: Subscription, seconds: float = 30.0) -> Delivery:
    async with asyncio.timeout(seconds):
        return await anext(subscription)


async def nothing_comes(subscription: Subscription, seconds: float = 0.2) -> bool:
    try:
        await take(subscription, seconds)
    except TimeoutError:
        return True
    return False


async def until(is_so: Callable[[], Awaitable[object]], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not await is_so():  # noqa: ASYNC110 - it is in another process
            await asyncio.sleep(0.02)


async def soon(is_so: Callable[[], object], seconds: float = 60.0) -> None:
    """Like :func:`until`, where nobody needs to be asked."""
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110 - a value, not an event
            await asyncio.sleep(0.01)


@asynccontextmanager
async def publishing(transport: Transport, *envelopes: Envelope) -> AsyncIterator[None]:
    """On the memory bus a publisher waits for the consumer, so it must run beside it."""
    tasks = [asyncio.create_task(transport.publish(envelope)) for envelope in envelopes]
    try:
        yield
    finally:
        await asyncio.gather(*tasks)
