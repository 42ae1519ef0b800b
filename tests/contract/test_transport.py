"""What every transport promises of a delivery in a consumer's hands.

Each test runs on the memory bus and on RabbitMQ."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest

from shared.bus.envelope import decode
from tests.support.bus import (
    a_message,
    a_queue,
    colour_of,
    nothing_comes,
    publishing,
    take,
)


async def test_a_message_arrives_as_it_was_sent(transport: Any) -> None:
    sent = a_message(trace={"traceparent": "00-1-2-03"}, causation="x", attempt=3, source="me")
    async with transport.subscribe(a_queue()) as subscription, publishing(transport, sent):
        delivery = await take(subscription)
        assert decode(delivery.raw) == sent
        assert not delivery.redelivered
        await delivery.ack()


async def test_messages_arrive_in_order(transport: Any) -> None:
    sent = [a_message(colour=str(number)) for number in range(20)]
    async with (
        transport.subscribe(a_queue(prefetch=3)) as subscription,
        publishing(transport, *sent),
    ):
        for number in range(20):
            delivery = await take(subscription)
            assert colour_of(delivery) == str(number)
            await delivery.ack()


async def test_no_more_than_prefetch_are_in_hand(transport: Any) -> None:
    sent = [a_message(colour=str(number)) for number in range(3)]
    async with (
        transport.subscribe(a_queue(prefetch=2)) as subscription,
        publishing(transport, *sent),
    ):
        first, second = await take(subscription), await take(subscription)
        assert await nothing_comes(subscription)
        await second.ack()
        third = await take(subscription)
        assert colour_of(third) == "2"
        await first.ack()
        await third.ack()


async def test_they_can_be_settled_in_any_order(transport: Any) -> None:
    sent = [a_message(colour=colour) for colour in "abc"]
    async with transport.subscribe(a_queue()) as subscription:
        async with publishing(transport, *sent):
            taken = [await take(subscription) for _ in sent]
            for delivery in reversed(taken):
                await delivery.ack()
        assert await nothing_comes(subscription)


async def test_what_a_leaving_subscriber_did_not_settle_goes_to_another(transport: Any) -> None:
    sent = [a_message(colour="a"), a_message(colour="b")]
    async with transport.subscribe(a_queue()) as subscription:
        tasks = [asyncio.create_task(transport.publish(envelope)) for envelope in sent]
        await take(subscription)
    async with transport.subscribe(a_queue()) as subscription:
        again = {colour_of(each): each for each in [await take(subscription) for _ in sent]}
        assert again.keys() == {"a", "b"}
        assert again["a"].redelivered
        for delivery in again.values():
            await delivery.ack()
    await asyncio.gather(*tasks)


async def test_stopping_gives_back_what_was_not_taken_and_lets_the_rest_be_settled(
    transport: Any,
) -> None:
    sent = [a_message(colour="a"), a_message(colour="b")]
    async with transport.subscribe(a_queue()) as first, publishing(transport, *sent):
        in_hand = await take(first)
        async with transport.subscribe(a_queue()) as second:
            await asyncio.sleep(0)
            await first.stop()
            with pytest.raises(StopAsyncIteration):
                await take(first)
            other = await take(second)
            assert {colour_of(in_hand), colour_of(other)} == {"a", "b"}
            await other.ack()
            await in_hand.ack()
            assert await nothing_comes(second)


async def test_requeue_gives_it_back_at_once(transport: Any) -> None:
    async with transport.subscribe(a_queue()) as subscription, publishing(transport, a_message()):
        await (await take(subscription)).requeue()
        again = await take(subscription)
        assert again.redelivered
        await again.ack()


async def test_a_retry_comes_back_changed_and_not_before_its_delay(transport: Any) -> None:
    async with transport.subscribe(a_queue()) as subscription, publishing(transport, a_message()):
        delivery = await take(subscription)
        again = msgspec.structs.replace(decode(delivery.raw), attempt=2)
        start = time.monotonic()
        await delivery.retry(again, 0.3)
        delivery = await take(subscription)
        assert time.monotonic() - start >= 0.3
        assert decode(delivery.raw) == again
        await delivery.ack()


async def test_a_short_delay_does_not_wait_behind_a_long_one(transport: Any) -> None:
    sent = [a_message(colour="slow"), a_message(colour="quick")]
    async with transport.subscribe(a_queue()) as subscription:
        published = [asyncio.create_task(transport.publish(envelope)) for envelope in sent]
        taken = {colour_of(each): each for each in [await take(subscription) for _ in sent]}
        await taken["slow"].retry(decode(taken["slow"].raw), 120.0)
        await taken["quick"].retry(decode(taken["quick"].raw), 0.1)
        delivery = await take(subscription, 60)
        assert colour_of(delivery) == "quick"
        await delivery.ack()
        for task in published:  # on the memory bus the publisher of the slow one still waits
            task.cancel()
        await asyncio.wait(published)


async def test_no_delay_is_at_once(transport: Any) -> None:
    async with transport.subscribe(a_queue()) as subscription, publishing(transport, a_message()):
        delivery = await take(subscription)
        await delivery.retry(decode(delivery.raw), 0)
        await (await take(subscription)).ack()


async def test_the_buried_lie_with_their_reason_and_stay(transport: Any) -> None:
    sent = [a_message(colour=colour) for colour in "ab"]
    async with transport.subscribe(a_queue()) as subscription:
        async with publishing(transport, *sent):
            for _ in sent:
                delivery = await take(subscription)
                await delivery.bury(f"no {colour_of(delivery)}")
                await asyncio.sleep(0.005)
        for _ in range(2):
            letters = await transport.buried("demo")
            assert [letter.reason for letter in letters] == ["no a", "no b"]
        assert decode(letters[0].raw) == sent[0]
        assert letters[0].buried_at > 0
        assert len(await transport.buried("demo", limit=1)) == 1
        assert await nothing_comes(subscription)


async def test_nothing_is_buried_where_nothing_ever_was(transport: Any) -> None:
    assert await transport.buried("never-heard-of") == []
    assert await transport.redrive("never-heard-of") == 0


async def test_redrive_sends_the_buried_again_as_new(transport: Any) -> None:
    async with transport.subscribe(a_queue()) as subscription:
        async with publishing(transport, a_message(attempt=5)):
            await (await take(subscription)).bury("tired")
        await transport.deliver_raw("demo", b"no envelope")
        await (await take(subscription)).bury("not ours")
        assert await transport.redrive("demo") == 1
        delivery = await take(subscription)
        assert decode(delivery.raw).attempt == 1
        await delivery.ack()
        assert [letter.raw for letter in await transport.buried("demo")] == [b"no envelope"]


async def test_undecodable_bytes_reach_the_consumer_as_they_are(transport: Any) -> None:
    async with transport.subscribe(a_queue()) as subscription:
        await transport.deliver_raw("demo", b"\xff{")
        delivery = await take(subscription)
        assert delivery.raw == b"\xff{"
        await delivery.bury("undecodable")
    assert [letter.raw for letter in await transport.buried("demo")] == [b"\xff{"]


async def test_settling_twice_does_nothing(transport: Any) -> None:
    async with transport.subscribe(a_queue()) as subscription:
        async with publishing(transport, a_message()):
            delivery = await take(subscription)
            await delivery.ack()
            await delivery.ack()
            await delivery.requeue()
            await delivery.bury("no")
            await delivery.retry(decode(delivery.raw), 0)
        assert await nothing_comes(subscription)
    assert await transport.buried("demo") == []


async def test_settling_after_the_block_does_nothing(transport: Any) -> None:
    async with transport.subscribe(a_queue()) as subscription:
        published = asyncio.create_task(transport.publish(a_message()))
        delivery = await take(subscription)
    await delivery.ack()
    await delivery.bury("too late")
    async with transport.subscribe(a_queue()) as subscription:
        await (await take(subscription)).ack()
    await published
    assert await transport.buried("demo") == []
