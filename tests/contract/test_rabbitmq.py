"""What only a broker of our own can show: restarts, kill -9, a frozen and an absent broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import aio_pika
import pytest

from shared.bus import rabbitmq, rabbitmq_inbox
from shared.bus.connect import connect
from shared.bus.envelope import Envelope, decode
from shared.bus.rabbitmq import RabbitTransport
from shared.bus.transport import Disconnected, PublishTimeout, Queue, Subscription
from shared.errors import Unavailable
from tests.contract.conftest import RabbitCarrier
from tests.support import servers
from tests.support.bus import a_message, soon, take
from tests.support.processes import free_port

DEMO = Queue(name="demo", kinds=("demo.paint.v1",))
REPEATED = 15.0  # seconds: a broker that starts may confirm late, what is repeated need not wait


@pytest.fixture
async def carrier(own_broker: servers.Broker) -> AsyncIterator[RabbitCarrier]:
    carrier = RabbitCarrier(own_broker.url)
    yield carrier
    await carrier.clean()


async def off_loop(act: Any) -> None:
    """The loop goes on while the broker stops and starts."""
    await asyncio.get_running_loop().run_in_executor(None, act)


async def surely(act: Callable[..., Awaitable[None]], *args: Envelope) -> None:
    while True:
        with suppress(Unavailable):
            await act(*args)
            return
        await asyncio.sleep(0.05)


async def test_a_restart_loses_nothing_and_the_iterator_goes_on(
    own_broker: servers.Broker, carrier: RabbitCarrier
) -> None:
    fanout = Queue(name="gateway", kinds=DEMO.kinds, style="fanout")
    async with (
        carrier.open(publish_timeout=REPEATED) as transport,
        transport.subscribe(DEMO) as subscription,
        transport.subscribe(fanout) as ears,
    ):
        sent = [a_message() for _ in range(3)]
        for envelope in sent:
            await transport.publish(envelope)
        in_hand = await take(subscription, 60)
        await off_loop(own_broker.restart)
        await in_hand.ack()  # too late, and no error
        seen: set[str] = set()
        while len(seen) < 3:
            delivery = await take(subscription, 60)
            seen.add(decode(delivery.raw).id)
            await delivery.ack()
        assert seen == {envelope.id for envelope in sent}
        await surely(transport.publish, a_message())
        await (await take(subscription, 60)).ack()
        heard = asyncio.create_task(take(ears, 60))
        while not heard.done():
            await surely(transport.publish, a_message(sort="event"))
            await asyncio.sleep(0.05)
        await heard


async def publish_without_end(transport: Any, confirmed: list[str]) -> None:
    while True:
        envelope = a_message()
        with suppress(Unavailable):
            await transport.publish(envelope)
            confirmed.append(envelope.id)
        await asyncio.sleep(0.001)


async def consume_without_end(subscription: Subscription, received: list[str]) -> None:
    async for delivery in subscription:
        received.append(decode(delivery.raw).id)
        await delivery.ack()


async def test_what_was_confirmed_survives_kill_9(
    own_broker: servers.Broker, carrier: RabbitCarrier
) -> None:
    confirmed: list[str] = []
    received: list[str] = []
    async with (
        carrier.open(publish_timeout=REPEATED) as transport,
        transport.subscribe(DEMO) as subscription,
    ):
        consumer = asyncio.create_task(consume_without_end(subscription, received))
        publishers = [
            asyncio.create_task(publish_without_end(transport, confirmed)) for _ in range(4)
        ]
        await asyncio.sleep(2)  # 3.10 forgets a quorum queue that is not half a second old
        await soon(lambda: len(confirmed) > 20)
        await off_loop(own_broker.kill)
        before = len(confirmed)
        await off_loop(own_broker.start)
        await soon(lambda: len(confirmed) >= before + 100)
        for task in publishers:
            task.cancel()
        await asyncio.wait(publishers)
        await soon(lambda: set(confirmed) <= set(received))
        consumer.cancel()
        await asyncio.wait([consumer])
    assert len(received) - len(set(received)) <= DEMO.prefetch + 4


async def test_a_frozen_broker_is_a_timeout_and_the_message_may_arrive(
    own_broker: servers.Broker, carrier: RabbitCarrier
) -> None:
    async with (
        carrier.open() as transport,
        carrier.open(publish_timeout=0.5) as hasty,
        transport.subscribe(DEMO) as subscription,
    ):
        await transport.publish(a_message())
        await (await take(subscription, 60)).ack()
        await hasty._publisher._open()  # without a limit, unlike its first publish
        own_broker.freeze()
        envelope = a_message()
        try:
            start = time.monotonic()
            with pytest.raises(PublishTimeout):
                await hasty.publish(envelope)
            assert time.monotonic() - start < 15
        finally:
            own_broker.thaw()
        await transport.publish(envelope)
        ids = []
        with suppress(TimeoutError):  # a stall may have kept the first from being sent at all
            for seconds in (60, 2):
                delivery = await take(subscription, seconds)
                ids.append(decode(delivery.raw).id)
                await delivery.ack()
        assert set(ids) == {envelope.id}


async def test_a_broker_that_is_not_there_is_waited_for_in_the_background(
    own_broker: servers.Broker, carrier: RabbitCarrier
) -> None:
    own_broker.stop()
    transport = RabbitTransport(own_broker.url, name="t", prefix=carrier.prefix, patience=0.2)
    carrier.queues.add("demo")
    async with transport.running():
        with pytest.raises(Disconnected):
            await transport.publish(a_message())
        with pytest.raises(Disconnected):
            await transport.ping()
        async with transport.subscribe(DEMO) as subscription:
            await off_loop(own_broker.start)
            await surely(transport.publish, a_message())
            await (await take(subscription, 60)).ack()
            await surely(transport.ping)


async def test_leaving_without_a_broker_is_quick() -> None:
    url = f"amqp://guest:guest@127.0.0.1:{free_port()}/"
    start = time.monotonic()
    transport = RabbitTransport(url, name="t", patience=0.1)
    async with transport.running(), transport.subscribe(DEMO), transport.replies():
        with pytest.raises(Disconnected):
            await transport.buried("demo")
    assert time.monotonic() - start < 30


async def test_leaving_a_frozen_broker_is_quick(
    own_broker: servers.Broker, carrier: RabbitCarrier
) -> None:
    try:
        async with carrier.open() as transport, transport.subscribe(DEMO) as subscription:
            await transport.publish(a_message())
            await take(subscription, 60)
            own_broker.freeze()
            asyncio.get_running_loop().call_later(60, own_broker.thaw)
            start = time.monotonic()
        assert time.monotonic() - start < 40
    finally:
        own_broker.thaw()


async def test_a_listener_that_fails_is_not_silent(
    carrier: RabbitCarrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise KeyError("a fault of ours")

    monkeypatch.setitem(rabbitmq._DECLARE, "durable", broken)
    # Without much patience, since nobody ever says that the listener is ready.
    async with carrier.open(patience=0.5) as transport, transport.subscribe(DEMO) as subscription:
        with pytest.raises(KeyError):
            await take(subscription)


async def test_a_queue_deleted_under_us_is_declared_again(carrier: RabbitCarrier) -> None:
    async with carrier.open() as transport, transport.subscribe(DEMO) as subscription:
        connection = await aio_pika.connect(carrier.url)
        async with connection, connection.channel() as channel:
            await channel.queue_delete(f"{carrier.prefix}cmd.demo")
        await surely(transport.publish, a_message())
        await (await take(subscription, 60)).ack()


async def test_a_consumer_that_is_silently_gone_is_noticed(
    carrier: RabbitCarrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_inbox, "WATCH_SECONDS", 0.2)
    async with carrier.open() as transport, transport.subscribe(DEMO) as subscription:
        consuming: Any = subscription
        queue, tag = consuming._consuming
        await queue.cancel(tag)
        await transport.publish(a_message())
        await (await take(subscription, 60)).ack()


async def test_deleted_delay_queues_are_declared_again(carrier: RabbitCarrier) -> None:
    async with carrier.open() as transport, transport.subscribe(DEMO) as subscription:
        await transport.publish(a_message())
        for _ in range(2):
            delivery = await take(subscription, 60)
            await delivery.retry(decode(delivery.raw), 0.2)
        delivery = await take(subscription, 60)
        connection = await aio_pika.connect(carrier.url)
        async with connection, connection.channel() as channel:
            await channel.queue_delete(f"{carrier.prefix}delay.demo.200")
        with pytest.raises(Unavailable):
            await delivery.retry(decode(delivery.raw), 0.2)
        await delivery.retry(decode(delivery.raw), 0.2)
        await (await take(subscription, 60)).ack()


async def test_a_delay_longer_than_the_longest_step_is_kept(
    carrier: RabbitCarrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.bus.rabbitmq_topology.DELAYS", (200,))
    monkeypatch.setattr(rabbitmq_inbox, "DELAYS", (200,))
    async with carrier.open() as transport, transport.subscribe(DEMO) as subscription:
        await transport.publish(a_message())
        delivery = await take(subscription, 60)
        start = time.monotonic()
        await delivery.retry(decode(delivery.raw), 0.7)
        await (await take(subscription, 60)).ack()
        assert time.monotonic() - start >= 0.69


async def test_a_message_that_kills_its_consumer_is_parked_by_the_broker(
    carrier: RabbitCarrier,
) -> None:
    async with carrier.open() as transport:
        async with transport.subscribe(DEMO):
            await transport.publish(a_message())
        async with asyncio.timeout(90):
            while not (letters := await transport.buried("demo")):
                async with transport.subscribe(DEMO) as subscription:
                    with suppress(TimeoutError):
                        await take(subscription, 2)
        assert [letter.reason for letter in letters] == ["delivery_limit"]


async def test_dead_letters_may_be_looked_at_often(carrier: RabbitCarrier) -> None:
    async with carrier.open() as transport, transport.subscribe(DEMO) as subscription:
        await transport.publish(a_message())
        await (await take(subscription, 60)).bury("x")
        for _ in range(30):
            assert len(await transport.buried("demo")) == 1


async def test_connections_are_named_and_closed(carrier: RabbitCarrier) -> None:
    async with connect(carrier.url, name="gateway-1") as transport:
        await surely(transport.ping)
    with pytest.raises(Disconnected):
        await transport.ping()


async def test_every_attempt_has_a_message_id_of_its_own(carrier: RabbitCarrier) -> None:
    """Two publishes under one AMQP id would swap their returns."""
    envelope = a_message(kind="demo.unknown.v1")
    async with carrier.open() as transport, transport.subscribe(DEMO) as subscription:
        good = a_message(id=envelope.id)
        results = await asyncio.gather(
            *(transport.publish(each) for each in (envelope, good) * 20), return_exceptions=True
        )
        assert [isinstance(each, Unavailable) for each in results] == [True, False] * 20
        for _ in range(20):
            await (await take(subscription, 60)).ack()
