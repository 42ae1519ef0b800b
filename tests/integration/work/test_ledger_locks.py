"""One attempt at a time per video, and nobody waits in vain."""

from __future__ import annotations

from shared.tenancy import record_key
from shared.work.ledger import NewJob
from tests.integration.work.bench import ACME, BROKEN, DONE, OTHER, Bench


async def of_video(bench: Bench, video: str = "v1", **fields: object) -> NewJob:
    return await bench.submit("media", subject=video, lock=None, **fields)


async def state(bench: Bench, new: NewJob) -> str:
    return (await bench.job(new)).state


async def test_a_second_job_of_a_video_waits_beside_the_line(bench: Bench) -> None:
    first, second = await of_video(bench), await of_video(bench)
    third = await of_video(bench, "v2")
    assert (await bench.claim()).job.id == first.id
    assert (await bench.claim()).job.id == third.id
    assert await state(bench, second) == "blocked"
    assert await bench.nothing()


async def test_whoever_frees_the_video_lets_the_next_one_in(bench: Bench) -> None:
    await of_video(bench)
    second = await of_video(bench)
    claim = await bench.claim()
    assert await bench.nothing()
    await bench.ledger.advance(claim, "s0", DONE, 1)
    taken = await bench.claim()
    assert taken.job.id == second.id
    assert (taken.job.snoozes, taken.job.attempt) == (0, 0)


async def test_the_most_urgent_of_those_who_wait_is_next(bench: Bench) -> None:
    await of_video(bench, base=90)
    low, urgent = await of_video(bench, base=0), await of_video(bench, base=70)
    claim = await bench.claim()
    assert await bench.nothing()
    await bench.ledger.fail(claim, BROKEN, None)
    assert await state(bench, urgent) == "ready"
    assert await state(bench, low) == "blocked"


async def test_a_lost_worker_frees_the_video_with_its_lease(bench: Bench) -> None:
    first = await of_video(bench)
    second = await of_video(bench)
    claim = await bench.claim()
    assert await bench.nothing()
    await bench.lapse(claim)
    await bench.ledger.reap()
    assert {await state(bench, first), await state(bench, second)} == {"ready"}
    assert (await bench.claim()).job.id == first.id


async def test_the_same_video_of_another_tenant_is_another_video(bench: Bench) -> None:
    await of_video(bench, tenant=ACME)
    await of_video(bench, tenant=OTHER)
    await bench.claim()
    await bench.claim()


async def test_a_job_without_a_lock_waits_for_nobody(bench: Bench) -> None:
    await of_video(bench)
    await bench.submit("media", subject="v1", lock="")
    await bench.claim()
    await bench.claim()


async def test_a_job_that_waits_for_a_video_can_be_cancelled_and_paused(bench: Bench) -> None:
    await of_video(bench)
    gone, resting = await of_video(bench), await of_video(bench)
    claim = await bench.claim()
    assert await bench.nothing()
    assert await bench.ledger.cancel(ACME, gone.id, "") == "cancelled"
    assert await bench.ledger.pause(ACME, resting.id) == "paused"
    await bench.ledger.advance(claim, "s0", DONE, 1)
    assert await bench.nothing()
    assert await bench.ledger.resume(ACME, resting.id) == "ready"
    assert (await bench.claim()).job.id == resting.id


async def test_a_lock_whose_job_is_gone_binds_nobody(bench: Bench) -> None:
    new = await of_video(bench)
    await bench.store.commands.set(record_key(ACME, "lock", "v1"), "rw:nowhere 1")
    assert (await bench.claim()).job.id == new.id


async def test_while_a_job_is_handed_on_another_may_take_the_video(bench: Bench) -> None:
    first = await bench.submit("drive", "media", subject="v1", lock=None)
    claim = await bench.claim("drive")
    await bench.ledger.advance(claim, "s0", DONE, 0.5)
    urgent = await of_video(bench, base=90)
    assert (await bench.claim()).job.id == urgent.id
    assert await bench.nothing()
    assert await state(bench, first) == "blocked"
