"""Listening on RabbitMQ: subscriptions that outlive connections, and their deliveries."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import Any, Self
from uuid import uuid4

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from shared.bus.envelope import Envelope, encode
from shared.bus.rabbitmq_link import CLOSE_SECONDS, LOST, Link, Publisher, raise_if_ours
from shared.bus.rabbitmq_topology import DELAYS, Names, declare_exchanges, delay_step
from shared.bus.transport import Delivery, Queue, TakenDelivery
from shared.clock import now_ms
from shared.errors import Unavailable

log = logging.getLogger(__name__)

REASON = "rw-reason"
BURIED_AT = "rw-buried-at"
DUE = "rw-due"
LONGEST_REASON = 2000
WATCH_SECONDS = 30.0
SETUP_SECONDS = 30.0
"""A queue without a leader answers nothing; the channel that asked is given up then."""

Declare = Callable[[AbstractChannel, Names, Queue], Awaitable[AbstractQueue]]


def parcel(raw: bytes, *, is_durable: bool = True, **headers: Any) -> Message:
    """The bytes as an AMQP message with an id of its own (returns are matched by it)."""
    mode = DeliveryMode.PERSISTENT if is_durable else DeliveryMode.NOT_PERSISTENT
    return Message(
        raw,
        content_type="application/json",
        message_id=uuid4().hex,
        delivery_mode=mode,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


class RabbitDelivery:
    """One message of a durable queue, in hand as long as its channel lives."""

    def __init__(
        self,
        message: AbstractIncomingMessage,
        channel: AbstractChannel,
        inbox: RabbitInbox,
    ) -> None:
        self.raw = message.body
        self.redelivered = bool(message.redelivered)
        self._message = message
        self._channel = channel
        self._inbox = inbox
        self._is_settled = False

    @property
    def is_stale(self) -> bool:
        """Whether the broker has it back already, because the channel is gone."""
        return self._channel.is_closed

    @property
    def rest(self) -> float:
        """Seconds that a long delay still has to go."""
        due = self._message.headers.get(DUE)
        return max(0.0, (due - now_ms()) / 1000) if isinstance(due, int) else 0.0

    async def ack(self) -> None:
        """It is done. Not a commit: if the connection breaks now, it comes again."""
        await self._settle(None)

    async def retry(self, envelope: Envelope, delay: float) -> None:
        """Publish the copy, and only then let go of this one."""
        raw = encode(envelope)
        await self._settle(lambda: self._inbox.put_later(raw, delay))

    async def postpone(self) -> None:
        """Wait for the rest of a delay longer than the longest step."""
        await self._settle(lambda: self._inbox.put_later(self.raw, self.rest))

    async def bury(self, reason: str) -> None:
        """Park the bytes with the reason, and only then let go of them."""
        await self._settle(lambda: self._inbox.put_dead(self.raw, reason))

    async def requeue(self) -> None:
        """Give it back unchanged."""
        if not self._is_settled:
            self._is_settled = True
            await self._tell(self._message.nack)

    async def _settle(self, first: Callable[[], Awaitable[None]] | None) -> None:
        if self._is_settled or self.is_stale:
            return
        self._is_settled = True
        with ExitStack() as undo:
            undo.callback(self._reopen)
            if first is not None:
                await first()
            undo.pop_all()
        await self._tell(self._message.ack)

    def _reopen(self) -> None:
        self._is_settled = False

    async def _tell(self, verb: Callable[[], Awaitable[None]]) -> None:
        try:
            await verb()
        except LOST as error:
            extra = {"action": "bus_disconnected"}
            log.info("not told to the broker, will come again: %r", error, extra=extra)


class RabbitInbox:
    """A subscription: sets up its queue again after every loss.

    ``address`` is the queue's name while ``ready`` is set; what arrives is also given to those it
    is ``shared_with``.
    """

    def __init__(
        self, link: Link, publisher: Publisher, names: Names, queue: Queue, declare: Declare
    ) -> None:
        self.ready = asyncio.Event()
        self.address = ""
        self.shared_with: list[RabbitInbox] = []
        self._link = link
        self._publisher = publisher
        self._names = names
        self._queue = queue
        self._declare = declare
        self.given: asyncio.Queue[RabbitDelivery | TakenDelivery | None] = asyncio.Queue()
        self._consuming: tuple[AbstractQueue, str] | None = None
        self._is_stopped = False
        self._failure: BaseException | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        while (delivery := await self.given.get()) is not None:
            if isinstance(delivery, TakenDelivery):
                return delivery
            if delivery.is_stale:
                continue
            if delivery.rest:
                await self._postpone(delivery)
            elif self._queue.style == "ring":
                await delivery.ack()
                return TakenDelivery(delivery.raw)
            else:
                return delivery
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    async def stop(self) -> None:
        """Take no more; what was not taken goes back."""
        if self._is_stopped:
            return
        self._is_stopped = True
        await self._cancel()
        while not self.given.empty():
            delivery = self.given.get_nowait()
            if delivery is not None:
                await delivery.requeue()
        self.given.put_nowait(None)

    async def serve(self) -> None:
        """Listen until stopped, over any number of connections."""
        while not self._is_stopped:
            try:
                await self._link.up()
                await self._listen()
            except LOST as error:
                extra = {"action": "bus_disconnected"}
                log.warning("%s is not subscribed: %r", self._queue.name, error, extra=extra)
            except asyncio.CancelledError:
                raise_if_ours()
            await asyncio.sleep(0.2)

    def end(self, server: asyncio.Task[None]) -> None:
        """Let the iteration end with the error of :meth:`serve`, if it had one."""
        if not server.cancelled():
            self._failure = server.exception()
            self.given.put_nowait(None)

    async def put_later(self, raw: bytes, delay: float) -> None:
        """Publish the bytes to this queue so that they arrive after ``delay`` seconds."""
        service = self._queue.name
        if delay <= 0:
            await self._publisher.put(parcel(raw), "", self._names.durable(service), mandatory=True)
            return
        is_long = delay * 1000 > DELAYS[-1]
        message = parcel(raw, rw_due=now_ms() + int(delay * 1000)) if is_long else parcel(raw)
        await self._publisher.put_later(message, service, delay_step(delay))

    async def put_dead(self, raw: bytes, reason: str) -> None:
        """Publish the bytes to this queue's parking lot."""
        letter = parcel(raw, rw_reason=reason[:LONGEST_REASON], rw_buried_at=now_ms())
        await self._publisher.put(letter, "", self._names.dead(self._queue.name), mandatory=True)

    async def _listen(self) -> None:
        gone = asyncio.Event()
        channel = await self._link.open_channel()
        channel.close_callbacks.add(lambda *_: gone.set())
        try:
            async with asyncio.timeout(SETUP_SECONDS):
                queue, _ = self._consuming = await self._set_up(channel)
            self.address = queue.name
            self.ready.set()
            if self._is_stopped:
                await self._cancel()
            await self._watch(channel, queue, gone)
        finally:
            self._consuming = None
            self.ready.clear()
            await _close(channel)

    async def _set_up(self, channel: AbstractChannel) -> tuple[AbstractQueue, str]:
        await declare_exchanges(channel, self._names)
        await channel.set_qos(prefetch_count=self._queue.prefetch)
        queue = await self._declare(channel, self._names, self._queue)
        return queue, await self._consume(channel, queue)

    async def _consume(self, channel: AbstractChannel, queue: AbstractQueue) -> str:
        is_lossy = self._queue.style == "fanout"

        async def take(message: AbstractIncomingMessage) -> None:
            # The library cancels this when the channel closes: only hand over.
            lossy = TakenDelivery(message.body)
            delivery = lossy if is_lossy else RabbitDelivery(message, channel, self)
            if self._is_stopped:
                await delivery.requeue()
                return
            for inbox in self.shared_with or [self]:
                inbox.given.put_nowait(delivery)

        return await queue.consume(take, no_ack=is_lossy)

    async def _watch(
        self, channel: AbstractChannel, queue: AbstractQueue, gone: asyncio.Event
    ) -> None:
        """Return when the consumer is gone, be it silently; once stopped, when the channel is."""
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda _: gone.set())
        while not gone.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH_SECONDS):
                    await gone.wait()
            if not gone.is_set() and not self._is_stopped and not await self._is_listened(queue):
                log.warning(
                    "%s had lost its consumer", queue.name, extra={"action": "bus_disconnected"}
                )
                return

    async def _is_listened(self, queue: AbstractQueue) -> bool:
        """Whether the broker knows of a consumer; asked on a channel that may be closed for it."""
        channel = await self._link.open_channel()
        try:
            passive = await channel.declare_queue(queue.name, passive=True)
        finally:
            await _close(channel)
        return bool(passive.declaration_result.consumer_count)

    async def _postpone(self, delivery: RabbitDelivery) -> None:
        try:
            await delivery.postpone()
        except Unavailable as error:
            log.info("not postponed yet: %s", error, extra={"action": "settle_failed"})
            await asyncio.sleep(1)
            self.given.put_nowait(delivery)

    async def _cancel(self) -> None:
        if self._consuming is None:
            return
        queue, tag = self._consuming
        try:
            async with asyncio.timeout(CLOSE_SECONDS):  # closes the channel: all goes back
                await queue.cancel(tag)
        except LOST as error:
            extra = {"action": "bus_disconnected"}
            log.info("%s is gone already: %r", queue.name, error, extra=extra)


async def _close(channel: AbstractChannel) -> None:
    with suppress(*LOST):
        async with asyncio.timeout(CLOSE_SECONDS):
            await channel.close()
