"""Consumer and bus over every transport: outcomes, questions and answers.

Each test runs on the memory bus and on RabbitMQ."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from shared.bus.consumer import Consumer
from shared.bus.envelope import decode, encode
from shared.bus.publisher import Bus
from shared.bus.router import Context, Router
from shared.bus.transport import Queue
from shared.clock import now_ms
from shared.contracts.base import Query
from shared.errors import Conflict, NotFound, Unavailable
from shared.tenancy import TenantId
from tests.support.bus import (
    Paint,
    a_message,
    a_queue,
    publishing,
    take,
    until,
)

ALICE = TenantId("alice")


class Colour(msgspec.Struct, frozen=True):
    name: str


class AskColour(Query[Colour], frozen=True, kw_only=True, tag="demo.ask_colour.v1"):
    of: str


async def test_a_consumer_settles_by_outcome(transport: Any) -> None:
    seen: list[str] = []

    async def paint(message: Paint, context: Context) -> None:
        seen.append(f"{message.colour} {context.attempt}")
        if message.colour == "black":
            raise Conflict("no black")

    async with Consumer(transport, Router("demo").on(Paint, paint)).running():
        async with publishing(transport, a_message(colour="white"), a_message(colour="black")):
            pass

        async def both() -> bool:
            return len(seen) == 2 and bool(await transport.buried("demo"))

        await until(both)
    assert sorted(seen) == ["black 1", "white 1"]
    assert [each.reason for each in await transport.buried("demo")] == ["conflict: no black"]


async def test_an_unknown_version_and_broken_bytes_are_buried_by_the_consumer(
    transport: Any,
) -> None:
    async def paint(message: Paint, context: Context) -> None:
        raise AssertionError("must not be called")

    async with Consumer(transport, Router("demo").on(Paint, paint)).running():
        for raw in (encode(a_message("demo.paint.v2")), b"junk"):
            await transport.deliver_raw("demo", raw)

        async def both() -> bool:
            return len(await transport.buried("demo")) == 2

        await until(both)
    reasons = sorted(each.reason for each in await transport.buried("demo"))
    assert reasons[0].startswith("undecodable: no envelope")
    assert reasons[1] == "unknown_kind: demo does not know demo.paint.v2"


async def test_leaving_during_handling_gives_the_message_back(transport: Any) -> None:
    started = asyncio.Event()

    async def never_ends(message: Paint, context: Context) -> None:
        started.set()
        await asyncio.Event().wait()

    consumer = Consumer(transport, Router("demo").on(Paint, never_ends), grace=0.05)
    async with consumer.running():
        published = asyncio.create_task(transport.publish(a_message()))
        async with asyncio.timeout(30):
            await started.wait()
    async with transport.subscribe(a_queue()) as subscription:
        delivery = await take(subscription)
        assert delivery.redelivered
        assert decode(delivery.raw).attempt == 1
        await delivery.ack()
    await published


async def test_a_question_is_answered(transport: Any) -> None:
    async def colour(query: AskColour, context: Context) -> Colour:
        if query.of == "nothing":
            raise NotFound("no such thing", code="thing_not_found", hint="look again")
        return Colour(f"{query.of} of {context.tenant}")

    router = Router("demo").answer(AskColour, colour)
    async with Consumer(transport, router).running(), Bus(transport, "test") as bus:
        answers = await asyncio.gather(
            *(bus.ask(AskColour(of=str(number)), tenant=ALICE, timeout=30) for number in range(20))
        )
        assert [answer.name for answer in answers] == [f"{each} of alice" for each in range(20)]
        with pytest.raises(NotFound, match="no such thing") as caught:
            await bus.ask(AskColour(of="nothing"), tenant=ALICE, timeout=30)
        assert (caught.value.code, caught.value.hint) == ("thing_not_found", "look again")


async def test_a_question_without_answer_ends_at_its_deadline(transport: Any) -> None:
    queue = Queue(name="demo.queries", kinds=("demo.ask_colour.v1",))
    async with transport.subscribe(queue), Bus(transport, "test") as bus:
        with pytest.raises(Unavailable, match="not answered") as caught:
            await bus.ask(AskColour(of="sky"), tenant=ALICE, timeout=0.2)
        assert caught.value.code == "no_answer"


async def test_an_expired_question_is_not_asked(transport: Any) -> None:
    async def colour(query: AskColour, context: Context) -> Colour:
        raise AssertionError("must not be called")

    expired = a_message("demo.ask_colour.v1", "query", deadline=now_ms() - 1)
    settled = asyncio.Event()
    consumer = Consumer(
        transport,
        Router("demo").answer(AskColour, colour),
        settled=lambda _kind, outcome: settled.set() if outcome == "done" else None,
    )
    async with consumer.running(), publishing(transport, expired), asyncio.timeout(30):
        await settled.wait()
