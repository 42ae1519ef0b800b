"""The stream of all jobs of a tenant, and the list of those that have not ended, as read."""

from __future__ import annotations

import pytest

from shared.ids import new_id
from shared.work.jobs import job_key
from shared.work.ledger import Claim, NewJob
from shared.work.tenant_events import TenantEvents
from tests.integration.work.bench import ACME, BROKEN, DONE, OTHER, Bench


@pytest.fixture
def events(bench: Bench) -> TenantEvents:
    return TenantEvents(bench.store)


async def ended(bench: Bench, new: NewJob) -> Claim:
    """Both steps of a job, with progress in between."""
    claim = await bench.claim()
    assert claim.job.id == new.id
    for step in ("s0", "s1"):
        await bench.ledger.progress(claim, 0.4, "so far")
        await bench.ledger.advance(claim, step, DONE, 0.5)
    return claim


async def test_states_of_all_jobs_of_a_tenant_are_numbered_without_gaps(
    bench: Bench, events: TenantEvents
) -> None:
    one, _ = await bench.submit(), await bench.submit(tenant=OTHER)
    await ended(bench, one)
    two = await bench.submit()
    found = await events.after(ACME, 0, 100)
    assert [each.seq for each in found] == list(range(1, len(found) + 1))
    assert {each.job for each in found} == {one.id, two.id}
    assert "progress" not in {each.type for each in found}
    assert [each.type for each in found if each.job == one.id][-1] == "end"
    assert await events.latest(ACME) == found[-1].seq
    assert await events.after(ACME, 3, 2) == found[3:5]
    assert len(await events.after(OTHER, 0, 100)) == 1


async def test_an_entry_tells_where_it_stands_among_the_events_of_its_job(
    bench: Bench, events: TenantEvents
) -> None:
    new = await bench.submit()
    await ended(bench, new)
    own = [each for each in await bench.events(new) if each.type != "progress"]
    found = await events.after(ACME, 0, 100)
    assert [(e.at, e.type, e.data) for e in found] == [
        ((e.epoch, e.seq), e.type, e.data) for e in own
    ]
    assert {(each.flow, each.subject) for each in found} == {("process_video", "v1")}


async def test_another_epoch_is_told_apart(bench: Bench, events: TenantEvents) -> None:
    new = await bench.submit()
    await bench.ledger.fail(await bench.claim(), BROKEN, None)
    await bench.ledger.retry(ACME, new.id)
    last = (await events.after(ACME, 0, 100))[-1]
    job = await bench.job(new)
    assert last.at == (job.epoch, job.seq) == (2, job.seq)


async def test_the_unfinished_are_those_that_have_not_ended_as_of_one_event(
    bench: Bench, events: TenantEvents
) -> None:
    done = await bench.submit()
    await ended(bench, done)
    held, waits = await bench.submit(), await bench.submit()
    await bench.submit("drive", tenant=OTHER)
    claim = await bench.claim()
    await bench.ledger.progress(claim, 0.25, "a quarter")
    found = await events.unfinished(ACME, 10)
    assert not found.more
    assert found.seq == await events.latest(ACME)
    assert [each["job"] for each in found.jobs] == [held.id, waits.id]
    record, last = await bench.job(held), (await bench.events(held))[-1]
    assert found.jobs[0] == {
        **last.data,
        "job": held.id,
        "video": "v1",
        "flow": "process_video",
        "epoch": record.epoch,
        "seq": record.seq,
    }


async def test_what_is_in_hand_comes_first_and_the_rest_is_cut(
    bench: Bench, events: TenantEvents
) -> None:
    news = [await bench.submit() for _ in range(12)]
    claims = [await bench.claim() for _ in range(2)]
    found = await events.unfinished(ACME, 5)
    names = [each["job"] for each in found.jobs]
    assert set(names[:2]) == {claim.job.id for claim in claims} == {news[0].id, news[1].id}
    assert names[2:] == [new.id for new in reversed(news[-3:])]
    assert found.more
    everything = await events.unfinished(ACME, 12)
    assert (len(everything.jobs), everything.more) == (12, False)


async def test_old_jobs_behind_many_ended_ones_are_looked_for_only_so_far(
    bench: Bench, events: TenantEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await bench.submit("other")
    for _ in range(6):
        await bench.ledger.fail(await _fresh(bench), BROKEN, None)
    monkeypatch.setattr("shared.work.tenant_events.FARTHEST", 5)
    found = await events.unfinished(ACME, 10)
    assert (found.jobs, found.more) == ((), True)
    monkeypatch.setattr("shared.work.tenant_events.FARTHEST", 7)
    found = await events.unfinished(ACME, 10)
    assert ([each["job"] for each in found.jobs], found.more) == ([first.id], False)


async def _fresh(bench: Bench) -> Claim:
    await bench.submit()
    return await bench.claim()


async def test_named_jobs_are_looked_at_wherever_they_are_and_only_ones_own(
    bench: Bench, events: TenantEvents
) -> None:
    mine, other = await bench.submit(), await bench.submit(tenant=OTHER)
    over = await bench.submit("drive")
    await bench.ledger.fail(await bench.claim("drive"), BROKEN, None)
    for _ in range(5):
        await bench.submit()
    only = [mine.id, other.id, over.id, new_id(), mine.id]
    found = await events.unfinished(ACME, 3, only)
    assert ([each["job"] for each in found.jobs], found.more) == ([mine.id], False)


async def test_why_a_job_is_tried_again_is_in_the_list(bench: Bench, events: TenantEvents) -> None:
    new = await bench.submit()
    await bench.ledger.fail(await bench.claim(), BROKEN, 60)
    (shown,) = (await events.unfinished(ACME, 10)).jobs
    last = (await bench.events(new))[-1]
    assert (shown["state"], shown["error"]) == ("retrying", last.data["error"])
    assert await bench.store.commands.hget(job_key(ACME, new.id), "state") == b"retrying"


async def test_a_tenant_without_jobs_has_nothing(events: TenantEvents) -> None:
    found = await events.unfinished(ACME, 10)
    assert (found.seq, found.more, found.jobs) == (0, False, ())
    assert await events.latest(ACME) == 0
    assert await events.after(ACME, 0, 10) == []
