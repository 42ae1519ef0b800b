"""Claims look at what a worker has room for."""

from __future__ import annotations

import pytest

from shared.contracts.records import StepStatus
from shared.errors import Invalid
from shared.ids import new_id
from shared.work.ledger import NewJob
from shared.work.resources import Capacity
from tests.integration.work.bench import DONE, Bench, new_job

ROOM = Capacity({"memory": 4096, "ocr": 1})
MINUTE = 60_000


async def needing(bench: Bench, needs: str, base: int = 50) -> NewJob:
    return await bench.submit(steps=(StepStatus(name="s0", pool="media", needs=needs),), base=base)


async def claimed(bench: Bench, capacity: Capacity) -> str:
    claim = await bench.ledger.claim("media", "w", new_id(), capacity)
    return claim.job.id if claim else ""


async def test_what_does_not_fit_lets_smaller_work_pass(bench: Bench) -> None:
    big = await needing(bench, "memory=4096", base=90)
    small = await needing(bench, "memory=1024")
    with ROOM.taking("memory=2048"):
        assert await claimed(bench, ROOM) == small.id
        assert await claimed(bench, ROOM) == ""
    assert await claimed(bench, ROOM) == big.id


async def test_room_is_kept_for_what_has_waited_long(bench: Bench) -> None:
    big = await needing(bench, "memory=4096", base=90)
    await needing(bench, "memory=1024")
    claim = await bench.ledger.claim("media", "w", new_id(), ROOM)
    assert claim
    assert claim.job.id == big.id
    await bench.waiting_for(big, 11 * MINUTE)
    await bench.ledger.release(claim)
    with ROOM.taking("memory=2048"):
        assert await claimed(bench, ROOM) == ""
    assert await claimed(bench, ROOM) == big.id


async def test_work_that_is_more_urgent_does_not_wait_for_room_for_others(bench: Bench) -> None:
    big = await needing(bench, "memory=4096", base=50)
    claim = await bench.ledger.claim("media", "w", new_id(), ROOM)
    assert claim
    await bench.waiting_for(big, 11 * MINUTE)
    await bench.ledger.release(claim)
    urgent = await needing(bench, "memory=1024", base=90)
    with ROOM.taking("memory=2048"):
        assert await claimed(bench, ROOM) == urgent.id


async def test_a_worker_keeps_no_room_for_what_could_never_fit(bench: Bench) -> None:
    huge = await needing(bench, "memory=9000,gpu=1", base=90)
    claim = await bench.ledger.claim("media", "w", new_id(), Capacity({"memory": 9000, "gpu": 1}))
    assert claim
    await bench.waiting_for(huge, 60 * MINUTE)
    await bench.ledger.release(claim)
    small = await needing(bench, "memory=1024")
    assert await claimed(bench, ROOM) == small.id
    assert await claimed(bench, ROOM) == ""


async def test_what_is_measured_is_asked_for_each_time(bench: Bench) -> None:
    free = {"disk": 10}
    disk = Capacity({}, lambda: free)
    new = await needing(bench, "disk=100")
    assert await claimed(bench, disk) == ""
    free["disk"] = 500
    assert await claimed(bench, disk) == new.id


async def test_the_next_step_is_claimed_anew_when_it_needs_something_else(bench: Bench) -> None:
    steps = (
        StepStatus(name="s0", pool="media"),
        StepStatus(name="s1", pool="media", needs="ocr=1"),
        StepStatus(name="s2", pool="media", needs="ocr=1"),
    )
    await bench.submit(steps=steps)
    claim = await bench.claim()
    assert await bench.ledger.advance(claim, "s0", DONE, 0.3) == "handed"
    assert await bench.nothing()  # no recogniser here
    claim = await bench.ledger.claim("media", "w", new_id(), ROOM) or claim
    assert claim.job.step == "s1"
    assert await bench.ledger.advance(claim, "s1", DONE, 0.6) == "continue"


async def test_every_20th_claim_looks_for_room_too(bench: Bench) -> None:
    await needing(bench, "memory=9000")
    news = [await needing(bench, "") for _ in range(25)]
    taken = [await claimed(bench, ROOM) for _ in range(25)]
    assert taken == [new.id for new in news]


@pytest.mark.parametrize("needs", ["memory", "memory=x", "=3", "memory=1,", "Memory=1", "m=-1"])
def test_needs_are_names_and_amounts(needs: str) -> None:
    with pytest.raises(Invalid):
        new_job(steps=(StepStatus(name="s0", pool="media", needs=needs),))
