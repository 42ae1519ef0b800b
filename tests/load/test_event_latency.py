"""How long an event takes from the ledger's script to the clients of three gateways: through the
outbox, the relay, RabbitMQ, a gateway and HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

import msgspec
import psutil
import pytest

from shared.bus.connect import connect
from shared.bus.envelope import decode
from shared.bus.transport import Queue
from shared.clock import now_ms
from shared.contracts.base import kind_of
from shared.contracts.jobs import JobsChanged
from shared.contracts.records import StepOutput, StepStatus
from shared.ids import new_id
from shared.store.redis import open_redis
from shared.tenancy import TenantId, tenant_id
from shared.work.ledger import Ledger, NewJob
from tests.support.client import SentEvent
from tests.support.servers import redis_database
from tests.support.stack import Stack, many_doors
from tests.support.stacks import private_names
from tests.support.subscribers import Subscriber, new_key, session_of

ADMIN_KEY = "an operator"
TENANTS = 5
RATE = 500
SECONDS = 20
WARM_UP = 5
LANES = 25
STEPS = 20
GOAL_MS = 250
POOL = "bench"


@dataclass(frozen=True)
class Bench:
    """A stack, and how old events were, in milliseconds, when they came to where they go."""

    stack: Stack
    amqp: str
    at_bus: list[int] = field(default_factory=list)
    at_client: list[int] = field(default_factory=list)

    def forget(self) -> None:
        """Begin to measure."""
        self.at_bus.clear()
        self.at_client.clear()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    settings = {"REELWAY_GATEWAY_ADMIN_KEY": ADMIN_KEY}
    amqp = private_names()
    with redis_database() as store, many_doors(tmp_path, amqp, store, settings=settings) as stack:
        yield Bench(stack, amqp)


@dataclass(eq=False)
class Stopwatch(Subscriber):
    """A client that only looks how old the states are that it is sent."""

    ages: list[int] = field(default_factory=list)

    def _take(self, block: bytes) -> None:
        if b"\nevent: state" in block or b"\nevent: end" in block:
            data = msgspec.json.decode(block.partition(b"\ndata: ")[2])
            self.ages.append(now_ms() - data["at"])


@pytest.mark.timeout(180)
async def test_events_are_with_their_readers_within_a_quarter_of_a_second(bench: Bench) -> None:
    tenants = [tenant_id(f"t{number}") for number in range(TENANTS)]
    async with AsyncExitStack() as opened:
        store = await opened.enter_async_context(open_redis(bench.stack.store_url))
        ledger = Ledger(store, lease_ms=300_000)
        reading = await _readers(bench, tenants, opened)
        await asyncio.sleep(1)
        await _work(ledger, tenants, WARM_UP)
        await asyncio.sleep(1)
        bench.forget()
        used, began = _used(bench.stack), time.monotonic()
        sent = await _work(ledger, tenants, SECONDS)
        seconds = time.monotonic() - began
        spent = {name: _used(bench.stack)[name] - used[name] for name in used}
        await asyncio.sleep(2)
        for task in reading:
            task.cancel()
        await asyncio.wait(reading)
    _report(bench, sent, seconds, spent)
    assert len(bench.at_client) == sent * len(bench.stack.urls)
    assert _percentile(bench.at_client, 99) < GOAL_MS


async def _readers(
    bench: Bench, tenants: Sequence[TenantId], opened: AsyncExitStack
) -> list[asyncio.Task[None]]:
    """For each tenant one client on each gateway; and one on the bus itself."""
    readers = []
    for tenant in tenants:
        key = await new_key(bench.stack.url, ADMIN_KEY, tenant)
        session = await opened.enter_async_context(session_of(key))
        for door in bench.stack.urls:
            reader = Stopwatch(session, [door], "/v1/events", _never, ages=bench.at_client)
            readers.append(asyncio.create_task(reader.follow()))
    return [*readers, asyncio.create_task(_listen(bench))]


async def _listen(bench: Bench) -> None:
    queue = Queue(name="bench", kinds=(kind_of(JobsChanged),), style="fanout", prefetch=256)
    async with connect(bench.amqp, name="bench") as bus, bus.subscribe(queue) as messages:
        async for message in messages:
            bench.at_bus.append(now_ms() - decode(message.raw).sent_at)


async def _work(ledger: Ledger, tenants: Sequence[TenantId], seconds: float) -> int:
    """Change jobs at the rate for so long; answers how many events that made."""
    end = asyncio.get_running_loop().time() + seconds
    lanes = [_lane(ledger, tenants[n % len(tenants)], n, end) for n in range(LANES)]
    return sum(await asyncio.gather(*lanes))


async def _lane(ledger: Ledger, tenant: TenantId, number: int, end: float) -> int:
    """Do one job after the other, each step in its turn; every change is one event."""
    loop, every = asyncio.get_running_loop(), LANES / RATE
    pool = f"{POOL}-{number}"
    due, made = loop.time() + every * number / LANES, 0
    while due < end:
        steps = tuple(StepStatus(name=f"s{n}", pool=pool) for n in range(STEPS))
        new = NewJob(
            id=new_id(), tenant=tenant, flow="bench", subject=new_id(), base=50, steps=steps
        )
        await ledger.submit(new)
        claim = await ledger.claim(pool, pool, new_id())
        assert claim is not None
        made += 2
        due += 2 * every
        for n, step in enumerate(steps, 1):
            await asyncio.sleep(due - loop.time())
            await ledger.advance(claim, step.name, StepOutput(), n / STEPS)
            made, due = made + 1, due + every
    return made


def _never(_: SentEvent) -> bool:
    """Whether a client has enough."""
    return False


def _used(stack: Stack) -> dict[str, float]:
    """Seconds of processor time that each process has used, servers of our own among them."""
    names = {member.pid: name for name, member in stack.members.items()}
    me = psutil.Process()
    used = {"this process": me.cpu_times()}
    for child in me.children(recursive=True):
        name = names.get(child.pid, child.name())
        used[name] = child.cpu_times()
    return {name: times.user + times.system for name, times in used.items()}


def _report(bench: Bench, sent: int, seconds: float, spent: dict[str, float]) -> None:
    print(f"\n{sent} events in {seconds:.1f} s, {sent / seconds:.0f} a second")
    for where, ages in (("the bus", bench.at_bus), ("clients", bench.at_client)):
        p50, p99 = _percentile(ages, 50), _percentile(ages, 99)
        print(f"  age at {where}: p50 {p50:.0f} ms, p99 {p99:.0f} ms, most {max(ages)} ms")
    shares = ", ".join(f"{name} {used / seconds:.0%}" for name, used in spent.items())
    print(f"  of one processor: {shares}")


def _percentile(ages: Sequence[int], percent: int) -> float:
    return quantiles(ages, n=100)[percent - 1]
