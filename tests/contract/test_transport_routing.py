"""What every transport promises about where messages go.

Each test runs on the memory bus and on RabbitMQ."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared.bus.envelope import MAX_BYTES, Sort, decode, encode
from shared.bus.transport import PublishTimeout, Queue, Unroutable
from tests.support.bus import (
    a_message,
    a_queue,
    colour_of,
    nothing_comes,
    publishing,
    take,
)


@pytest.mark.parametrize("sort", ["command", "query"])
async def test_what_no_service_takes_is_unroutable(transport: Any, sort: Sort) -> None:
    with pytest.raises(Unroutable):
        await transport.publish(a_message("demo.unknown.v1", sort))


@pytest.mark.parametrize("sort", ["event", "control", "ring", "reply"])
async def test_what_nobody_hears_is_no_error(transport: Any, sort: Sort) -> None:
    await transport.publish(a_message("demo.unknown.v1", sort, to="nobody"))


async def test_a_queue_collects_while_its_service_is_away(carrier: Any) -> None:
    async with carrier.open() as transport:
        async with transport.subscribe(a_queue()):
            pass
        published = asyncio.create_task(transport.publish(a_message()))
        await asyncio.sleep(0.05)
        async with transport.subscribe(a_queue()) as subscription:
            await (await take(subscription)).ack()
        await published


async def test_over_64_kilobytes_is_refused_before_sending(transport: Any) -> None:
    fits = a_message(colour="x" * (MAX_BYTES - 1000))
    assert len(encode(fits)) < MAX_BYTES
    async with transport.subscribe(a_queue()) as subscription:
        async with publishing(transport, fits):
            await (await take(subscription)).ack()
        with pytest.raises(ValueError, match="over the limit"):
            await transport.publish(a_message(colour="x" * MAX_BYTES))


async def test_a_hundred_at_once_all_arrive_once(transport: Any) -> None:
    sent = {str(number) for number in range(100)}
    seen: list[str] = []
    async with transport.subscribe(a_queue()) as subscription:
        async with publishing(transport, *[a_message(colour=colour) for colour in sent]):
            while len(seen) < 100:
                delivery = await take(subscription)
                seen.append(colour_of(delivery))
                await delivery.ack()
        assert await nothing_comes(subscription)
    assert sorted(seen) == sorted(sent)


async def test_replicas_share_a_queue(carrier: Any) -> None:
    async with (
        carrier.open() as one,
        carrier.open() as two,
        one.subscribe(a_queue(prefetch=1)) as first,
        two.subscribe(a_queue(prefetch=1)) as second,
        publishing(one, a_message(colour="a"), a_message(colour="b")),
    ):
        taken = [await take(first), await take(second)]
        assert {colour_of(delivery) for delivery in taken} == {"a", "b"}
        for delivery in taken:
            await delivery.ack()


async def test_an_event_reaches_every_service_that_wants_it(transport: Any) -> None:
    async with (
        transport.subscribe(a_queue("one")) as first,
        transport.subscribe(a_queue("two")) as second,
        publishing(transport, a_message(sort="event")),
    ):
        for subscription in (first, second):
            await (await take(subscription)).ack()


async def test_a_fanout_gives_everybody_a_copy(carrier: Any) -> None:
    queue = a_queue("gateway", style="fanout")
    async with (
        carrier.open() as one,
        carrier.open() as two,
        one.subscribe(queue) as first,
        two.subscribe(queue) as second,
    ):
        for sort in ("event", "control"):
            await one.publish(a_message(sort=sort))
            for subscription in (first, second):
                delivery = await take(subscription)
                assert decode(delivery.raw).sort == sort
                await delivery.ack()
        await one.publish(a_message("demo.other.v1", sort="event"))
        assert await nothing_comes(first)


async def test_a_fanout_begins_when_it_is_subscribed(transport: Any) -> None:
    queue = a_queue("gateway", style="fanout")
    async with transport.subscribe(queue):
        pass
    await transport.publish(a_message(sort="event"))
    async with transport.subscribe(queue) as subscription:
        assert await nothing_comes(subscription)


async def test_a_ring_wakes_one(carrier: Any) -> None:
    queue = Queue(name="media", style="ring", prefetch=1)
    async with (
        carrier.open() as one,
        carrier.open() as two,
        one.subscribe(queue) as first,
        two.subscribe(queue) as second,
    ):
        await one.publish(a_message("work.ring.v1", "ring", to="media"))
        ears = [asyncio.create_task(take(each, 60)) for each in (first, second)]
        heard, deaf = await asyncio.wait(ears, return_when=asyncio.FIRST_COMPLETED)
        assert len(heard) == len(deaf) == 1
        heard, _ = await asyncio.wait(deaf, timeout=0.2)
        assert not heard
        for each in deaf:
            each.cancel()
        await asyncio.wait(deaf)
        await one.publish(a_message("work.ring.v1", "ring", to="other"))
        assert await nothing_comes(first)


async def test_tenants_share_a_queue_and_keep_their_names(transport: Any) -> None:
    sent = [a_message(tenant=tenant) for tenant in ("alice", "b-2", "")]
    async with transport.subscribe(a_queue()) as subscription, publishing(transport, *sent):
        taken = [await take(subscription) for _ in sent]
        assert [decode(each.raw).tenant for each in taken] == ["alice", "b-2", ""]
        for delivery in taken:
            await delivery.ack()


async def test_ping_answers(transport: Any) -> None:
    await transport.ping()


async def test_a_publisher_does_not_wait_for_ever(carrier: Any) -> None:
    """On RabbitMQ see the frozen broker in test_rabbitmq.py."""
    if carrier.name == "rabbitmq":
        async with carrier.open(publish_timeout=0.0) as transport:
            with pytest.raises(PublishTimeout):
                await transport.publish(a_message())
        return
    async with (
        carrier.open(publish_timeout=0.1) as transport,
        transport.subscribe(a_queue()) as subscription,
    ):
        with pytest.raises(PublishTimeout):
            await transport.publish(a_message())
        await (await take(subscription)).ack()
