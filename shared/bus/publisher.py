"""How the gateway speaks: commands it sends, questions it asks.

Services do not publish: what they want to say goes through their outbox
(:mod:`shared.bus.outbox`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Any, Self, TypeVar

import msgspec

from shared.bus.answers import Answer, error_of
from shared.bus.envelope import Envelope, Sort, decode
from shared.bus.router import reply_type
from shared.bus.transport import Disconnected, PublishTimeout, Subscription, Transport
from shared.clock import Clock, now_ms
from shared.contracts.base import Command, Message, Query, kind_of
from shared.errors import Unavailable, Undecodable
from shared.faults import through
from shared.ids import new_id
from shared.tenancy import TenantId

log = logging.getLogger(__name__)

ReplyT = TypeVar("ReplyT")

FIRST_REST = 0.2
LONGEST_REST = 2.0


@dataclass
class _Tries:
    """What became of the tries to publish one message."""

    may_be_there: bool = False


@dataclass(eq=False)
class Bus:
    """The publishing end of a transport, open inside ``async with``.

    ``source`` is the service that speaks; ``trace`` gives the W3C trace context to send along.
    ``around`` is entered for every try to hand an envelope over, gives the one to send, and sees
    how that ended.
    """

    transport: Transport
    source: str
    _: KW_ONLY
    trace: Callable[[], dict[str, str]] = dict
    around: Callable[[Envelope], AbstractContextManager[Envelope]] = nullcontext
    clock: Clock = now_ms
    _asked: dict[str, asyncio.Future[Answer]] = field(default_factory=dict, init=False)
    _address: str = field(default="", init=False)
    _stack: contextlib.AsyncExitStack = field(init=False)

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            replies = await stack.enter_async_context(self.transport.replies())
            listener = asyncio.create_task(self._listen(replies))
            stack.push_async_callback(_end, listener)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def send(
        self,
        message: Command,
        *,
        tenant: TenantId,
        correlation: str = "",
        id: str | None = None,  # noqa: A002 - it is the message's id
        timeout: float = 15.0,
    ) -> str:
        """Return the message's id once the carrier has taken responsibility for the command.

        A carrier that is away is tried again until ``timeout``. Then :class:`Disconnected` says
        that it certainly has not got the command; :class:`PublishTimeout` that the command may
        still arrive, so repeat it under the same ``id``.
        """
        envelope = self._envelope(message, "command", tenant, correlation, id or new_id())
        tries = _Tries()
        try:
            async with asyncio.timeout(timeout):
                await self._publish(envelope, tries)
        except TimeoutError as error:
            kind = PublishTimeout if tries.may_be_there else Disconnected
            raise kind(f"{envelope.kind} was not taken in {timeout:g} s") from error
        return envelope.id

    async def ask(
        self,
        query: Query[ReplyT],
        *,
        tenant: TenantId,
        correlation: str = "",
        timeout: float = 5.0,
    ) -> ReplyT:
        """The answer to the question. Errors of the tree that the handler raised are raised here;
        no answer in time is :class:`Unavailable`.
        """
        envelope = self._envelope(query, "query", tenant, correlation, new_id())
        answered = self._asked[envelope.id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                await self._put(envelope, timeout)
                answer = await answered
        except TimeoutError as error:
            raise Unavailable(
                f"{envelope.kind} was not answered in {timeout:g} s", code="no_answer"
            ) from error
        finally:
            del self._asked[envelope.id]
        reply: ReplyT = _open_answer(answer, type(query))
        return reply

    async def _put(self, query: Envelope, timeout: float) -> None:
        self._address = await self.transport.reply_address()
        deadline = query.sent_at + int(timeout * 1000)
        await self._publish(
            msgspec.structs.replace(query, reply_to=self._address, deadline=deadline), _Tries()
        )

    async def _publish(self, envelope: Envelope, tries: _Tries) -> None:
        rest = FIRST_REST
        while True:
            before, tries.may_be_there = tries.may_be_there, True
            try:
                with self.around(envelope) as sent:
                    return await through("bus:publish", partial(self.transport.publish, sent))
            except (PublishTimeout, Disconnected) as error:
                if isinstance(error, Disconnected):
                    tries.may_be_there = before
                await asyncio.sleep(rest * random.uniform(0.5, 1.0))
                rest = min(rest * 2, LONGEST_REST)

    def _envelope(
        self, message: Message, sort: Sort, tenant: TenantId, correlation: str, id_: str
    ) -> Envelope:
        return Envelope(
            id=id_,
            kind=kind_of(message),
            sort=sort,
            tenant=tenant,
            correlation=correlation or id_,
            sent_at=self.clock(),
            body=msgspec.Raw(msgspec.json.encode(message)),
            trace=self.trace(),
            source=self.source,
        )

    async def _listen(self, replies: Subscription) -> None:
        async for delivery in replies:
            try:
                envelope = decode(delivery.raw)
                answer = _ANSWER.decode(envelope.body)
            except (Undecodable, msgspec.DecodeError) as error:
                extra = {"action": "message_undecodable"}  # the asker sees its deadline
                log.warning("an answer is not understood: %s", error, extra=extra)
                continue
            answered = self._asked.get(envelope.causation)
            if answered is not None and not answered.done():
                answered.set_result(answer)


_ANSWER = msgspec.json.Decoder(Answer)


def _open_answer(answer: Answer, query: type[Query[Any]]) -> Any:
    if answer.fault is not None:
        raise error_of(answer.fault)
    try:
        return msgspec.json.decode(answer.reply, type=reply_type(query))
    except msgspec.DecodeError as error:
        raise Unavailable(f"the answer to {kind_of(query)} is not understood: {error}") from error


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
