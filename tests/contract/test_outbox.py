"""The relay with a real Redis: nothing is lost, the order per key holds, bad entries step aside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from shared.bus.envelope import Envelope, encode
from shared.bus.memory import MemoryTransport
from shared.bus.outbox import Relay
from shared.bus.transport import Disconnected, Unroutable
from shared.store.outbox import RedisOutbox
from shared.store.redis import Store, open_redis
from tests.support import servers
from tests.support.bus import until


class Recorder(MemoryTransport):
    """Notes what is published; a gate holds publishers, faults are raised first."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[Envelope] = []
        self.faults: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.busy = 0
        self.busiest = 0

    async def publish(self, envelope: Envelope) -> None:
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            await self.gate.wait()
            encode(envelope)
            if self.faults:
                raise self.faults.pop(0)
            self.published.append(envelope)
        finally:
            self.busy -= 1

    @property
    def ids(self) -> list[str]:
        return [envelope.id for envelope in self.published]


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with open_redis(servers.redis_url()) as opened:
        yield opened


@pytest.fixture
async def service(store: Store) -> AsyncIterator[str]:
    name = f"test-{uuid4().hex}"
    yield name
    stream = f"rw:outbox:{name}"
    await store.commands.delete(stream, f"{stream}:relay", f"{stream}:bad")


async def say(store: Store, service: str, *, id: str, **fields: str) -> None:  # noqa: A002
    entry: dict[Any, Any] = {
        "kind": "demo.paint.v1",
        "sort": "event",
        "tenant": "alice",
        "body": "{}",
        **fields,
    }
    await store.commands.xadd(f"rw:outbox:{service}", {"id": id, **entry})


@asynccontextmanager
async def relaying(relay: Relay) -> AsyncIterator[None]:
    task = asyncio.create_task(relay.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()


async def until_empty(outbox: RedisOutbox, seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while await outbox.length():  # noqa: ASYNC110 - it is in another process
            await asyncio.sleep(0.01)


async def test_what_was_said_is_published_and_removed(store: Store, service: str) -> None:
    transport, outbox = Recorder(), RedisOutbox(store, service)
    await say(
        store,
        service,
        id="a",
        sort="ring",
        to="media",
        correlation="c",
        causation="m",
        trace='{"traceparent":"00-1-2-03"}',
        body='{"kind":"demo.paint.v1"}',
    )
    async with relaying(Relay(transport, outbox, service)):
        await until_empty(outbox)
        await say(store, service, id="b")
        await until_empty(outbox)
    first, second = transport.published
    assert (first.id, first.sort, first.to, first.tenant) == ("a", "ring", "media", "alice")
    assert (first.correlation, first.causation, first.source) == ("c", "m", service)
    assert first.trace == {"traceparent": "00-1-2-03"}
    assert bytes(first.body) == b'{"kind":"demo.paint.v1"}'
    assert first.sent_at > 1_700_000_000_000
    assert (second.id, second.correlation, second.trace) == ("b", "b", {})


async def test_one_key_is_published_in_order_and_others_meanwhile(
    store: Store, service: str
) -> None:
    transport, outbox = Recorder(), RedisOutbox(store, service)
    transport.faults = [Unroutable("not yet"), Disconnected("gone")]
    for number in range(5):
        await say(store, service, id=f"k{number}", key="k")
    for number in range(5):
        await say(store, service, id=f"other{number}", key=f"x{number}")
    async with relaying(Relay(transport, outbox, service)):
        await until_empty(outbox)
    assert [one for one in transport.ids if one.startswith("k")] == [f"k{i}" for i in range(5)]
    assert len(transport.ids) == 10


async def test_a_key_that_waits_does_not_hold_the_others(store: Store, service: str) -> None:
    transport, outbox = Recorder(), RedisOutbox(store, service)
    transport.faults = [Unroutable("no such service")]
    await say(store, service, id="held", key="a")
    await say(store, service, id="free", key="b")
    async with relaying(Relay(transport, outbox, service)):
        await until_empty(outbox)
    assert transport.ids == ["free", "held"]


async def test_bad_entries_step_aside(store: Store, service: str) -> None:
    transport, outbox = Recorder(), RedisOutbox(store, service)
    for bad in (
        {"sort": "query"},
        {"body": "{"},
        {"body": "[]"},
        {"tenant": "No Tenant"},
        {"trace": "[1]"},
        {"sort": "ring"},
        {"body": '"' + "x" * 70_000 + '"'},
        {"body": '{"x":"' + "x" * 70_000 + '"}'},
    ):
        await say(store, service, id="bad", key="k", **bad)
    await store.commands.xadd(f"rw:outbox:{service}", {b"\xff": b"\xfe"})
    await say(store, service, id="good", key="k")
    async with relaying(Relay(transport, outbox, service)):
        await until_empty(outbox)
    bad_ones = await outbox.bad()
    assert len(bad_ones) == 9
    assert all(entry.fields["reason"] for entry in bad_ones)
    assert transport.ids == ["good"]


async def test_two_relays_publish_everything_once_and_in_order(store: Store, service: str) -> None:
    transports = [Recorder(), Recorder()]
    outbox = RedisOutbox(store, service)
    async with (
        relaying(Relay(transports[0], outbox, service, lease=60.0)),
        relaying(Relay(transports[1], RedisOutbox(store, service), service, lease=60.0)),
    ):
        for number in range(50):
            await say(store, service, id=f"{number:02}", key="k")
        await until_empty(outbox)
    assert sorted(map(len, (each.ids for each in transports))) == [0, 50]
    assert (transports[0].ids or transports[1].ids) == [f"{number:02}" for number in range(50)]


async def test_another_relay_finishes_what_a_dead_one_had_begun(
    store: Store, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, alive = Recorder(), Recorder()
    stuck.gate.clear()
    dying, outbox = RedisOutbox(store, service), RedisOutbox(store, service)
    await say(store, service, id="a", key="k")
    await say(store, service, id="b", key="k")
    dead = asyncio.create_task(Relay(stuck, dying, service, lease=1.0).run())
    async with asyncio.timeout(30):
        while not stuck.busy:  # noqa: ASYNC110 - it is in another process
            await asyncio.sleep(0.01)
    monkeypatch.setattr(dying, "release", _nothing)  # the dead give nothing back
    dead.cancel()
    await asyncio.wait([dead])
    async with relaying(Relay(alive, outbox, service)):
        await until_empty(outbox)
    assert alive.ids == ["a", "b"]


async def test_a_relay_that_leaves_hands_over_at_once(store: Store, service: str) -> None:
    first, second = RedisOutbox(store, service), RedisOutbox(store, service)
    async with relaying(Relay(Recorder(), first, service, lease=60.0)):
        await until(lambda: store.commands.exists(f"rw:outbox:{service}:relay"))
        assert not await second.hold(60.0)
    assert await second.hold(60.0)
    assert not await first.hold(60.0)


async def test_no_more_than_allowed_are_under_way_or_in_memory(store: Store, service: str) -> None:
    transport, outbox = Recorder(), RedisOutbox(store, service)
    for number in range(60):
        await say(store, service, id=str(number), key=str(number))
    transport.gate.clear()
    relay = Relay(transport, outbox, service, in_flight=5, window=20)
    async with relaying(relay):
        async with asyncio.timeout(30):
            while transport.busy < 5:  # noqa: ASYNC110 - it is in another process
                await asyncio.sleep(0.01)
        transport.gate.set()
        await until_empty(outbox)
    assert transport.busiest == 5
    assert sorted(transport.ids, key=int) == [str(number) for number in range(60)]


async def test_an_entry_does_not_wait_for_the_removal_of_the_one_before(
    store: Store, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, outbox, lots = Recorder(), RedisOutbox(store, service), list[int]()
    may_remove, done = asyncio.Event(), outbox.done

    async def slow(positions: Sequence[str]) -> None:
        lots.append(len(positions))
        await may_remove.wait()
        await done(positions)

    monkeypatch.setattr(outbox, "done", slow)
    for number in range(50):
        await say(store, service, id=f"{number:02}", key="k")
    async with relaying(Relay(transport, outbox, service)):
        async with asyncio.timeout(30):
            while len(transport.ids) < 50:  # noqa: ASYNC110 - it is another task
                await asyncio.sleep(0.01)
        assert await outbox.length() == 50
        may_remove.set()
        await until_empty(outbox)
    assert transport.ids == [f"{number:02}" for number in range(50)]
    assert sum(lots) == 50
    assert len(lots) <= 3


async def test_what_cannot_be_removed_is_not_published_again_by_the_same_relay(
    store: Store, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, outbox = Recorder(), RedisOutbox(store, service)
    failures, done = [Disconnected("away"), Disconnected("away")], outbox.done

    async def flaky(positions: Sequence[str]) -> None:
        if failures:
            raise failures.pop()
        await done(positions)

    monkeypatch.setattr(outbox, "done", flaky)
    for number in range(5):
        await say(store, service, id=str(number), key="k")
    async with relaying(Relay(transport, outbox, service)):
        await until_empty(outbox)
    assert transport.ids == [str(number) for number in range(5)]
    assert not failures


async def test_what_is_published_but_not_removed_counts_as_in_memory(
    store: Store, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, outbox = Recorder(), RedisOutbox(store, service)
    may_remove, done = asyncio.Event(), outbox.done

    async def slow(positions: Sequence[str]) -> None:
        await may_remove.wait()
        await done(positions)

    monkeypatch.setattr(outbox, "done", slow)
    monkeypatch.setattr("shared.bus.outbox.BATCH", 5)
    for number in range(60):
        await say(store, service, id=str(number), key="k")
    async with relaying(Relay(transport, outbox, service, window=20)):
        async with asyncio.timeout(30):
            while len(transport.ids) < 20:  # noqa: ASYNC110 - it is another task
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert len(transport.ids) == 20
        may_remove.set()
        await until_empty(outbox)
    assert len(transport.ids) == 60


async def test_a_relay_that_leaves_removes_what_it_has_published(
    store: Store, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, outbox = Recorder(), RedisOutbox(store, service)
    lots, done = list[int](), outbox.done

    async def stuck_at_first(positions: Sequence[str]) -> None:
        lots.append(len(positions))
        if len(lots) == 1:
            await asyncio.sleep(3600)
        await done(positions)

    monkeypatch.setattr(outbox, "done", stuck_at_first)
    await say(store, service, id="first", key="k")
    async with relaying(Relay(transport, outbox, service)):
        async with asyncio.timeout(30):
            while "first" not in transport.ids:  # noqa: ASYNC110 - it is another task
                await asyncio.sleep(0.01)
        await say(store, service, id="second", key="k")
        async with asyncio.timeout(30):
            while "second" not in transport.ids:  # noqa: ASYNC110 - it is another task
                await asyncio.sleep(0.01)
    assert lots == [1, 1]
    assert await outbox.length() == 1


async def test_an_outage_of_the_store_is_waited_out(
    store: Store, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, outbox = Recorder(), RedisOutbox(store, service)
    failures = [Disconnected("away"), Disconnected("away")]
    read = outbox.read

    async def flaky(*given: Any) -> Any:
        if failures:
            raise failures.pop()
        return await read(*given)

    monkeypatch.setattr(outbox, "read", flaky)
    monkeypatch.setattr("shared.bus.outbox.WAIT_SECONDS", 0.05)
    await say(store, service, id="a")
    async with relaying(Relay(transport, outbox, service)):
        await until_empty(outbox)
    assert transport.ids == ["a"]
    assert not failures


async def _nothing() -> None:
    """In place of a method."""


async def test_entries_that_merge_go_out_together_in_order(store: Store, service: str) -> None:
    transport, outbox = Recorder(), RedisOutbox(store, service)
    for number in range(50):
        await say(store, service, id=f"m{number}", merge="colours", body=f'{{"n":{number}}}')
    await say(store, service, id="alone")
    told: list[Envelope] = []

    async def tell(envelope: Envelope) -> None:
        told.append(envelope)

    async with relaying(Relay(transport, outbox, service, relayed=tell)):
        await until_empty(outbox)
    merged = [each for each in transport.published if each.id != "alone"]
    assert len(merged) < 10
    bodies = [msgspec.json.decode(each.body) for each in merged]
    assert {body["kind"] for body in bodies} == {"demo.paint.v1"}
    assert [each["n"] for body in bodies for each in body["colours"]] == list(range(50))
    assert sorted(each.id for each in told) == sorted(transport.ids)


async def test_of_what_merges_as_much_goes_out_together_as_an_envelope_takes(
    store: Store, service: str
) -> None:
    transport, outbox = Recorder(), RedisOutbox(store, service)
    for number in range(30):
        await say(store, service, id=f"m{number}", merge="all", body=f'{{"x":"{"x" * 3000}"}}')
    async with relaying(Relay(transport, outbox, service)):
        await until_empty(outbox)
    assert 3 <= len(transport.published) < 10
    assert not await outbox.bad()


async def test_one_that_is_bad_steps_aside_and_those_it_would_merge_with_go(
    store: Store, service: str
) -> None:
    transport, outbox = Recorder(), RedisOutbox(store, service)
    for number, body in enumerate(['{"n":0}', "no json", '{"n":2}']):
        await say(store, service, id=f"m{number}", merge="all", body=body)
    async with relaying(Relay(transport, outbox, service)):
        await until_empty(outbox)
    bodies = [msgspec.json.decode(each.body) for each in transport.published]
    assert [each["n"] for body in bodies for each in body["all"]] == [0, 2]
    assert [entry.fields["id"] for entry in await outbox.bad()] == ["m1"]
