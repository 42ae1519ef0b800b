"""A job that is split waits for its parts, counts them, and goes on once."""

from __future__ import annotations

from typing import Any

import pytest

from shared.errors import Invalid
from shared.tenancy import tenant_id
from shared.work.ledger import MOST_PARTS, Claim, NewJob
from tests.integration.work.bench import ACME, BROKEN, DONE, Bench, new_job


def parts(number: int, **fields: Any) -> list[NewJob]:
    return [new_job("part", id=f"p{each}", **fields) for each in range(number)]


async def split(bench: Bench, number: int = 3) -> tuple[NewJob, Claim]:
    new = await bench.submit("media", "media")
    claim = await bench.claim()
    assert await bench.ledger.advance(claim, "s0", DONE, 0.5, parts(number)) == "handed"
    return new, claim


async def end(bench: Bench, how: str = "succeeded") -> None:
    claim = await bench.claim("part")
    if how == "succeeded":
        await bench.ledger.advance(claim, "s0", DONE, 1)
    elif how == "failed":
        await bench.ledger.fail(claim, BROKEN, None)
    else:
        await bench.ledger.cancel(tenant_id(claim.job.tenant), claim.job.id, "")
        await bench.ledger.stopped(claim)


async def test_a_split_job_waits_for_the_last_of_its_parts(bench: Bench) -> None:
    new, _ = await split(bench)
    assert (await bench.job(new)).state == "blocked"
    for left in (2, 1):
        await end(bench)
        job = await bench.job(new)
        assert (job.state, job.message) == ("blocked", f"{3 - left} of 3 parts have ended")
        assert await bench.nothing()
    await end(bench)
    claim = await bench.claim()
    assert (claim.job.id, claim.job.step) == (new.id, "s1")
    assert await bench.ledger.advance(claim, "s1", DONE, 1) == "succeeded"


async def test_one_bad_part_does_not_end_the_rest(bench: Bench) -> None:
    new, _ = await split(bench)
    for how in ("failed", "cancelled", "succeeded"):
        await end(bench, how)
    job = (await bench.claim()).job
    assert (job.id, job.parts) == (new.id, 3)
    assert (job.parts_failed, job.parts_cancelled, job.parts_succeeded) == (1, 1, 1)


async def test_parts_are_found_in_their_order(bench: Bench) -> None:
    new, _ = await split(bench)
    found = await bench.jobs.children(ACME, new.id)
    assert [part.id for part in found] == ["p0", "p1", "p2"]
    assert {part.parent for part in found} == {f"rw:t:acme:job:{new.id}"}


async def test_splitting_again_after_a_lost_reply_makes_no_second_parts(bench: Bench) -> None:
    new, claim = await split(bench)
    before = await bench.dump()
    with pytest.raises(Exception, match="no longer holds"):
        await bench.ledger.advance(claim, "s0", DONE, 0.5, parts(3))
    assert await bench.dump() == before
    assert len(await bench.jobs.children(ACME, new.id)) == 3


async def test_a_part_that_has_ended_already_is_not_waited_for(bench: Bench) -> None:
    await bench.ledger.submit(parts(1)[0])
    await end(bench)
    new = await bench.submit("media", "media")
    answer = await bench.ledger.advance(await bench.claim(), "s0", DONE, 0.5, parts(1))
    assert answer == "continue"
    assert (await bench.job(new)).parts_succeeded == 1


async def test_cancelling_a_split_job_cancels_its_parts(bench: Bench) -> None:
    new, _ = await split(bench)
    running = await bench.claim("part")
    assert await bench.ledger.cancel(ACME, new.id, "enough") == "cancelled"
    states = [part.state for part in await bench.jobs.children(ACME, new.id)]
    assert sorted(states) == ["cancelled", "cancelled", "cancelling"]
    assert await bench.ledger.stopped(running) == "cancelled"
    assert (await bench.job(new)).state == "cancelled"


async def test_a_paused_split_job_goes_on_where_its_parts_are(bench: Bench) -> None:
    new, _ = await split(bench, 2)
    await bench.ledger.pause(ACME, new.id)
    await end(bench)
    assert await bench.ledger.resume(ACME, new.id) == "blocked"
    await bench.ledger.pause(ACME, new.id)
    await end(bench)
    assert await bench.ledger.resume(ACME, new.id) == "ready"
    assert (await bench.claim()).job.id == new.id


async def test_a_part_that_is_retried_later_does_not_count_twice(bench: Bench) -> None:
    new, _ = await split(bench, 2)
    claim = await bench.claim("part")
    await bench.ledger.fail(claim, BROKEN, None)
    await bench.ledger.retry(ACME, claim.job.id)
    await end(bench)
    await end(bench)
    job = (await bench.claim()).job
    assert (job.id, job.parts_failed, job.parts_succeeded) == (new.id, 1, 1)


async def test_a_job_has_only_so_many_parts(bench: Bench) -> None:
    await bench.submit("media", "media")
    claim = await bench.claim()
    with pytest.raises(Invalid):
        await bench.ledger.advance(claim, "s0", DONE, 0.5, parts(MOST_PARTS + 1))


async def test_as_many_parts_as_may_be_are_made_at_once(bench: Bench) -> None:
    new, _ = await split(bench, MOST_PARTS)
    assert (await bench.job(new)).parts == MOST_PARTS
