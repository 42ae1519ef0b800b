from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError

from shared.store.embedded import embedded
from shared.store.redis import Store, StoreUnavailable, StoreUnfit, open_redis, store_errors
from tests.integration.store.conftest import ANSWER_SECONDS
from tests.support.bus import until


@asynccontextmanager
async def frozen(store: Store) -> AsyncIterator[None]:
    """The server takes what is sent to it, but answers only after the block."""
    pid = (await store.commands.info("server"))["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_replies_are_bytes(store: Store) -> None:
    await store.commands.set("a", "ü")
    assert await store.commands.get("a") == "ü".encode()


async def test_a_server_that_does_not_answer_is_unavailable_within_seconds(
    store: Store, hasty: Store
) -> None:
    async with frozen(store):
        started = time.monotonic()
        with pytest.raises(StoreUnavailable) as caught:
            await hasty.ping()
        assert time.monotonic() - started < 30
    assert caught.value.code == "store_unavailable"
    await store.ping()


async def test_a_command_whose_reply_is_late_ran_once(store: Store, hasty: Store) -> None:
    async with frozen(store):
        with pytest.raises(StoreUnavailable):
            await hasty.commands.incr("a")
    await until(lambda: store.commands.exists("a"))
    await asyncio.sleep(0.1)
    assert await store.commands.get("a") == b"1"


async def test_pipelines_fail_like_commands(store: Store, hasty: Store) -> None:
    async with frozen(store):
        pipeline = hasty.commands.pipeline()
        pipeline.incr("a")
        with pytest.raises(StoreUnavailable):
            await pipeline.execute()


async def read(store: Store, milliseconds: int) -> Any:
    return await store.blocking.xread({"events": "$"}, block=milliseconds)


async def waiting_reads(store: Store, number: int) -> None:
    """Until the server knows of so many."""

    async def are_there() -> bool:
        return int((await store.commands.info("clients"))["blocked_clients"]) == number

    await until(are_there)


async def test_waiting_reads_may_last_longer_than_commands(store: Store, hasty: Store) -> None:
    async def write_later() -> None:
        await waiting_reads(store, 1)
        await asyncio.sleep(ANSWER_SECONDS + 0.5)
        await store.commands.xadd("events", {"a": "1"})

    writer = asyncio.create_task(write_later())
    found = await read(hasty, 60_000)
    await writer
    assert found[0][1][0][1] == {b"a": b"1"}


async def test_waiting_reads_do_not_use_up_the_connections_of_commands(store: Store) -> None:
    readers = [asyncio.create_task(read(store, 60_000)) for _ in range(60)]
    await waiting_reads(store, 60)
    for _ in range(10):
        await asyncio.gather(*(store.ping() for _ in range(60)))
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)


async def test_more_callers_than_connections_wait_for_each_other(store: Store) -> None:
    await asyncio.gather(*(store.commands.incr("a") for _ in range(500)))
    assert await store.commands.get("a") == b"500"


async def test_mistakes_in_commands_stay_mistakes(store: Store) -> None:
    await store.commands.set("a", "x")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await store.commands.lpush("a", "1")


async def test_a_server_without_memory_is_unavailable(store: Store) -> None:
    await store.commands.config_set("maxmemory", 1)
    with pytest.raises(StoreUnavailable, match="maxmemory"):
        await store.commands.set("a", "x")


async def test_where_nothing_listens_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="does not answer"):
        async with open_redis(f"unix://{tmp_path}/none.sock"):
            pass


async def test_a_wrong_url_is_said_without_its_password() -> None:
    with pytest.raises(StoreUnfit) as caught:
        async with open_redis("http://user:word@host/"):
            pass
    assert "word" not in str(caught.value)


async def test_a_server_that_may_forget_is_warned_about(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await store.commands.config_set("maxmemory-policy", "allkeys-lru")
    await store.commands.config_set("appendonly", "no")
    with caplog.at_level(logging.WARNING):
        async with open_redis(store.url):
            pass
    assert "evicts records (maxmemory-policy allkeys-lru)" in caplog.text
    assert "set appendonly yes" in caplog.text


async def test_a_fit_server_is_not_warned_about(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with open_redis(store.url):
            pass
    assert not caplog.records


async def test_a_server_that_is_too_old_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.store.redis.OLDEST", (99, 1))
    with pytest.raises(StoreUnfit, match=r"Reelway needs 99\.1 or newer"):
        async with open_redis(store.url):
            pass


async def test_commands_are_observed_with_their_outcome(tmp_path: Path) -> None:
    seen: list[tuple[str, bool]] = []

    def observe(operation: str, seconds: float, answered: bool) -> None:
        assert seconds >= 0
        seen.append((operation, answered))

    async with embedded(tmp_path) as url, open_redis(url, observe=observe) as store:
        seen.clear()
        await store.commands.get("a")
    assert seen == [("get", True)]


@pytest.mark.parametrize(
    "text",
    [
        "MISCONF Errors writing to the AOF file: No space left on device",
        "NOREPLICAS Not enough good replicas to write.",
        (
            "Error running script (call to f_1): @user_script: 3: -MISCONF Errors "
            "writing to the AOF file: No space left on device"
        ),
        (
            "ERR Error running script (call to f_1): @user_script: 1: -OOM command not "
            "allowed when used memory > 'maxmemory'."
        ),
        (
            "Error running script (call to f_1): @user_script: 1: -READONLY You can't "
            "write against a read only replica."
        ),
    ],
)
def test_a_server_that_is_not_able_is_unavailable(text: str) -> None:
    with pytest.raises(StoreUnavailable), store_errors():
        raise ResponseError(text)


def test_a_fault_of_a_script_is_no_outage() -> None:
    text = "Error running script (call to f_1): @user_script:1: Script attempted -MISCONFusion"
    with pytest.raises(ResponseError), store_errors():
        raise ResponseError(text)


def test_a_dropped_connection_inside_the_block_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable), store_errors():
        raise ConnectionResetError(104, "reset")


@pytest.mark.parametrize("steps", range(8))
async def test_a_cancelled_command_ends_and_its_reply_goes_to_nobody(
    store: Store, steps: int
) -> None:
    await store.commands.set("a", "right")
    clients = {"a list": store.commands, "another": store.blocking}
    for (none, client), other in zip(clients.items(), reversed(clients.values()), strict=True):
        wait: Callable[..., Coroutine[Any, Any, Any]] = client.execute_command
        waiting = asyncio.create_task(wait("BLPOP", none, "60"))
        for _ in range(steps):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await client.get("a") == b"right"
        await other.lpush(none, "wrong")  # what may still wait there ends
        assert await client.get("a") == b"right"


async def test_a_loop_of_commands_can_always_be_cancelled(store: Store) -> None:
    async def loop() -> None:
        while True:
            await store.commands.incr("a")
            pipeline = store.commands.pipeline()
            pipeline.incr("a")
            await pipeline.execute()

    for steps in range(60):
        task = asyncio.create_task(loop())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait((task,), timeout=30)
        assert done, f"the cancellation after {steps} steps was lost"
