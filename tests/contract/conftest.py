"""The two carriers that the conformance suite runs on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal, Protocol
from uuid import uuid4

import pytest

from shared.bus.memory import MemoryTransport
from shared.bus.rabbitmq import RabbitTransport
from shared.bus.transport import Queue, Subscription, Transport
from shared.store import breaker, redis
from tests.support import servers

PATIENCE = 60.0
"""Seconds: where no limit is what is tested, a machine that stalls for some is no failure."""


class AnyTransport(Transport, Protocol):
    """What both keepers can do beyond the seam."""

    async def deliver_raw(self, queue: str, raw: bytes) -> None: ...


class Carrier(Protocol):
    """Opens transports to one and the same carrier."""

    name: Literal["memory", "rabbitmq"]

    def open(
        self, *, publish_timeout: float = PATIENCE
    ) -> AbstractAsyncContextManager[AnyTransport]: ...


class MemoryCarrier:
    """All transports are one, as with ``connect("memory:")``."""

    name: Literal["memory", "rabbitmq"] = "memory"

    def __init__(self) -> None:
        self._transport: MemoryTransport | None = None

    @asynccontextmanager
    async def open(self, *, publish_timeout: float = PATIENCE) -> AsyncIterator[AnyTransport]:
        self._transport = self._transport or MemoryTransport(publish_timeout=publish_timeout)
        yield self._transport


class RabbitCarrier:
    """Every transport has connections of its own; the names are the test's own."""

    name: Literal["memory", "rabbitmq"] = "rabbitmq"

    def __init__(self, url: str) -> None:
        self.url = url
        self.prefix = f"test.{uuid4().hex}."
        self.queues: set[str] = set()

    @asynccontextmanager
    async def open(
        self, *, publish_timeout: float = PATIENCE, patience: float = PATIENCE
    ) -> AsyncIterator[RabbitTransport]:
        transport = _Noting(self, publish_timeout, patience)
        async with transport.running():
            yield transport

    async def clean(self) -> None:
        """Delete what the test may have declared."""
        await servers.forget(self.url, self.prefix, self.queues)


class _Noting(RabbitTransport):
    """Remembers the queues to delete."""

    def __init__(self, carrier: RabbitCarrier, publish_timeout: float, patience: float) -> None:
        super().__init__(
            carrier.url,
            name="test",
            prefix=carrier.prefix,
            publish_timeout=publish_timeout,
            patience=patience,
        )
        self._carrier = carrier

    @asynccontextmanager
    async def subscribe(self, queue: Queue) -> AsyncIterator[Subscription]:
        self._carrier.queues.add(queue.name)
        async with super().subscribe(queue) as subscription:
            yield subscription


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every Redis and every breaker the time that the transports have."""
    monkeypatch.setattr(redis, "_ANSWER_SECONDS", PATIENCE)
    monkeypatch.setattr(breaker, "_ANSWER_SECONDS", PATIENCE)


@pytest.fixture(params=["memory", "rabbitmq"])
async def carrier(request: pytest.FixtureRequest) -> AsyncIterator[Carrier]:
    if request.param == "memory":
        yield MemoryCarrier()
        return
    rabbit = RabbitCarrier(servers.amqp_url())
    yield rabbit
    await rabbit.clean()


@pytest.fixture
async def transport(carrier: Carrier) -> AsyncIterator[AnyTransport]:
    async with carrier.open() as opened:
        yield opened


@pytest.fixture(scope="session")
def own_broker() -> Iterator[servers.Broker]:
    """A private RabbitMQ for tests that stop and kill it."""
    with servers.own_broker() as broker:
        yield broker
