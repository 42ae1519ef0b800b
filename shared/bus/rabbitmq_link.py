"""One connection to RabbitMQ that comes back by itself, and the publisher on it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, DeliveryError, PublishError
from yarl import URL

from shared.bus.rabbitmq_topology import Names, declare_delay, declare_exchanges
from shared.bus.transport import Disconnected, Full, PublishTimeout, Unroutable

log = logging.getLogger(__name__)

LOST = (*CONNECTION_EXCEPTIONS, TimeoutError)
"""What the library raises when the connection or the channel is not what it was."""

HEARTBEAT = 10
FIRST_REST = 0.1
LONGEST_REST = 5.0
WATCH_SECONDS = 30.0
TELL_SECONDS = 30.0
CLOSE_SECONDS = 3.0
IN_FLIGHT = 200


class Link:
    """A named connection. It is not aio-pika's robust one, which restores what it remembers and
    fails for ever when the broker disagrees; here whoever uses a channel sets it up anew.
    """

    def __init__(self, url: str, name: str) -> None:
        query = {"name": name, "heartbeat": str(HEARTBEAT)}
        self.name = name
        self._url = URL(url).update_query(query)
        self._connection: AbstractConnection | None = None
        self._up = asyncio.Event()
        self._told: float | None = None
        self._error: BaseException | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the connection while the block is open; see :meth:`up`."""
        keeper = asyncio.create_task(self._keep(), name=self.name)
        try:
            yield
        finally:
            await end(keeper)

    async def up(self) -> None:
        """Wait until there is a connection."""
        await self._up.wait()

    async def open_channel(self, *, confirms: bool = False) -> AbstractChannel:
        """A new channel; :class:`Disconnected` at once when there is no connection."""
        if self._connection is None or not self._up.is_set():
            why = f": {self._error}" if self._error else ""
            raise Disconnected(f"{self.name} is not connected to RabbitMQ{why}")
        channel = self._connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
        await channel.initialize()
        return channel

    async def _keep(self) -> None:
        rest = FIRST_REST
        while True:
            try:
                await self._hold()
                rest = FIRST_REST
            except LOST as error:
                self._tell(error)
            except asyncio.CancelledError:
                raise_if_ours()
            await asyncio.sleep(rest * random.uniform(0.5, 1.0))
            rest = min(rest * 2, LONGEST_REST)

    def _tell(self, error: BaseException) -> None:
        """Say that it cannot connect: not before it ever could, since whoever opens it says that,
        and then only now and then.
        """
        self._error = error
        now = asyncio.get_running_loop().time()
        if self._told is None or now - self._told < TELL_SECONDS:
            log.debug("%s cannot connect: %r", self.name, error)
            return
        self._told = now
        extra = {"action": "bus_disconnected"}
        log.warning("%s cannot connect: %r", self.name, error, extra=extra)

    async def _hold(self) -> None:
        """Connect, and return when the connection is gone."""
        down = asyncio.Event()
        connection = await aio_pika.connect(self._url, timeout=10)
        connection.close_callbacks.add(lambda *_: down.set())
        self._connection = connection
        try:
            self._up.set()
            self._told = asyncio.get_running_loop().time()
            log.info("%s is connected", self.name, extra={"action": "bus_connected"})
            await _until(down, connection)
            log.warning("%s lost its connection", self.name, extra={"action": "bus_disconnected"})
        finally:
            self._up.clear()
            self._connection = None
            await _close(connection)


class Publisher:
    """Publishes with confirmation, on one channel that is opened again when it was lost."""

    def __init__(self, link: Link, names: Names, timeout: float) -> None:
        self._link = link
        self._names = names
        self._timeout = timeout
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._opening = asyncio.Lock()
        self._channel: AbstractChannel | None = None
        self._delays: set[tuple[str, int]] = set()

    async def put(
        self, message: AbstractMessage, exchange: str, key: str, *, mandatory: bool
    ) -> None:
        """Return when the broker has confirmed it. ``message`` must have a message id of its own:
        returns are matched by it.
        """
        try:
            async with asyncio.timeout(self._timeout), self._slots:
                await self._put(message, exchange, key, mandatory=mandatory)
        except TimeoutError as error:
            raise PublishTimeout(f"no confirmation for {key} in {self._timeout:g} s") from error
        except PublishError as error:
            raise Unroutable(f"no queue takes {key}") from error
        except DeliveryError as error:
            raise Full(f"the broker refused {key}") from error
        except LOST as error:
            raise Disconnected(f"{key} was not confirmed: {error!r}") from error
        except asyncio.CancelledError:
            raise_if_ours()
            raise Disconnected(f"{key} was not confirmed: the channel was closed") from None

    async def put_later(self, message: AbstractMessage, service: str, milliseconds: int) -> None:
        """Let the message reach the service's queue after one of the delay steps."""
        step = (service, milliseconds)
        name = self._names.delay(service, milliseconds)
        if step not in self._delays:
            await self._declare_delay(service, milliseconds)
        try:
            await self.put(message, "", name, mandatory=True)
        except Unroutable:
            self._delays.discard(step)
            raise

    async def _put(
        self, message: AbstractMessage, exchange: str, key: str, *, mandatory: bool
    ) -> None:
        channel = await self._open()
        underlay = await channel.get_underlay_channel()
        await underlay.basic_publish(
            message.body,
            exchange=exchange,
            routing_key=key,
            properties=message.properties,
            mandatory=mandatory,
        )

    async def _open(self) -> AbstractChannel:
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                self._delays.clear()
                channel = await self._link.open_channel(confirms=True)
                await declare_exchanges(channel, self._names)
                self._channel = channel
            return self._channel

    async def _declare_delay(self, service: str, milliseconds: int) -> None:
        """On a channel of its own, which a refusal may close."""
        try:
            async with asyncio.timeout(self._timeout):
                channel = await self._link.open_channel()
                await declare_delay(channel, self._names, service, milliseconds)
                await channel.close()
        except LOST as error:
            raise Disconnected(f"no delay queue for {service}: {error!r}") from error
        self._delays.add((service, milliseconds))


async def _until(down: asyncio.Event, connection: AbstractConnection) -> None:
    """Wait for the news; look now and then whether it was missed."""
    while not down.is_set():
        if connection.transport is None or connection.transport.connection.is_closed:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(WATCH_SECONDS):
                await down.wait()


async def _close(connection: AbstractConnection) -> None:
    """Close it politely, but do not wait for a broker that does not answer."""
    with suppress(*LOST):
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.close()


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task until it has ended: the library may lose a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CLOSE_SECONDS + 1)


def raise_if_ours() -> None:
    """Pass a cancellation on when it was meant for this task; the library also raises it for
    calls that were waiting when a channel was closed.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
