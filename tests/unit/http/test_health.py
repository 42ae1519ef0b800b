"""The table of checks."""

from __future__ import annotations

import asyncio

import pytest

from shared.health import Health


async def well() -> None:
    """A thing that answers."""


async def broken() -> None:
    raise ConnectionRefusedError("redis at 10.0.0.7")


async def silent() -> None:
    await asyncio.Event().wait()


async def test_each_check_is_named_and_timed() -> None:
    (check,) = await Health({"redis": well}).check()
    assert (check.name, check.ok, check.error) == ("redis", True, "")
    assert check.latency_ms >= 0


async def test_trouble_names_the_kind_but_no_address() -> None:
    health = Health({"redis": broken, "bus": well})
    assert await health.trouble() == "redis: ConnectionRefusedError"


async def test_what_is_not_needed_is_told_and_keeps_no_work_away() -> None:
    health = Health({"redis": well})
    health.add("libraries", broken, needed=False)
    assert await health.trouble() == ""
    assert [check.name for check in await health.check() if not check.ok] == ["libraries"]


async def test_silent_check_costs_its_own_time_only() -> None:
    health = Health({"bus": silent, "redis": well}, timeout=0.01)
    bus, redis = await health.check()
    assert (bus.ok, bus.error, redis.ok) == (False, "timeout", True)


async def test_draining_is_trouble_whatever_the_checks_say() -> None:
    health = Health({"redis": well})
    assert await health.trouble() == ""
    health.draining = True
    assert await health.trouble() == "draining"


async def test_asking_can_be_cancelled() -> None:
    asking = asyncio.create_task(Health({"bus": silent}).check())
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


def test_name_is_given_once() -> None:
    health = Health()
    health.add("redis", well)
    with pytest.raises(ValueError, match="redis"):
        health.add("redis", well)
    assert health.uptime >= 0
