from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.faults import installed, through

T = TypeVar("T")


class Twice:
    """Does everything twice."""

    def __init__(self) -> None:
        self.points: list[str] = []

    async def play(self, point: str, act: Callable[[], Awaitable[T]]) -> T:
        self.points.append(point)
        await act()
        return await act()


class Counter:
    """Something to do."""

    def __init__(self) -> None:
        self.number = 0

    async def add(self) -> int:
        self.number += 1
        return self.number


async def test_without_faults_a_point_is_the_call_itself() -> None:
    counter = Counter()
    assert await through("count", counter.add) == 1
    assert counter.number == 1


async def test_installed_faults_decide_and_only_while_they_are() -> None:
    counter, faults = Counter(), Twice()
    with installed(faults):
        assert await through("count", counter.add) == 2
    assert await through("count", counter.add) == 3
    assert faults.points == ["count"]


async def test_those_that_were_installed_last_decide() -> None:
    first, last = Twice(), Twice()
    with installed(first), installed(last):
        await through("count", Counter().add)
    assert (first.points, last.points) == ([], ["count"])
