from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import msgspec
import pytest

from shared.bus.consumer import Consumer
from shared.bus.envelope import Envelope, decode
from shared.bus.memory import MemoryTransport
from shared.bus.outcomes import RetryPolicy
from shared.bus.publisher import Bus
from shared.bus.router import Context, Router
from shared.bus.transport import Disconnected, Queue
from shared.contracts.base import Command, Query
from shared.errors import Conflict, Invalid, Later, NotFound, TooMany, Unavailable
from shared.ids import new_id
from shared.tenancy import TenantId

ALICE = TenantId("alice")
Handle = Callable[["Paint", Context], Any]


class Paint(Command, frozen=True, kw_only=True, tag="demo.paint.v1"):
    colour: str = "red"


class Colour(msgspec.Struct, frozen=True):
    name: str


class Ask(Query[Colour], frozen=True, kw_only=True, tag="demo.ask.v1"):
    how: str = ""


class World:
    """A consumer with one handler on a memory bus, and what became of each delivery."""

    def __init__(self, handle: Handle, **options: Any) -> None:
        self.transport = MemoryTransport()
        self.settled: list[tuple[str, str]] = []
        self.seen: list[Context] = []
        self._handle = handle
        options.setdefault("policy", RetryPolicy(chance=lambda: 1.0))
        router = Router("demo").on(Paint, self._paint).answer(Ask, self._ask)
        self.consumer = Consumer(
            self.transport, router, settled=lambda *each: self.settled.append(each), **options
        )
        self.bus = Bus(self.transport, "test")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        async with self.consumer.running(), self.bus:
            yield self

    async def send(self, **fields: Any) -> None:
        await self.transport.publish(a_message(**fields))

    async def _paint(self, message: Paint, context: Context) -> None:
        self.seen.append(context)
        await self._handle(message, context)

    async def _ask(self, message: Ask, context: Context) -> Any:
        return await self._handle(message, context)  # type: ignore[arg-type] # both in one


def a_message(**fields: Any) -> Envelope:
    return Envelope(
        **{
            "id": new_id(),
            "kind": "demo.paint.v1",
            "sort": "command",
            "tenant": "alice",
            "correlation": "c",
            "sent_at": 0,
            "body": msgspec.Raw(b'{"kind":"demo.paint.v1"}'),
            **fields,
        }
    )


def raising(*errors: Exception | None) -> Handle:
    """A handler that raises these one after the other, and the last for ever."""
    left = list(errors)

    async def handle(message: Paint, context: Context) -> None:
        error = left.pop(0) if len(left) > 1 else left[0]
        if error is not None:
            raise error

    return handle


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_handler_knows_message_and_context() -> None:
    async with World(raising(None)).running() as world:
        await world.send(id="m", causation="why", attempt=2)
        await world.send(tenant="")
    expected = Context(
        tenant=ALICE, message_id="m", correlation="c", causation="why", attempt=2, redelivered=False
    )
    assert world.seen[0] == expected
    assert world.seen[1].tenant == ""
    assert world.settled == [("demo.paint.v1", "done")] * 2


async def test_failures_are_retried_with_longer_rests_and_then_buried() -> None:
    async with World(raising(RuntimeError("always"))).running() as world:
        start = now()
        await world.send()
        assert now() - start == pytest.approx(1 + 2 + 4 + 8)
        letters = await world.transport.buried("demo")
    assert [each.attempt for each in world.seen] == [1, 2, 3, 4, 5]
    assert [each.reason for each in letters] == [
        "failed 5 times, at last with RuntimeError: always"
    ]
    assert [outcome for _, outcome in world.settled] == ["again"] * 4 + ["bury"]


async def test_a_failure_that_passes_leaves_nothing_behind() -> None:
    async with World(raising(RuntimeError(), Unavailable(), None)).running() as world:
        await world.send()
        assert await world.transport.buried("demo") == []
    assert [each.attempt for each in world.seen] == [1, 2, 3]


async def test_later_is_not_an_attempt() -> None:
    async with World(raising(*[Later(3600.0)] * 10, None)).running() as world:
        world.transport._timeout = 1e6
        await world.send()
        assert now() == pytest.approx(36_000)
    assert [each.attempt for each in world.seen] == [1] * 11


async def test_the_rejected_are_buried_with_code_and_detail() -> None:
    async with World(raising(Conflict("taken", code="name_taken"))).running() as world:
        await world.send()
        letters = await world.transport.buried("demo")
    assert [each.reason for each in letters] == ["name_taken: taken"]
    assert len(world.seen) == 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"body": msgspec.Raw(b'{"colour":1}')}, "undecodable: no demo.paint.v1"),
        ({"body": msgspec.Raw(b'{"kind":"demo.other.v1"}')}, "undecodable: no demo.paint.v1"),
        ({"tenant": "Not A Tenant"}, "invalid: 'Not A Tenant' is no tenant name"),
    ],
)
async def test_what_is_not_understood_is_buried(fields: dict[str, Any], reason: str) -> None:
    async with World(raising(None)).running() as world:
        await world.send(**fields)
        letters = await world.transport.buried("demo")
    assert letters[0].reason.startswith(reason)
    assert world.seen == []


async def test_no_more_than_prefetch_run_at_a_time() -> None:
    busy = most = 0

    async def handle(message: Paint, context: Context) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(1)
        busy -= 1

    async with World(handle, prefetch=4).running() as world:
        await asyncio.gather(*(world.send() for _ in range(20)))
        assert now() == pytest.approx(5)
    assert most == 4


async def test_leaving_waits_for_handlers_within_the_grace() -> None:
    async def handle(message: Paint, context: Context) -> None:
        await asyncio.sleep(10)

    async with World(handle, grace=20).running() as world:
        sent = asyncio.create_task(world.send())
        await asyncio.sleep(1)
    assert now() == pytest.approx(10)
    await sent
    assert world.settled == [("demo.paint.v1", "done")]


async def test_leaving_cancels_after_the_grace_and_gives_back() -> None:
    async def handle(message: Paint, context: Context) -> None:
        await asyncio.sleep(1000)

    async with World(handle, grace=20).running() as world:
        sent = asyncio.create_task(world.send())
        await asyncio.sleep(1)
    assert now() == pytest.approx(21)
    assert world.settled == [("demo.paint.v1", "giveback")]
    async with world.transport.subscribe(Queue(name="demo")) as subscription:
        delivery = await anext(subscription)
        assert delivery.redelivered
        assert decode(delivery.raw).attempt == 1
        await delivery.ack()
    await sent


async def test_what_is_waiting_is_left_to_others_when_leaving() -> None:
    async def handle(message: Paint, context: Context) -> None:
        await asyncio.sleep(10)

    async with World(handle, prefetch=1).running() as world:
        sent = [asyncio.create_task(world.send()) for _ in range(3)]
        await asyncio.sleep(1)
    assert len(world.seen) == 1
    for task in sent:
        task.cancel()
    await asyncio.wait(sent)


async def test_a_cancellation_from_inside_is_a_failure() -> None:
    async def handle(message: Paint, context: Context) -> None:
        task = asyncio.create_task(asyncio.sleep(100))
        task.cancel()
        await task

    async with World(handle).running() as world:
        await world.send()
        letters = await world.transport.buried("demo")
    assert "cancelled by something it awaited" in letters[0].reason


async def test_the_hook_is_around_every_call_and_sees_errors() -> None:
    noted: list[str] = []

    @contextmanager
    def around(envelope: Envelope) -> Iterator[None]:
        noted.append(f"in {envelope.id}")
        try:
            yield
        except RuntimeError as error:
            noted.append(f"error {error}")
            raise

    async with World(raising(RuntimeError("x"), None), around=around).running() as world:
        await world.send(id="m")
    assert noted == ["in m", "error x", "in m"]


async def test_the_brake_pauses_when_everything_is_buried() -> None:
    async with World(raising(None)).running() as world:
        assert world.consumer.healthy
        for _ in range(60):
            await world.transport.deliver_raw("demo", b"junk")
        await asyncio.sleep(1)
        assert not world.consumer.healthy
        assert len(await world.transport.buried("demo")) < 20 + 16
        await asyncio.sleep(100)
        assert world.consumer.healthy
        assert len(await world.transport.buried("demo")) == 60
    assert not world.consumer.healthy


async def test_refusing_requests_is_no_reason_to_pause() -> None:
    async with World(raising(NotFound())).running() as world:
        await asyncio.gather(*(world.send() for _ in range(50)))
        assert world.consumer.healthy
        assert now() < 1


async def test_settling_waits_for_a_carrier_that_is_away() -> None:
    async with World(raising(Conflict("no"))).running() as world:
        queue = world.transport._durable["demo"]
        letters = queue.dead

        class Away:
            """Refuses two burials."""

            left = 2

            def append(self, letter: Any) -> None:
                if self.left:
                    self.left -= 1
                    raise Disconnected("away")
                letters.append(letter)

        queue.dead = Away()  # type: ignore[assignment] # as much of a deque as is used
        publishing = asyncio.create_task(world.send())
        await asyncio.sleep(5)
        queue.dead = letters
        assert world.consumer.healthy
        publishing.cancel()
        await asyncio.wait([publishing])
    assert [outcome for _, outcome in world.settled] == ["bury"]


async def test_an_unexpected_error_of_a_query_keeps_its_details_here() -> None:
    async with World(raising(RuntimeError("secret"))).running() as world:
        with pytest.raises(Exception, match="went wrong") as caught:
            await world.bus.ask(Ask(), tenant=ALICE)
    assert "secret" not in str(caught.value)
    assert getattr(caught.value, "code", "") == "internal"


@pytest.mark.parametrize(
    "error",
    [
        NotFound("gone", code="video_not_found", hint="h"),
        TooMany(7.0, "slow down"),
        Later(3.0, "busy"),
        Invalid("bad", errors=(("page", "too small"),)),
        Disconnected("away"),
    ],
)
async def test_errors_of_the_tree_are_raised_at_the_asker(error: Exception) -> None:
    async with World(raising(error)).running() as world:
        with pytest.raises(type(error)) as caught:
            await world.bus.ask(Ask(), tenant=ALICE)
    assert type(caught.value) is type(error)
    assert vars(caught.value) == vars(error)
    assert world.settled == [("demo.ask.v1", "done")]


async def test_a_query_is_given_up_at_its_deadline() -> None:
    ended: list[float] = []

    async def handle(message: Paint, context: Context) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            ended.append(now())

    world = World(handle, clock=lambda: int(now() * 1000))
    world.bus.clock = world.consumer.clock
    async with world.running():
        with pytest.raises(Unavailable, match="not answered in 5 s"):
            await world.bus.ask(Ask(), tenant=ALICE)
        await asyncio.sleep(1)
    assert ended == [pytest.approx(5, abs=0.01)]


async def test_an_answer_over_the_limit_is_an_error() -> None:
    async def handle(message: Paint, context: Context) -> Any:
        return Colour("x" * 70_000)

    async with World(handle).running() as world:
        with pytest.raises(Exception, match="the answer is too large"):
            await world.bus.ask(Ask(), tenant=ALICE)


async def test_an_answer_of_the_wrong_shape_is_an_error() -> None:
    async def handle(message: Paint, context: Context) -> Any:
        return {"nome": "red"}

    async with World(handle).running() as world:
        with pytest.raises(Unavailable, match="not understood"):
            await world.bus.ask(Ask(), tenant=ALICE)
