"""Commands that travel together: each gets its own answer, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from shared.store.redis import StoreUnavailable
from shared.store.together import FLIGHTS, MOST, Call, Together


class Carrier:
    """Answers each command with its argument, once it is let."""

    def __init__(self) -> None:
        self.lots: list[int] = []
        self.gate = asyncio.Event()
        self.fault: Exception | None = None

    async def send(self, lot: Sequence[Call]) -> list[Any]:
        self.lots.append(len(lot))
        await self.gate.wait()
        if self.fault:
            raise self.fault
        return [call.args[0] for call in lot]


def asked(together: Together, *values: Any) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(together.call((value,), {})) for value in values]


async def test_what_comes_up_meanwhile_goes_with_the_next_lot() -> None:
    carrier = Carrier()
    together = Together(carrier.send)
    tasks = asked(together, *range(3))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    tasks += asked(together, *range(3, 3 + FLIGHTS * MOST))
    await asyncio.sleep(0)
    carrier.gate.set()
    assert await asyncio.gather(*tasks) == list(range(3 + FLIGHTS * MOST))
    assert len(carrier.lots) < 2 * FLIGHTS + 2
    await together.landed()


async def test_only_so_many_lots_are_under_way() -> None:
    carrier = Carrier()
    together = Together(carrier.send)
    tasks: list[asyncio.Task[Any]] = []
    for number in range(10):
        tasks += asked(together, number)
        await asyncio.sleep(0.01)
    assert carrier.lots == [1] * FLIGHTS
    carrier.gate.set()
    assert await asyncio.gather(*tasks) == list(range(10))
    assert carrier.lots[FLIGHTS] == 10 - FLIGHTS


async def test_one_that_fails_is_the_only_one() -> None:
    carrier = Carrier()
    carrier.gate.set()
    good, bad = asked(Together(carrier.send), "good", ValueError("bad"))
    assert await good == "good"
    with pytest.raises(ValueError, match="bad"):
        await bad


async def test_when_the_store_is_away_everybody_hears_it() -> None:
    carrier = Carrier()
    carrier.gate.set()
    carrier.fault = StoreUnavailable("it is away")
    together = Together(carrier.send)
    for task in asked(together, 1, 2):
        with pytest.raises(StoreUnavailable, match="it is away"):
            await task
    carrier.fault = None
    assert await together.call((3,), {}) == 3


async def test_who_is_cancelled_takes_nobody_along() -> None:
    carrier = Carrier()
    together = Together(carrier.send)
    gone, stays = asked(together, 1, 2)
    await asyncio.sleep(0.01)
    gone.cancel()
    carrier.gate.set()
    assert await stays == 2
    assert gone.cancelled()


async def test_nobody_waits_for_a_lot_that_was_given_up() -> None:
    carrier = Carrier()
    together = Together(carrier.send)
    [waiting] = asked(together, 1)
    await asyncio.sleep(0.01)
    for flight in together._flights:
        flight.cancel()
    with pytest.raises(ConnectionError):
        await waiting
