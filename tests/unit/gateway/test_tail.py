"""The shared end of a stream: read once, bounded, and never with a hole."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway import tail as module
from services.gateway.entries import Entry, Position
from services.gateway.tail import BATCH, WINDOW, Missed, Tail
from shared.errors import Unavailable


def entry(seq: int, size: int = 10) -> Entry:
    return Entry(
        position=(1, seq),
        at=(1, seq),
        type="state",
        job="j",
        video="v",
        flow="f",
        state="running",
        frame=b"x" * size,
    )


class Store:
    """A stream in memory, whose answers take a second."""

    def __init__(self, count: int = 0) -> None:
        self.kept = [entry(seq) for seq in range(1, count + 1)]
        self.reads: list[tuple[Position, int]] = []
        self.is_away = False

    async def read(self, after: Position, limit: int) -> list[Entry]:
        self.reads.append((after, limit))
        await asyncio.sleep(1)
        if self.is_away:
            raise Unavailable
        return [each for each in self.kept if each.position > after][:limit]

    def add(self, count: int, size: int = 10) -> None:
        last = self.kept[-1].position[1] if self.kept else 0
        self.kept += [entry(last + n, size) for n in range(1, count + 1)]


async def seqs(tail: Tail, after: int) -> list[int]:
    return [each.position[1] for each in await tail.after((1, after))]


async def test_nothing_is_read_before_the_bell_rings_again() -> None:
    store = Store(3)
    tail = Tail(store.read)
    assert await seqs(tail, 0) == [1, 2, 3]
    store.add(1)
    assert await seqs(tail, 3) == []
    assert len(store.reads) == 1
    tail.doubt()
    assert await seqs(tail, 3) == [4]


async def test_many_readers_cost_one_read() -> None:
    store = Store(3)
    tail = Tail(store.read)
    tail.begin((1, 0))
    found = await asyncio.gather(*(seqs(tail, n % 3) for n in range(300)))
    assert found[:3] == [[1, 2, 3], [2, 3], [3]]
    assert len(store.reads) == 1


async def test_what_came_while_the_store_was_read_is_read_too() -> None:
    store = Store(1)
    tail = Tail(store.read)
    reading = asyncio.create_task(seqs(tail, 0))
    await asyncio.sleep(0.5)
    tail.doubt()
    assert await reading == [1]
    store.add(1)
    assert await seqs(tail, 1) == [2]


async def test_everything_comes_however_far_behind_a_reader_is() -> None:
    store = Store(1000)
    tail = Tail(store.read)
    tail.begin((1, 1000))
    place, found = 0, []
    while batch := await seqs(tail, place):
        found += batch
        place = batch[-1]
    assert found == list(range(1, 1001))


async def test_the_window_stays_small_in_number_and_in_bytes() -> None:
    store = Store()
    tail = Tail(store.read)
    assert await seqs(tail, 0) == []
    for size in (10, 30_000):
        store.add(10 * BATCH, size)
        tail.doubt()
        end = store.kept[-1].position[1]
        await tail.after((1, end - 1))
        assert len(tail._window) <= WINDOW
        assert sum(len(each.frame) for each in tail._window) <= module.WINDOW_BYTES
        assert await seqs(tail, end - 1) == [end]
        assert (await seqs(tail, end - 500))[:2] == [end - 499, end - 498]


async def test_one_entry_larger_than_the_window_is_still_read() -> None:
    store = Store()
    tail = Tail(store.read)
    await tail.after((1, 0))
    store.add(3, 100_000)
    tail.doubt()
    place, found = 0, []
    while batch := await seqs(tail, place):
        found += batch
        place = batch[-1]
    assert found == [1, 2, 3]


async def test_a_reader_behind_what_is_kept_has_missed_something() -> None:
    store = Store(1000)
    tail = Tail(store.read)
    tail.begin((1, 1000))
    del store.kept[:500]
    with pytest.raises(Missed):
        await tail.after((1, 499))
    assert (await seqs(tail, 500))[0] == 501
    store.kept.clear()
    with pytest.raises(Missed):
        await tail.after((1, 500))


async def test_a_tail_that_slept_too_long_has_a_hole_for_its_readers_only() -> None:
    store, told = Store(10), list[str]()
    tail = Tail(
        store.read, seen=lambda _: told.append("seen"), missed=lambda: told.append("missed")
    )
    assert (await seqs(tail, 9)) == [10]
    store.add(1000)
    del store.kept[:900]
    tail.doubt()
    with pytest.raises(Missed):
        await tail.after((1, 10))
    assert (await seqs(tail, 910))[0] == 911
    assert told == ["seen", "missed", "seen", "seen"]


async def test_nobody_is_ahead_of_the_tail() -> None:
    """Otherwise what others know of the entries in between would come too late."""
    store, seen = Store(5), list[Entry]()
    tail = Tail(store.read, seen=seen.extend)
    assert await seqs(tail, 4) == [5]
    store.add(3)
    assert await seqs(tail, 8) == []
    assert [each.position[1] for each in seen] == [5, 6, 7, 8]


async def test_a_late_reader_does_not_run_ahead_of_the_tail() -> None:
    store, seen = Store(200), list[Entry]()
    tail = Tail(store.read, seen=seen.extend)
    tail.begin((1, 200))
    assert await seqs(tail, 200) == []
    store.add(20)
    found = await seqs(tail, 190)
    assert found == list(range(191, 201))
    assert seen == []
    tail.doubt()
    assert await seqs(tail, 200) == list(range(201, 221))
    assert len(seen) == 20


async def test_a_position_beyond_the_stream_finds_nothing() -> None:
    tail = Tail(Store(3).read)
    assert await seqs(tail, 0) == [1, 2, 3]
    assert await seqs(tail, 50) == []


async def test_what_could_not_be_read_stays_in_doubt() -> None:
    store = Store(2)
    store.is_away = True
    tail = Tail(store.read)
    with pytest.raises(Unavailable):
        await tail.after((1, 0))
    store.is_away = False
    assert await seqs(tail, 0) == [1, 2]


async def test_a_reader_that_leaves_in_the_middle_of_a_read_takes_nothing_with_it() -> None:
    store = Store(2)
    tail = Tail(store.read)
    leaving = asyncio.create_task(tail.after((1, 0)))
    staying = asyncio.create_task(seqs(tail, 0))
    await asyncio.sleep(0.5)
    leaving.cancel()
    assert await staying == [1, 2]
