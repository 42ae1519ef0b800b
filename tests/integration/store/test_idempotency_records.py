"""The record of an idempotency key: who holds it, and what is left when nobody does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared.errors import IdempotencyInProgress, IdempotencyMismatch
from shared.ids import is_id
from shared.store.idempotency import Claim, Finished, Idempotency
from shared.store.keys import idempotency_key
from shared.store.redis import Store
from shared.tenancy import tenant_id
from tests.support.bus import until

KEY = idempotency_key(tenant_id("acme"), "k1")
DAY = 24 * 3600
SHORT = 9.0
"""A lease that no stall of the machine outlasts, and that is renewed every third of it."""


@pytest.fixture
def records(store: Store) -> Idempotency:
    return Idempotency(store)


async def begun(records: Idempotency) -> Claim:
    claim = await records.begin(KEY, "f")
    assert isinstance(claim, Claim)
    return claim


async def field(store: Store, name: str) -> str | None:
    value: Any = store.commands.hget(KEY, name)
    found: bytes | None = await value
    return None if found is None else found.decode()


async def leased_for(store: Store) -> float:
    """How many seconds are left of the lease."""
    seconds, micros = await store.commands.time()
    return int(await field(store, "until") or 0) / 1000 - int(seconds) - int(micros) / 1_000_000


async def lease_ends(store: Store) -> None:
    """What time would do."""
    change: Any = store.commands.hset(KEY, "until", "0")
    await change


async def test_one_begins_and_the_others_wait_or_are_wrong(records: Idempotency) -> None:
    assert (await begun(records)).is_first
    with pytest.raises(IdempotencyInProgress):
        await records.begin(KEY, "f")
    with pytest.raises(IdempotencyMismatch):
        await records.begin(KEY, "g")


async def test_of_many_who_begin_at_once_one_does(records: Idempotency) -> None:
    tries = (records.begin(KEY, "f") for _ in range(30))
    ends = await asyncio.gather(*tries, return_exceptions=True)
    assert [type(end) for end in ends].count(Claim) == 1
    assert [type(end) for end in ends].count(IdempotencyInProgress) == 29


async def test_an_answer_is_for_everybody_until_a_day_has_passed(
    records: Idempotency, store: Store
) -> None:
    claim = await begun(records)
    await store.commands.expire(KEY, 10)
    assert await claim.finish(b"\x00any bytes")
    assert DAY - 60 < await store.commands.ttl(KEY) <= DAY
    assert await records.begin(KEY, "f") == Finished(b"\x00any bytes")
    with pytest.raises(IdempotencyMismatch):
        await records.begin(KEY, "g")


async def test_every_sign_of_life_keeps_the_key_for_a_day(
    records: Idempotency, store: Store
) -> None:
    claim = await begun(records)
    assert DAY - 60 < await store.commands.ttl(KEY) <= DAY
    for act in (lambda: claim.keep(b"r"), claim._hold, claim.release):
        await store.commands.expire(KEY, 10)
        await act()
        assert DAY - 60 < await store.commands.ttl(KEY) <= DAY


async def test_a_holder_that_died_blocks_its_key_no_longer_than_its_lease(store: Store) -> None:
    records = Idempotency(store, SHORT)
    dead = await begun(records)
    with pytest.raises(IdempotencyInProgress):
        await records.begin(KEY, "f")
    assert await leased_for(store) <= SHORT
    await lease_ends(store)
    heir = await begun(records)
    assert not heir.is_first
    assert heir.id("video") == dead.id("video")
    assert is_id(heir.id("video"))


async def test_a_holder_that_lives_keeps_its_key_beyond_its_lease(store: Store) -> None:
    records = Idempotency(store, SHORT)
    async with (await begun(records)).held():
        first = await field(store, "until")

        async def is_renewed() -> bool:
            return await field(store, "until") != first

        await until(is_renewed)
        assert await leased_for(store) > 0
        with pytest.raises(IdempotencyInProgress):
            await records.begin(KEY, "f")


async def test_who_comes_back_from_the_dead_can_do_no_harm(
    records: Idempotency, store: Store
) -> None:
    dead = await begun(records)
    await lease_ends(store)
    heir = await begun(records)
    await heir.keep(b"all here")
    with pytest.raises(IdempotencyInProgress):
        await dead.keep(b"mine")
    assert not await dead.finish(b"mine")
    assert not await dead.release()
    assert not await dead.forget()
    assert await field(store, "receipt") == "all here"
    with pytest.raises(IdempotencyInProgress):
        await records.begin(KEY, "f")
    assert await heir.finish(b"done")
    assert await records.begin(KEY, "f") == Finished(b"done")


async def test_a_renewal_that_comes_late_takes_nothing_back(
    records: Idempotency, store: Store
) -> None:
    claim = await begun(records)
    await claim.release()
    assert not await claim._hold()
    assert not (await begun(records)).is_first


async def test_who_goes_on_finds_the_receipt(records: Idempotency) -> None:
    claim = await begun(records)
    assert claim.receipt == b""
    await claim.keep(b"all here")
    await claim.release()
    assert (await begun(records)).receipt == b"all here"


async def test_with_a_receipt_a_key_is_not_set_free(records: Idempotency, store: Store) -> None:
    claim = await begun(records)
    await claim.keep(b"all here")
    assert await claim.forget()
    heir = await begun(records)
    assert heir.receipt == b"all here"
    await heir.keep(b"")
    assert await heir.forget()
    assert not await store.commands.exists(KEY)
    assert (await begun(records)).is_first
