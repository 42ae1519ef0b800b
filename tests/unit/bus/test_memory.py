"""What only the memory bus does; the rest is in tests/contract/test_transport.py."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared.bus import memory_queues
from shared.bus.connect import connect
from shared.bus.envelope import Envelope, decode
from shared.bus.memory import MemoryTransport
from shared.bus.publisher import Bus
from shared.bus.transport import Disconnected, PublishTimeout, Queue
from shared.contracts.base import Command
from shared.ids import new_id
from shared.tenancy import TenantId

DEMO = Queue(name="demo", kinds=("demo.paint.v1",))


class Paint(Command, frozen=True, kw_only=True, tag="demo.paint.v1"):
    pass


def a_message(**fields: Any) -> Envelope:
    return Envelope(
        **{
            "id": new_id(),
            "kind": "demo.paint.v1",
            "sort": "command",
            "tenant": "alice",
            "correlation": "c",
            "sent_at": 0,
            "body": b"{}",
            **fields,
        }
    )


async def test_a_publisher_waits_until_it_is_settled() -> None:
    transport = MemoryTransport()
    async with transport.subscribe(DEMO) as subscription:
        published = asyncio.create_task(transport.publish(a_message()))
        delivery = await anext(subscription)
        await asyncio.sleep(100)
        assert not published.done()
        await delivery.retry(decode(delivery.raw), 300)
        delivery = await anext(subscription)
        assert not published.done()
        await delivery.ack()
        await published


async def test_a_burial_settles_too() -> None:
    transport = MemoryTransport()
    async with transport.subscribe(DEMO) as subscription:
        published = asyncio.create_task(transport.publish(a_message()))
        await (await anext(subscription)).bury("no")
        await published


async def test_every_durable_queue_must_settle_an_event() -> None:
    transport = MemoryTransport()
    other = Queue(name="other", kinds=DEMO.kinds)
    async with transport.subscribe(DEMO) as first, transport.subscribe(other) as second:
        published = asyncio.create_task(transport.publish(a_message(sort="event")))
        await (await anext(first)).ack()
        await asyncio.sleep(1)
        assert not published.done()
        await (await anext(second)).ack()
        await published


@pytest.mark.parametrize("delayed", [False, True])
async def test_what_times_out_is_withdrawn_unless_it_is_in_hand(*, delayed: bool) -> None:
    transport = MemoryTransport(publish_timeout=10)
    async with transport.subscribe(DEMO) as subscription:
        if delayed:
            published = asyncio.create_task(transport.publish(a_message()))
            delivery = await anext(subscription)
            await delivery.retry(decode(delivery.raw), 60)
            with pytest.raises(PublishTimeout):
                await published
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(subscription), 100)
    with pytest.raises(PublishTimeout):
        await transport.publish(a_message())
    async with transport.subscribe(DEMO) as subscription:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(subscription), 1)


async def test_what_is_in_hand_goes_on_when_its_publisher_gives_up() -> None:
    transport = MemoryTransport()
    async with transport.subscribe(DEMO) as subscription:
        published = asyncio.create_task(transport.publish(a_message()))
        delivery = await anext(subscription)
        published.cancel()
        await asyncio.wait([published])
        await delivery.requeue()
        await (await anext(subscription)).ack()


async def test_a_cancelled_publisher_takes_its_message_back() -> None:
    transport = MemoryTransport()
    async with transport.subscribe(DEMO):
        pass
    published = asyncio.create_task(transport.publish(a_message()))
    await asyncio.sleep(1)
    published.cancel()
    await asyncio.wait([published])
    async with transport.subscribe(DEMO) as subscription:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(subscription), 1)


async def test_closing_releases_publishers() -> None:
    transport = MemoryTransport()
    async with transport.subscribe(DEMO) as subscription:
        held = asyncio.create_task(transport.publish(a_message()))
        await anext(subscription)
        delayed = asyncio.create_task(transport.publish(a_message()))
        delivery = await anext(subscription)
        await delivery.retry(decode(delivery.raw), 60)
        await transport.close()
        for task in (held, delayed):
            with pytest.raises(Disconnected):
                await task
    with pytest.raises(Disconnected):
        await transport.publish(a_message())


async def test_dead_letters_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_queues, "DEAD_LETTERS", 3)
    transport = MemoryTransport()
    async with transport.subscribe(DEMO) as subscription:
        for number in range(memory_queues.DEAD_LETTERS + 2):
            await transport.deliver_raw("demo", str(number).encode())
            await (await anext(subscription)).bury("junk")
    assert [each.raw for each in await transport.buried("demo")] == [b"2", b"3", b"4"]


async def test_tickets_of_a_ring_expire_and_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.bus.memory.RING_LENGTH", 3)
    transport = MemoryTransport()
    ring = Queue(name="media", style="ring")
    async with transport.subscribe(ring):
        pass
    await transport.publish(a_message(sort="ring", to="media"))
    await asyncio.sleep(61)
    for number in range(5):
        await transport.publish(a_message(sort="ring", to="media", id=str(number)))
    async with transport.subscribe(ring) as subscription:
        heard = [decode((await anext(subscription)).raw).id for _ in range(3)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(subscription), 1)
    assert heard == ["2", "3", "4"]


async def test_a_slow_fanout_loses_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.bus.memory.FANOUT_LENGTH", 3)
    transport = MemoryTransport()
    async with transport.subscribe(Queue(name="g", kinds=DEMO.kinds, style="fanout")) as ears:
        for number in range(5):
            await transport.publish(a_message(sort="event", id=str(number)))
        assert [decode((await anext(ears)).raw).id for _ in range(3)] == ["2", "3", "4"]


async def test_one_url_is_one_bus_while_anybody_holds_it() -> None:
    async with connect("memory:", name="a") as first:
        async with connect("memory:", name="b") as second, connect("memory:x", name="c") as other:
            assert first is second
            assert first is not other
        await first.ping()
    async with connect("memory:", name="a") as again:
        assert again is not first
    with pytest.raises(Disconnected):
        await first.ping()


@pytest.mark.parametrize("url", ["http://x", "memory", "amqp:x", "", "redis://localhost"])
def test_a_wrong_scheme_is_one_clear_line(url: str) -> None:
    with pytest.raises(ValueError, match="must start with memory: or amqp://") as caught:
        connect(url, name="x")
    assert "\n" not in str(caught.value)


async def test_sending_gives_up_in_time_and_says_so() -> None:
    transport = MemoryTransport()
    async with transport.subscribe(DEMO), Bus(transport, "gateway") as bus:
        start = asyncio.get_running_loop().time()
        with pytest.raises(PublishTimeout, match="not taken in 15 s"):
            await bus.send(Paint(), tenant=TenantId("alice"))
        assert asyncio.get_running_loop().time() - start == pytest.approx(15)


async def test_sending_stamps_the_envelope() -> None:
    transport = MemoryTransport()
    async with transport.subscribe(DEMO) as subscription:
        bus = Bus(transport, "gateway", trace=lambda: {"traceparent": "t"}, clock=lambda: 7)
        async with bus:
            sending = asyncio.create_task(
                bus.send(Paint(), tenant=TenantId("alice"), correlation="c", id="m")
            )
            delivery = await anext(subscription)
            await delivery.ack()
            assert await sending == "m"
    sent = decode(delivery.raw)
    assert (sent.id, sent.tenant, sent.correlation, sent.sent_at) == ("m", "alice", "c", 7)
    assert (sent.sort, sent.source, sent.trace) == ("command", "gateway", {"traceparent": "t"})
