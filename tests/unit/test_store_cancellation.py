"""A cancellation of a command is never lost, whatever the library makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.store.redis import StoreUnavailable, _cancellable, store_errors


async def swallowing() -> None:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return


async def translating() -> None:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        raise RedisConnectionError("closed while it was read") from None


async def passing() -> None:
    await asyncio.sleep(60)


@pytest.mark.parametrize("library", [swallowing, translating, passing])
async def test_a_cancelled_command_ends_cancelled(library: Callable[[], Awaitable[None]]) -> None:
    async def command() -> None:
        with store_errors(), _cancellable():
            await library()

    task = asyncio.create_task(command())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_an_error_without_a_cancellation_stays_what_it_is() -> None:
    with pytest.raises(StoreUnavailable), store_errors(), _cancellable():
        raise RedisConnectionError("away")


async def test_a_deadline_around_a_command_is_still_a_deadline() -> None:
    async def command() -> None:
        with store_errors(), _cancellable():
            await translating()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(command(), 1)
