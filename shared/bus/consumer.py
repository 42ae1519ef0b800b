"""Takes a service's deliveries, lets its handlers see them, and settles each exactly once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import KW_ONLY, dataclass, field
from functools import partial

import msgspec

from shared.bus.answers import KIND, Answer, fault_of
from shared.bus.envelope import MAX_BYTES, Envelope, decode
from shared.bus.outcomes import Again, Brake, Bury, Done, GiveBack, Outcome, RetryPolicy
from shared.bus.router import Context, Route, Router
from shared.bus.transport import Delivery, Queue, Subscription, Transport
from shared.clock import Clock, now_ms
from shared.contracts.base import Message
from shared.errors import ReelwayError, Unavailable, Undecodable
from shared.faults import through
from shared.ids import new_id
from shared.tenancy import TenantId, tenant_id

log = logging.getLogger(__name__)

CARRIER_REST = 1.0
"""Seconds a delivery rests in hand when the carrier did not take its retry or burial."""


LARGEST_REPLY = MAX_BYTES - 1024
"""What is left of an envelope for the reply itself."""


def _no_hook(_: Envelope) -> AbstractContextManager[object]:
    return nullcontext()


def _nobody(_kind: str, _outcome: str) -> None:
    """Nobody counts outcomes."""


@dataclass(eq=False)
class Consumer:
    """Runs a router over the queues ``<service>`` and ``<service>.queries``.

    At most ``prefetch`` handlers run at a time per queue. ``around`` wraps every call of a handler
    (for logs and traces) and sees its errors; ``settled`` is told kind and outcome of each
    delivery (for metrics).
    """

    transport: Transport
    router: Router
    _: KW_ONLY
    prefetch: int = 16
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    grace: float = 20.0
    around: Callable[[Envelope], AbstractContextManager[object]] = _no_hook
    settled: Callable[[str, str], None] = _nobody
    clock: Clock = now_ms
    _receivers: list[asyncio.Task[None]] = field(default_factory=list, init=False)
    _handlers: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _brake: Brake = field(init=False)

    def __post_init__(self) -> None:
        self._brake = Brake(lambda: asyncio.get_running_loop().time())

    @property
    def healthy(self) -> bool:
        """Whether deliveries are being taken: not paused by the brake, and no receiver is dead."""
        is_alive = bool(self._receivers) and not any(task.done() for task in self._receivers)
        return is_alive and not self._brake.remaining

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Consume while the block is open. At its end nothing more is taken, handlers in hand get
        ``grace`` seconds, the rest is cancelled and goes back to the queue.
        """
        async with AsyncExitStack() as stack:
            subscriptions = [
                await stack.enter_async_context(self.transport.subscribe(queue))
                for queue in self._queues()
            ]
            self._receivers = [asyncio.create_task(self._receive(one)) for one in subscriptions]
            for receiver in self._receivers:
                receiver.add_done_callback(_log_death)
            try:
                yield
            finally:
                await self._leave(subscriptions)

    def _queues(self) -> list[Queue]:
        service = self.router.service
        queues = [Queue(name=service, kinds=self.router.kinds, prefetch=self.prefetch)]
        if self.router.queries:
            # Questions have deadlines: they must not wait behind a backlog of commands.
            name, kinds = f"{service}.queries", self.router.queries
            queues.append(Queue(name=name, kinds=kinds, prefetch=self.prefetch))
        return queues

    async def _leave(self, subscriptions: list[Subscription]) -> None:
        receivers, self._receivers = self._receivers, []
        try:
            for subscription in subscriptions:
                await subscription.stop()
            for task in receivers:
                task.cancel()
            if self._handlers:
                await asyncio.wait(self._handlers, timeout=self.grace)
        finally:
            for task in (*receivers, *self._handlers):
                task.cancel()
            await asyncio.gather(*self._handlers, return_exceptions=True)
        ends = await asyncio.gather(*receivers, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _receive(self, subscription: Subscription) -> None:
        # The transport bounds what is unsettled; after a lost connection it may deliver anew what
        # old handlers still work on, so the handlers are bounded here.
        gate = asyncio.Semaphore(self.prefetch)
        async for delivery in subscription:
            await gate.acquire()
            if self._brake.remaining:
                await asyncio.sleep(self._brake.remaining)
            task = asyncio.create_task(self._take(delivery))
            self._handlers.add(task)
            task.add_done_callback(self._handlers.discard)
            task.add_done_callback(lambda _: gate.release())

    async def _take(self, delivery: Delivery) -> None:
        try:
            envelope = decode(delivery.raw)
        except Undecodable as error:
            await self._settle(delivery, None, Bury(f"{error.code}: {error.detail}"))
            return
        outcome = await self._outcome(envelope, delivery)
        await self._settle(delivery, envelope, outcome)

    async def _outcome(self, envelope: Envelope, delivery: Delivery) -> Outcome:
        route = self.router.find(envelope.kind)
        if route is None:
            return Bury(f"unknown_kind: {self.router.service} does not know {envelope.kind}")
        if route.is_query and 0 < envelope.deadline <= self.clock():
            return Done()
        result = await self._call(route, envelope, redelivered=delivery.redelivered)
        if isinstance(result, asyncio.CancelledError):
            return GiveBack()
        if isinstance(result, Exception):
            _log_failure(envelope, result)
        if route.is_query:
            await self._answer(envelope, result)
            return Done()
        return self._verdict(envelope, result)

    def _verdict(self, envelope: Envelope, result: object) -> Outcome:
        if isinstance(result, Undecodable):
            return Bury(f"{result.code}: {result.detail}")
        if isinstance(result, Exception):
            return self.policy.after(result, envelope.attempt)
        return Done()

    async def _call(self, route: Route, envelope: Envelope, *, redelivered: bool) -> object:
        """What the handler returned or raised."""
        try:
            message = _decode_body(route, envelope)
            context = _context(envelope, redelivered=redelivered)
            async with asyncio.timeout(self._patience(route, envelope)):
                with self.around(envelope):
                    return await through("consumer:handle", partial(route.handle, message, context))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                return error
            return ReelwayError("the handler was cancelled by something it awaited")
        except Exception as error:  # noqa: BLE001 - one of two: no handler may stop the consumer
            return error

    def _patience(self, route: Route, envelope: Envelope) -> float | None:
        if not (route.is_query and envelope.deadline):
            return None
        return max(0.0, (envelope.deadline - self.clock()) / 1000)

    async def _answer(self, query: Envelope, result: object) -> None:
        """Send the reply or the error; an asker that cannot be reached will see its deadline."""
        try:
            await self.transport.publish(self._reply(query, _answer_of(result)))
        except Unavailable as error:
            log.warning("an answer was lost: %s", error, extra={"action": "answer_lost"})

    def _reply(self, query: Envelope, answer: Answer) -> Envelope:
        return Envelope(
            id=new_id(),
            kind=KIND,
            sort="reply",
            tenant=query.tenant,
            correlation=query.correlation,
            causation=query.id,
            sent_at=self.clock(),
            to=query.reply_to,
            source=self.router.service,
            body=msgspec.Raw(msgspec.json.encode(answer)),
        )

    async def _settle(
        self, delivery: Delivery, envelope: Envelope | None, outcome: Outcome
    ) -> None:
        kind = envelope.kind if envelope else ""
        try:
            outcome = await self._settle_surely(delivery, envelope, outcome)
        except asyncio.CancelledError:
            await delivery.requeue()
            raise
        self._brake.note(is_bad=isinstance(outcome, Bury) and outcome.alarming)
        self.settled(kind, type(outcome).__name__.lower())
        if not isinstance(outcome, Done):
            extra = {"action": "message_not_done", "kind": kind}
            level = logging.WARNING if isinstance(outcome, Bury) else logging.INFO
            log.log(level, "%s is not done: %s", kind or "a message", outcome, extra=extra)

    async def _settle_surely(
        self, delivery: Delivery, envelope: Envelope | None, outcome: Outcome
    ) -> Outcome:
        """Settle it, however long the carrier is away: giving it back instead would count as a
        delivery with RabbitMQ, and bury it in the end.
        """
        while True:
            try:
                await through("consumer:settle", partial(_settle, delivery, envelope, outcome))
            except Unavailable as error:
                log.warning("not settled yet: %s", error, extra={"action": "settle_failed"})
                await asyncio.sleep(CARRIER_REST)
            except ValueError as error:
                outcome = Bury(f"too_large: {error}")
            else:
                return outcome


async def _settle(delivery: Delivery, envelope: Envelope | None, outcome: Outcome) -> None:
    match outcome:
        case Done():
            await delivery.ack()
        case Bury(reason):
            await delivery.bury(reason)
        case GiveBack():
            await delivery.requeue()
        case Again(delay, counted) if envelope is not None:
            attempt = envelope.attempt + int(counted)
            await delivery.retry(msgspec.structs.replace(envelope, attempt=attempt), delay)


def _answer_of(result: object) -> Answer:
    if isinstance(result, Exception):
        return Answer(fault=fault_of(result))
    reply = msgspec.json.encode(result)
    if len(reply) > LARGEST_REPLY:
        return Answer(fault=fault_of(ReelwayError(f"the answer is too large: {len(reply)} bytes")))
    return Answer(reply=msgspec.Raw(reply))


def _decode_body(route: Route, envelope: Envelope) -> Message:
    try:
        return route.decode(envelope.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Undecodable(f"no {envelope.kind}: {error}") from error


def _context(envelope: Envelope, *, redelivered: bool) -> Context:
    return Context(
        tenant=tenant_id(envelope.tenant) if envelope.tenant else TenantId(""),
        message_id=envelope.id,
        correlation=envelope.correlation,
        causation=envelope.causation,
        attempt=envelope.attempt,
        redelivered=redelivered,
    )


def _log_death(receiver: asyncio.Task[None]) -> None:
    error = None if receiver.cancelled() else receiver.exception()
    if error is not None:
        log.error("a receiver has ended", exc_info=error, extra={"action": "task_ended"})


def _log_failure(envelope: Envelope, error: Exception) -> None:
    if isinstance(error, ReelwayError):
        return
    extra = {"action": "handler_failed", "kind": envelope.kind, "attempt": envelope.attempt}
    if isinstance(error, TimeoutError) and 0 < envelope.deadline <= now_ms():
        log.warning("%s took longer than its asker waits", envelope.kind, extra=extra)
        return
    log.error("%s failed", envelope.kind, exc_info=error, extra=extra)
