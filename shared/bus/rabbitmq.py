"""The bus over RabbitMQ 3.10 to 4.x."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import msgspec
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity

from shared.bus.envelope import Envelope, decode, encode
from shared.bus.rabbitmq_inbox import BURIED_AT, REASON, Declare, RabbitInbox, parcel
from shared.bus.rabbitmq_link import LOST, Link, Publisher, end
from shared.bus.rabbitmq_topology import Names, declare_durable, declare_fanout, declare_ring
from shared.bus.transport import Buried, Disconnected, Queue, QueueStyle, Subscription
from shared.errors import Undecodable
from shared.tenancy import routing_key

_DECLARE: dict[QueueStyle, Declare] = {
    "durable": declare_durable,
    "fanout": declare_fanout,
    "ring": declare_ring,
}


class RabbitTransport:
    """A :class:`~shared.bus.transport.Transport` over two connections: one publishes, so that a
    broker that blocks publishers does not keep the other one from consuming and settling.

    It can be used inside :meth:`running`, also while the broker is away: ``patience`` is how long
    opening it and subscribing wait for the broker before they go on without.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        prefix: str = "reelway.",
        publish_timeout: float = 5.0,
        patience: float = 3.0,
    ) -> None:
        self._names = Names(prefix)
        self._patience = patience
        self._speaking = Link(url, f"{name}-pub")
        self._listening = Link(url, f"{name}-sub")
        self._publisher = Publisher(self._speaking, self._names, publish_timeout)
        self._replies: list[RabbitInbox] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep both connections while the block is open."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._speaking.running())
            await stack.enter_async_context(self._listening.running())
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    await self._speaking.up()
                    await self._listening.up()
            yield

    async def publish(self, envelope: Envelope) -> None:
        """Return once the broker has confirmed the message."""
        raw = encode(envelope)
        is_durable = envelope.sort in ("command", "event")
        message = parcel(raw, is_durable=is_durable, rw_id=envelope.id)
        message.type = envelope.kind
        exchange, key = self._address(envelope)
        is_mandatory = envelope.sort in ("command", "query")
        await self._publisher.put(message, exchange, key, mandatory=is_mandatory)

    async def deliver_raw(self, queue: str, raw: bytes) -> None:
        """Put any bytes into a durable queue, as a broken or foreign publisher could."""
        await self._publisher.put(parcel(raw), "", self._names.durable(queue), mandatory=True)

    @asynccontextmanager
    async def subscribe(self, queue: Queue) -> AsyncIterator[Subscription]:
        """Listen while the block is open."""
        inbox = self._inbox(queue)
        async with self._serving(inbox):
            yield inbox

    async def reply_address(self) -> str:
        """The name of this process's reply queue; waits while there is none."""
        if not self._replies:
            raise Disconnected("nobody listens to replies")
        inbox = self._replies[0]
        await inbox.ready.wait()
        return inbox.address

    @asynccontextmanager
    async def replies(self) -> AsyncIterator[Subscription]:
        """Replies addressed to this process."""
        inbox = self._inbox(Queue(name="replies", style="fanout"))
        inbox.shared_with = self._replies
        self._replies.append(inbox)
        try:
            async with self._serving(inbox):
                yield inbox
        finally:
            self._replies.remove(inbox)

    async def buried(self, queue: str, limit: int = 100) -> list[Buried]:
        """Dead letters of a durable queue, oldest first; they stay where they are."""
        async with self._parking_lot(queue) as parking:
            letters = [_buried(message) async for message in _take(parking, limit)]
        return sorted(letters, key=lambda letter: letter.buried_at)

    async def redrive(self, queue: str, limit: int = 100) -> int:
        """Put the oldest dead letters back, each confirmed before it leaves the parking lot."""
        count = 0
        async with self._parking_lot(queue) as parking:
            async for message in _take(parking, limit):
                with suppress(Undecodable):
                    fresh = msgspec.structs.replace(decode(message.body), attempt=1)
                    await self.deliver_raw(queue, encode(fresh))
                    await message.ack()
                    count += 1
        return count

    async def ping(self) -> None:
        """Open and close a channel on the publishing connection."""
        try:
            async with asyncio.timeout(5.0):
                channel = await self._speaking.open_channel()
                await channel.close()
        except LOST as error:
            raise Disconnected(f"RabbitMQ does not answer: {error!r}") from error

    def _address(self, envelope: Envelope) -> tuple[str, str]:
        if envelope.sort == "ring":
            return "", self._names.ring(envelope.to)
        if envelope.sort == "reply":
            return "", envelope.to
        key = routing_key(envelope.tenant, envelope.kind)
        return self._names.exchange_for(envelope.sort), key

    def _inbox(self, queue: Queue) -> RabbitInbox:
        declare = _DECLARE[queue.style]
        return RabbitInbox(self._listening, self._publisher, self._names, queue, declare)

    @asynccontextmanager
    async def _serving(self, inbox: RabbitInbox) -> AsyncIterator[None]:
        server = asyncio.create_task(inbox.serve())
        server.add_done_callback(inbox.end)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    await inbox.ready.wait()
            yield
        finally:
            await inbox.stop()
            await end(server)

    @asynccontextmanager
    async def _parking_lot(self, queue: str) -> AsyncIterator[AbstractQueue | None]:
        """What is taken but not acknowledged in this block goes back at its end."""
        try:
            channel = await self._listening.open_channel()
            try:
                yield await channel.get_queue(self._names.dead(queue))
            except ChannelNotFoundEntity:
                yield None
            finally:
                await channel.close()
        except LOST as error:
            raise Disconnected(f"the dead letters of {queue} cannot be read: {error!r}") from error


async def _take(
    parking: AbstractQueue | None, limit: int
) -> AsyncIterator[AbstractIncomingMessage]:
    for _ in range(limit):
        message = await parking.get(fail=False) if parking is not None else None
        if message is None:
            return
        yield message


def _buried(message: AbstractIncomingMessage) -> Buried:
    reason = message.headers.get(REASON) or message.headers.get("x-first-death-reason") or "?"
    buried_at = message.headers.get(BURIED_AT)
    return Buried(
        raw=message.body,
        reason=str(reason),
        buried_at=buried_at if isinstance(buried_at, int) else 0,
    )
