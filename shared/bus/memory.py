"""The bus inside one process: the embedded default, and the fast half of the conformance suite.

It differs from RabbitMQ in two declared things: nothing survives the process, and because of that
:meth:`MemoryTransport.publish` confirms a message only when every durable queue's consumer has
settled it (acknowledged or buried; a delayed retry keeps the publisher waiting). Only the gateway
and the outbox relay publish, so this cannot deadlock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from shared.bus.envelope import Envelope, decode, encode
from shared.bus.memory_queues import (
    FANOUT_LENGTH,
    RING_LENGTH,
    RING_SECONDS,
    Inbox,
    Letter,
    SharedQueue,
)
from shared.bus.transport import (
    Buried,
    Disconnected,
    PublishTimeout,
    Queue,
    Subscription,
    TakenDelivery,
    Unroutable,
)
from shared.clock import now_ms
from shared.errors import Undecodable
from shared.ids import new_id


class MemoryDelivery:
    """A delivery of a durable queue."""

    def __init__(self, letter: Letter, inbox: Inbox, queue: SharedQueue) -> None:
        self.raw = letter.raw
        self.redelivered = letter.redelivered
        self._letter = letter
        self._inbox = inbox
        self._queue = queue

    async def ack(self) -> None:
        """It is done."""
        if self._release():
            self._finish()

    async def retry(self, envelope: Envelope, delay: float) -> None:
        """Deliver ``envelope`` to this queue again after ``delay``."""
        raw = encode(envelope)
        if self._release():
            self._letter.raw = raw
            self._letter.redelivered = False
            self._queue.put_later(self._letter, delay)
            self._queue.dispatch()

    async def bury(self, reason: str) -> None:
        """Park it with the reason."""
        if self._release():
            self._queue.dead.append(Buried(raw=self.raw, reason=reason, buried_at=now_ms()))
            self._finish()

    async def requeue(self) -> None:
        """Give it back unchanged."""
        if self._release():
            self._queue.put_back([self._letter])

    def _release(self) -> bool:
        return self._inbox.release(self._letter)

    def _finish(self) -> None:
        if not self._letter.settled.done():
            self._letter.settled.set_result(None)
        self._queue.dispatch()


class MemoryTransport:
    """A :class:`~shared.bus.transport.Transport` for one event loop."""

    def __init__(self, *, publish_timeout: float = 900.0) -> None:
        self._timeout = publish_timeout
        self._address = f"memory-{new_id()}"
        self._durable: dict[str, SharedQueue] = {}
        self._rings: dict[str, SharedQueue] = {}
        self._fanouts: dict[Inbox, frozenset[str]] = {}
        self._replies: list[Inbox] = []
        self._is_open = True

    async def publish(self, envelope: Envelope) -> None:
        """Return once every durable queue's consumer has settled the message."""
        raw = encode(envelope)
        await self.ping()
        self._publish_lossy(envelope, raw)
        if envelope.sort not in ("command", "query", "event"):
            await asyncio.sleep(0)  # publishers in a loop leave room for those who listen
            return
        queues = [queue for queue in self._durable.values() if envelope.kind in queue.kinds]
        if not queues and envelope.sort != "event":
            raise Unroutable(f"no queue takes {envelope.kind}")
        await self._until_settled(envelope, [(queue, Letter(raw)) for queue in queues])

    async def deliver_raw(self, queue: str, raw: bytes) -> None:
        """Put any bytes into a durable queue, as a broken or foreign publisher could."""
        self._durable_queue(queue).put(Letter(raw))

    @asynccontextmanager
    async def subscribe(self, queue: Queue) -> AsyncIterator[Subscription]:
        """Listen while the block is open."""
        await self.ping()
        async with self._fanout(queue) if queue.style == "fanout" else self._share(queue) as inbox:
            yield inbox

    async def reply_address(self) -> str:
        """The ``reply_to`` of this transport."""
        return self._address

    @asynccontextmanager
    async def replies(self) -> AsyncIterator[Subscription]:
        """Replies addressed to this transport."""
        inbox = Inbox(FANOUT_LENGTH, _taken, _nothing)
        self._replies.append(inbox)
        try:
            yield inbox
        finally:
            await inbox.stop()
            self._replies.remove(inbox)

    async def buried(self, queue: str, limit: int = 100) -> list[Buried]:
        """Dead letters of a durable queue, oldest first; the newest thousand are kept."""
        return list(self._durable_queue(queue).dead)[:limit]

    async def redrive(self, queue: str, limit: int = 100) -> int:
        """Put the oldest dead letters back; nobody waits for them any more."""
        shared = self._durable_queue(queue)
        letters = [shared.dead.popleft() for _ in range(min(limit, len(shared.dead)))]
        fresh = [(_as_new(letter.raw), letter) for letter in letters]
        for raw, letter in fresh:
            if raw is None:
                shared.dead.append(letter)
            else:
                shared.put(Letter(raw))
        return sum(raw is not None for raw, _ in fresh)

    async def ping(self) -> None:
        """Raise :class:`Disconnected` after :meth:`close`."""
        if not self._is_open:
            raise Disconnected("the memory bus is closed")

    async def close(self) -> None:
        """Forget everything; publishers that still wait get :class:`Disconnected`."""
        self._is_open = False
        for queue in (*self._durable.values(), *self._rings.values()):
            queue.close()

    @asynccontextmanager
    async def _fanout(self, queue: Queue) -> AsyncIterator[Subscription]:
        inbox = Inbox(FANOUT_LENGTH, _taken, _nothing)
        self._fanouts[inbox] = frozenset(queue.kinds)
        try:
            yield inbox
        finally:
            await inbox.stop()
            del self._fanouts[inbox]

    @asynccontextmanager
    async def _share(self, queue: Queue) -> AsyncIterator[Subscription]:
        shared = self._shared_queue(queue)
        inbox = _ring_inbox(queue, shared) if queue.style == "ring" else _inbox(queue, shared)
        shared.join(inbox)
        try:
            yield inbox
        finally:
            await inbox.stop()
            shared.leave(inbox)

    def _durable_queue(self, name: str) -> SharedQueue:
        return self._durable.setdefault(name, SharedQueue())

    def _shared_queue(self, queue: Queue) -> SharedQueue:
        if queue.style == "ring":
            return self._rings.setdefault(queue.name, SharedQueue())
        shared = self._durable_queue(queue.name)
        shared.kinds.update(queue.kinds)
        return shared

    def _publish_lossy(self, envelope: Envelope, raw: bytes) -> None:
        if envelope.sort == "ring" and envelope.to in self._rings:
            expires = asyncio.get_running_loop().time() + RING_SECONDS
            self._rings[envelope.to].put(Letter(raw, expires=expires))
            self._rings[envelope.to].limit(RING_LENGTH)
        elif envelope.sort == "reply" and envelope.to == self._address:
            _give_all(self._replies, raw)
        elif envelope.sort in ("event", "control"):
            listening = [one for one, kinds in self._fanouts.items() if envelope.kind in kinds]
            _give_all(listening, raw)

    async def _until_settled(
        self, envelope: Envelope, copies: list[tuple[SharedQueue, Letter]]
    ) -> None:
        for queue, letter in copies:
            queue.put(letter)
        waiting = [letter.settled for _, letter in copies]
        try:
            await asyncio.sleep(0)
            if waiting:
                await asyncio.wait(waiting, timeout=self._timeout)
        finally:
            for queue, letter in copies:
                if not letter.settled.done():
                    queue.withdraw(letter)
        if any(settled.cancelled() for settled in waiting):
            raise Disconnected("the memory bus was closed")
        if not all(settled.done() for settled in waiting):
            raise PublishTimeout(f"{envelope.kind} was not settled in {self._timeout:g} s")


def _inbox(queue: Queue, shared: SharedQueue) -> Inbox:
    return Inbox(
        queue.prefetch, lambda letter, inbox: MemoryDelivery(letter, inbox, shared), shared.stop
    )


def _ring_inbox(queue: Queue, shared: SharedQueue) -> Inbox:
    def take(letter: Letter, inbox: Inbox) -> TakenDelivery:
        delivery = _taken(letter, inbox)
        shared.dispatch()
        return delivery

    return Inbox(queue.prefetch, take, shared.stop)


def _taken(letter: Letter, inbox: Inbox) -> TakenDelivery:
    inbox.release(letter)
    return TakenDelivery(letter.raw)


def _nothing(_: Inbox) -> None:
    """A fanout leaves nothing behind."""


def _give_all(inboxes: list[Inbox], raw: bytes) -> None:
    for inbox in inboxes:
        if inbox.is_stopped:
            continue
        if not inbox.has_room:
            inbox.drop_oldest()
        inbox.give(Letter(raw))


def _as_new(raw: bytes) -> bytes | None:
    try:
        return encode(msgspec.structs.replace(decode(raw), attempt=1))
    except Undecodable:
        return None
