"""What a circuit breaker promises, on every server it may be kept by."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from shared.errors import Invalid, NotFound, Unavailable
from shared.store import breaker
from shared.store.breaker import BreakerLaw, BreakerOpen, Breakers, judged
from shared.store.redis import Store, StoreUnavailable, open_redis
from shared.tenancy import TenantId, breaker_key
from tests.integration.work.bench import ACME, OTHER, clean_store, programs
from tests.support.bus import soon
from tests.support.processes import Process, free_port, private_redis, redis_answers

LAW = BreakerLaw()
KEY = breaker_key("mail", ACME)
AWAY = Unavailable("no answer")
ANSWER_SECONDS = breaker._ANSWER_SECONDS


@pytest.fixture(scope="module", params=programs())
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with private_redis(programs()[request.param]) as url:
        yield url


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[Store]:
    async with clean_store(redis_url) as opened:
        yield opened


class Provider:
    """Fails or answers, and counts who got through to it."""

    def __init__(self, store: Store, law: BreakerLaw = LAW) -> None:
        self.store = store
        self.changes: list[str] = []
        self.breakers = Breakers(store, law, lambda _, state: self.changes.append(state))
        self.error: BaseException | None = AWAY
        self.calls = 0
        self.gate: asyncio.Event | None = None

    async def call(self, tenant: TenantId = ACME) -> None:
        async with self.breakers.around("mail", tenant):
            self.calls += 1
            if self.gate:
                await self.gate.wait()
            if self.error:
                raise self.error

    async def fail(self, times: int = LAW.failures, tenant: TenantId = ACME) -> None:
        for _ in range(times):
            with pytest.raises(Unavailable, match="no answer"):
                await self.call(tenant)

    async def refused(self, tenant: TenantId = ACME) -> float:
        """In how many seconds a call that must be refused may come again."""
        before = self.calls
        with pytest.raises(BreakerOpen) as caught:
            await self.call(tenant)
        assert self.calls == before
        return caught.value.retry_after

    async def rested(self) -> None:
        """Let the minute be over, without waiting."""
        await self.store.commands.hset(KEY, "open_until", "1")


@pytest.fixture
def provider(store: Store) -> Provider:
    return Provider(store)


async def test_five_failures_in_a_row_open_it_for_a_minute(provider: Provider) -> None:
    await provider.fail(4)
    assert provider.changes == []
    await provider.fail(1)
    assert 30 < await provider.refused() <= 60
    assert provider.changes == ["opened"]
    error = BreakerOpen(1.5)
    assert (error.code, error.status) == ("breaker_open", 503)


async def test_a_success_ends_the_row(provider: Provider, store: Store) -> None:
    await provider.fail(4)
    provider.error = None
    await provider.call()
    assert not await store.commands.exists(KEY)
    provider.error = AWAY
    await provider.fail(4)
    assert await store.commands.hget(KEY, "failures") == b"4"


async def test_a_row_is_forgotten_when_nothing_has_failed_for_long(store: Store) -> None:
    provider = Provider(store, BreakerLaw(window_seconds=0.05))
    await provider.fail(4)
    async with asyncio.timeout(60):
        while await store.commands.exists(KEY):  # noqa: ASYNC110 - it expires there
            await asyncio.sleep(0.01)
    await provider.fail(4)
    assert provider.changes == []


async def test_the_caller_may_know_better_what_a_failure_is(provider: Provider) -> None:
    for _ in range(LAW.failures):
        with pytest.raises(ValueError, match="theirs"):
            async with provider.breakers.around("mail", ACME, lambda _: "failed"):
                raise ValueError("theirs")
    await provider.refused()


@pytest.mark.parametrize("error", [NotFound(), Invalid("so not"), ValueError("ours"), KeyError()])
async def test_what_is_no_failure_of_the_provider_opens_nothing(
    provider: Provider, error: Exception
) -> None:
    provider.error = error
    for _ in range(2 * LAW.failures):
        with pytest.raises(type(error)):
            await provider.call()
    assert provider.calls == 2 * LAW.failures


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (Unavailable(), "failed"),
        (TimeoutError(), "failed"),
        (ConnectionResetError(), "failed"),
        (NotFound(), "answered"),
        (BreakerOpen(1), "unknown"),
        (StoreUnavailable(), "unknown"),
        (ValueError(), "unknown"),
        (asyncio.CancelledError(), "unknown"),
    ],
)
def test_an_exception_says_what_it_means_for_the_provider(
    error: BaseException, verdict: str
) -> None:
    assert judged(error) == verdict


async def test_a_rejection_ends_the_row_and_an_error_of_ours_does_not(provider: Provider) -> None:
    await provider.fail(4)
    provider.error = ValueError("ours")
    with pytest.raises(ValueError, match="ours"):
        await provider.call()
    provider.error = NotFound()
    with pytest.raises(NotFound):
        await provider.call()
    provider.error = AWAY
    await provider.fail(4)
    assert provider.changes == []


async def test_one_tenants_breaker_is_not_anothers_nor_another_providers(
    provider: Provider,
) -> None:
    await provider.fail()
    await provider.refused()
    provider.error = None
    await provider.call(OTHER)
    async with provider.breakers.around("maps", ACME):
        pass


async def test_of_fifty_callers_in_several_clients_exactly_one_probes(
    provider: Provider, redis_url: str
) -> None:
    await provider.fail()
    await provider.rested()
    provider.calls, provider.error, provider.gate = 0, None, asyncio.Event()
    async with open_redis(redis_url) as second, open_redis(redis_url) as third:
        others = [Breakers(store) for store in (provider.store, second, third)]
        waits: list[float] = []

        async def caller(number: int) -> None:
            try:
                async with others[number % 3].around("mail", ACME):
                    provider.calls += 1
                    assert provider.gate
                    await provider.gate.wait()
            except BreakerOpen as error:
                waits.append(error.retry_after)

        callers = [asyncio.create_task(caller(number)) for number in range(50)]
        await soon(lambda: len(waits) == 49)
        assert provider.calls == 1
        assert all(0 < wait <= LAW.probe_seconds for wait in waits)
        provider.gate.set()
        await asyncio.gather(*callers)
        await asyncio.gather(*(caller(number) for number in range(50)))
    assert provider.calls == 51


async def test_a_probe_that_succeeds_closes_it(provider: Provider, store: Store) -> None:
    await provider.fail()
    await provider.rested()
    provider.error = None
    await provider.call()
    assert provider.changes == ["opened", "closed"]
    assert [key async for key in store.commands.scan_iter("*")] == []
    await provider.call()


async def test_what_becomes_of_it_is_logged_once(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "shared.store.breaker")
    await provider.fail()
    await provider.refused()
    await provider.rested()
    await provider.fail(1)
    await provider.rested()
    provider.error = None
    await provider.call()
    await provider.call()
    told = [vars(each) for each in caplog.records if each.name == "shared.store.breaker"]
    assert [each["action"] for each in told] == [*["breaker_opened"] * 2, "breaker_closed"]
    assert {(each["provider"], each["tenant"]) for each in told} == {("mail", "acme")}


async def test_a_probe_that_fails_opens_it_for_another_minute(provider: Provider) -> None:
    await provider.fail()
    await provider.rested()
    await provider.fail(1)
    assert 30 < await provider.refused() <= 60
    assert provider.changes == ["opened", "opened"]


async def test_one_failed_probe_is_enough_whatever_the_law_is_now(
    provider: Provider, store: Store
) -> None:
    await provider.fail()
    await provider.rested()
    patient = Provider(store, BreakerLaw(failures=50))
    await patient.fail(1)
    assert 30 < await patient.refused() <= 60


async def test_an_open_breaker_outlives_the_window_of_its_row(
    provider: Provider, store: Store
) -> None:
    await provider.fail()
    assert await store.commands.ttl(KEY) > 23 * 3600
    assert await store.commands.ttl("rw:breakers") == -1


async def test_a_probe_that_is_called_off_leaves_room_for_the_next(provider: Provider) -> None:
    await provider.fail()
    await provider.rested()
    provider.gate = asyncio.Event()
    probe = asyncio.create_task(provider.call())
    await soon(lambda: provider.calls > LAW.failures)
    await provider.refused()
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    provider.gate, provider.error = None, None
    await provider.call()
    assert provider.changes == ["opened", "closed"]


async def right_ends(store: Store) -> int:
    """When the right to probe would end, if it were not renewed; 0 while nobody has it."""
    return int(await store.commands.hget(KEY, "probe_until") or 0)


async def test_a_probe_that_takes_long_stays_the_only_one(store: Store) -> None:
    law = BreakerLaw(probe_seconds=9)  # no stall outlasts it, and it is renewed after 3
    provider = Provider(store, law)
    await provider.fail()
    await provider.rested()
    provider.gate, provider.error = asyncio.Event(), None
    probe = asyncio.create_task(provider.call())
    async with asyncio.timeout(60):  # one that is not refused would wait for the gate
        while not (first := await right_ends(store)):  # noqa: ASYNC110 - it is in another process
            await asyncio.sleep(0.02)
        assert await provider.refused() <= law.probe_seconds
        while await right_ends(store) == first:  # noqa: ASYNC110 - same
            await asyncio.sleep(0.02)
        assert await provider.refused() <= law.probe_seconds
    assert await right_ends(store) > first
    assert provider.calls == LAW.failures + 1
    provider.gate.set()
    await probe
    assert provider.changes == ["opened", "closed"]


PROBER = """
import asyncio, sys
from shared.store import breaker, redis
from shared.store.breaker import BreakerLaw, Breakers

breaker._ANSWER_SECONDS = redis._ANSWER_SECONDS = 60

async def main(url):
    async with redis.open_redis(url) as store:
        async with Breakers(store, BreakerLaw(probe_seconds=30)).around("mail", "acme"):
            print("probing", flush=True)
            await asyncio.sleep(60)

asyncio.run(main(sys.argv[1]))
"""


async def test_a_prober_that_is_killed_blocks_nobody_for_ever(
    provider: Provider, redis_url: str
) -> None:
    await provider.fail()
    await provider.rested()
    command = (sys.executable, "-c", PROBER, redis_url)
    root = Path(__file__).parents[2]
    pipe = asyncio.subprocess.PIPE
    prober = await asyncio.create_subprocess_exec(
        *command, cwd=root, stdout=pipe, stderr=subprocess.DEVNULL
    )
    assert prober.stdout
    assert await prober.stdout.readline() == b"probing\n"
    await provider.refused()
    prober.kill()
    await prober.wait()
    assert 0 < await provider.refused() <= 30
    await provider.store.commands.hset(KEY, "probe_until", "1")  # what time would do
    provider.error = None
    await provider.call()
    assert provider.changes == ["opened", "closed"]


async def test_calls_from_before_say_nothing_about_an_open_breaker(provider: Provider) -> None:
    gates, inside = [asyncio.Event() for _ in range(3)], set[int]()
    await provider.fail(1)  # so that a success would be told

    async def early(number: int, error: BaseException | None) -> None:
        async with provider.breakers.around("mail", ACME):
            inside.add(number)
            await gates[number].wait()
            if error:
                raise error

    answers, fails, fails_late = (
        asyncio.create_task(early(number, error)) for number, error in enumerate((None, AWAY, AWAY))
    )
    await soon(lambda: len(inside) == 3)
    await provider.fail(4)
    gates[0].set()
    await answers
    await provider.refused()
    end = await provider.store.commands.hget(KEY, "open_until")
    gates[1].set()
    assert list(await asyncio.gather(fails, return_exceptions=True)) == [AWAY]
    assert await provider.store.commands.hget(KEY, "open_until") == end
    await provider.rested()
    gates[2].set()
    assert list(await asyncio.gather(fails_late, return_exceptions=True)) == [AWAY]
    provider.error = None
    await provider.call()  # the right to probe was not touched
    assert provider.changes == ["opened", "closed"]


async def test_who_looks_sees_what_is_not_closed(provider: Provider) -> None:
    await provider.fail(tenant=OTHER)
    await provider.fail()
    await provider.rested()
    mine, others = await provider.breakers.all()
    assert (mine.provider, mine.tenant, mine.state) == ("mail", "acme", "half_open")
    assert (others.tenant, others.state, others.failures) == ("other", "open", 5)
    assert others.opened_at > 1_700_000_000_000
    assert 30 < others.retry_after <= 60
    provider.error = None
    await provider.call()
    assert [each.tenant for each in await provider.breakers.all()] == ["other"]


async def test_what_was_forgotten_leaves_the_list(provider: Provider, store: Store) -> None:
    await provider.fail(tenant=OTHER)
    await store.commands.delete(breaker_key("mail", OTHER))
    assert await provider.breakers.all() == []
    await store.commands.zadd("rw:breakers", {"mail other": 1})
    await provider.fail()
    assert await store.commands.zrange("rw:breakers", 0, -1) == [b"mail acme"]


class OwnRedis:
    """A server of this test alone, to stop and to freeze."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.server = self.started()

    def started(self) -> Process:
        command = [next(iter(programs().values())), "--port", str(self.port), "--save", ""]
        command += ["--bind", "127.0.0.1", "--appendonly", "yes", "--dir", str(self.folder)]
        server = Process(command, {}, self.folder / "redis.log")
        server.until(lambda: redis_answers("127.0.0.1", self.port))
        return server


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnRedis]:
    redis = OwnRedis(tmp_path)
    yield redis
    redis.server.end(signal.SIGKILL)


@pytest.fixture
async def opened(own: OwnRedis) -> AsyncIterator[Provider]:
    async with open_redis(f"redis://127.0.0.1:{own.port}/0") as store:
        provider = Provider(store)
        await provider.fail()
        await provider.refused()
        yield provider


async def test_while_the_store_is_away_calls_pass(opened: Provider, own: OwnRedis) -> None:
    own.server.end()
    await opened.fail(1)
    opened.error = None
    await opened.call()


async def test_an_open_breaker_survives_a_restart(opened: Provider, own: OwnRedis) -> None:
    own.server.end()
    own.server = own.started()
    with pytest.raises(StoreUnavailable):
        await opened.store.ping()  # the connection is from before
    assert 0 < await opened.refused() <= 60


async def test_a_store_that_hangs_delays_a_call_by_a_second(
    opened: Provider, own: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "_ANSWER_SECONDS", ANSWER_SECONDS)
    own.server.tell(signal.SIGSTOP)
    try:
        opened.error, began = None, time.monotonic()
        await opened.call()
        took = time.monotonic() - began
    finally:
        own.server.tell(signal.SIGCONT)
    assert took < 30  # it is the breaker that gives up: its client would wait for a minute
