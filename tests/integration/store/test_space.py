"""Bytes that are promised and kept: never more than there are, however many ask at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from shared.errors import StorageFull
from shared.store.keys import space_key
from shared.store.redis import Store
from shared.store.space import QuotaExceeded, Space
from tests.integration.work.bench import ACME, OTHER

pytestmark = pytest.mark.integration
MOST = 100


@pytest.fixture
def space(store: Store) -> Space:
    return Space(store)


async def used(space: Space) -> tuple[int, int]:
    found = await space.of(ACME)
    return found.bytes, found.files


async def due(store: Store) -> int:
    total = await store.commands.hget("rw:space:due", b"total")
    return int(total or 0)


async def outcomes(*asked: Awaitable[int]) -> list[type[object]]:
    found = await asyncio.gather(*asked, return_exceptions=True)
    return [type(each) for each in found]


async def test_what_is_taken_counts_until_it_is_given_back(space: Space) -> None:
    await space.take(ACME, "a", 60)
    await space.take(ACME, "b", 30)
    assert await used(space) == (90, 2)
    await space.give(ACME, "a")
    assert await used(space) == (30, 1)
    assert (await space.of(OTHER)).bytes == 0


async def test_taking_twice_is_taking_once(space: Space) -> None:
    for _ in range(3):
        await space.take(ACME, "a", 60, most=MOST)
    assert await used(space) == (60, 1)


async def test_giving_twice_is_giving_once(space: Space) -> None:
    await space.take(ACME, "a", 60)
    await space.take(ACME, "b", 30)
    for _ in range(3):
        await space.give(ACME, "a", "never taken")
    assert await used(space) == (30, 1)


async def test_nobody_has_more_than_the_quota_however_many_ask_at_once(space: Space) -> None:
    found = await outcomes(*(space.take(ACME, f"f{n}", 30, most=MOST) for n in range(20)))
    assert found.count(QuotaExceeded) == 17
    assert await used(space) == (90, 3)


async def test_the_quota_of_one_is_not_the_quota_of_another(space: Space) -> None:
    await space.take(ACME, "a", MOST, most=MOST)
    await space.take(OTHER, "a", MOST, most=MOST)


async def test_a_quota_that_became_smaller_refuses_only_what_is_new(space: Space) -> None:
    await space.take(ACME, "a", 90, seconds=60)
    await space.take(ACME, "a", 90, most=50)  # as an upload does that ends
    await space.take(ACME, "a", 80, most=50)
    with pytest.raises(QuotaExceeded):
        await space.take(ACME, "b", 1, most=50)


async def test_the_disk_is_not_promised_twice(space: Space, store: Store) -> None:
    asked = (space.take(ACME, f"f{n}", 30, due=30, room=100, seconds=60) for n in range(10))
    assert (await outcomes(*asked)).count(StorageFull) == 7
    assert await due(store) == 90


async def test_what_has_arrived_is_no_longer_due(space: Space, store: Store) -> None:
    await space.take(ACME, "a", 80, due=80, room=100, seconds=60)
    await space.take(ACME, "a", 80, due=20, room=40, seconds=60)  # 60 came and lie on the disk
    assert await due(store) == 20
    with pytest.raises(StorageFull):
        await space.take(OTHER, "b", 30, due=30, room=40, seconds=60)
    await space.take(OTHER, "b", 20, due=20, room=40, seconds=60)


async def test_an_upload_under_way_is_not_refused_because_the_disk_got_fuller(space: Space) -> None:
    await space.take(ACME, "a", 80, due=80, room=100, seconds=60)
    await space.take(ACME, "a", 80, due=70, room=10, seconds=60)


async def test_a_promise_comes_back_when_its_time_is_over(space: Space, store: Store) -> None:
    await space.take(ACME, "dead", 80, due=80, room=100, seconds=60)
    await space.take(ACME, "kept", 10)
    await store.commands.zadd("rw:space:leases", {f"{space_key(ACME)}|dead": 1})
    await space.take(OTHER, "any", 90, due=90, room=100, seconds=60)  # whoever comes finds it
    assert await used(space) == (10, 1)


async def test_what_is_kept_has_no_end(space: Space, store: Store) -> None:
    await space.take(ACME, "a", 80, due=80, seconds=60)
    await space.take(ACME, "a", 80)
    assert await store.commands.zcard("rw:space:leases") == 0
    assert await due(store) == 0


async def test_large_numbers_stay_exact(space: Space) -> None:
    most = 9_007_199_254_740_991
    await space.take(ACME, "a", most - 1, most=most)
    with pytest.raises(QuotaExceeded):
        await space.take(ACME, "b", 2, most=most)
    await space.take(ACME, "c", 1, most=most)
    assert await used(space) == (most, 2)
