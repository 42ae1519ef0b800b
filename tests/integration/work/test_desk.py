"""The desk for failed jobs: filtered, retried and given up in bulk, nothing by accident."""

from __future__ import annotations

from typing import Any

import pytest

from services.jobs.desk import Desk
from shared.contracts.jobs import ClearDead, DeadFilter
from shared.contracts.records import JobError
from shared.ids import new_id
from shared.work.ledger import NewJob
from tests.integration.work.bench import ACME, OTHER, Bench

CUT = JobError(code="broken", error_class="transient", detail="it broke", step="cut")
SEWN = JobError(code="torn", error_class="bug", detail="it tore", step="sew")


@pytest.fixture
def desk(bench: Bench) -> Desk:
    return Desk(bench.ledger, bench.jobs)


async def failed(bench: Bench, error: JobError = CUT, **fields: Any) -> NewJob:
    new = await bench.submit("media", **fields)
    await bench.ledger.fail(await bench.claim(), error, None)
    return new


@pytest.mark.parametrize("action", ["retry", "discard"])
async def test_a_dry_run_names_what_matches_and_changes_nothing(
    bench: Bench, desk: Desk, action: Any
) -> None:
    first, second = await failed(bench), await failed(bench)
    before = await bench.dump()
    report = await desk.clear(ACME, ClearDead(action=action, dry_run=True))
    assert await bench.dump() == before
    assert [(item.job_id, item.outcome) for item in report.items] == [
        (second.id, "matched"),
        (first.id, "matched"),
    ]
    assert (report.matched, report.more) == (2, False)


@pytest.mark.parametrize(
    "which",
    [
        DeadFilter(code="torn"),
        DeadFilter(step="sew"),
        DeadFilter(error_class="bug"),
        DeadFilter(flow="caption_video"),
        DeadFilter(subject="v2"),
        DeadFilter(flow="caption_video", code="torn"),
    ],
)
async def test_only_what_matches_is_retried(bench: Bench, desk: Desk, which: DeadFilter) -> None:
    other = await failed(bench)
    meant = await failed(bench, SEWN, flow="caption_video", subject="v2")
    report = await desk.clear(ACME, ClearDead(action="retry", which=which))
    assert [(item.job_id, item.outcome) for item in report.items] == [(meant.id, "retried")]
    assert (await bench.job(meant)).state == "ready"
    assert (await bench.job(other)).state == "failed"


async def test_the_time_of_the_end_is_a_filter(bench: Bench, desk: Desk) -> None:
    first, second = await failed(bench), await failed(bench)
    await bench.set(first, "finished_at", 1000)
    await bench.set(second, "finished_at", 2000)
    for which, ids in (
        (DeadFilter(before=2000), [first.id]),
        (DeadFilter(after=1001), [second.id]),
        (DeadFilter(after=1000, before=2001), [second.id, first.id]),
    ):
        report = await desk.clear(ACME, ClearDead(action="discard", which=which, dry_run=True))
        assert [item.job_id for item in report.items] == ids


async def test_named_jobs_are_found_without_a_search_and_others_are_missing(
    bench: Bench, desk: Desk
) -> None:
    theirs = await failed(bench, tenant=OTHER)
    given_up, mine, alive = await failed(bench), await failed(bench), await bench.submit("media")
    await bench.ledger.discard(ACME, given_up.id)
    unknown = new_id()
    ids = (mine.id, alive.id, theirs.id, given_up.id, unknown, mine.id)
    report = await desk.clear(ACME, ClearDead(action="discard", which=DeadFilter(ids=ids)))
    assert {item.job_id: item.outcome for item in report.items} == {
        mine.id: "discarded",
        alive.id: "missing",
        theirs.id: "missing",
        given_up.id: "missing",
        unknown: "missing",
    }
    assert report.matched == 1
    assert (await bench.job(theirs)).discarded_at == 0


async def test_a_limit_leaves_the_rest_and_says_where_to_go_on(bench: Bench, desk: Desk) -> None:
    news = [await failed(bench) for _ in range(5)]
    report = await desk.clear(ACME, ClearDead(action="discard", limit=2))
    assert [item.job_id for item in report.items] == [news[4].id, news[3].id]
    assert (report.more, report.next) == (True, news[3].id)
    rest = await desk.clear(ACME, ClearDead(action="discard", cursor=report.next))
    assert [item.job_id for item in rest.items] == [news[2].id, news[1].id, news[0].id]
    assert (rest.more, rest.next) == (False, "")


async def test_a_rare_match_takes_several_goes_and_not_a_long_one(
    bench: Bench,
) -> None:
    meant = await failed(bench, SEWN)
    for _ in range(4):
        await failed(bench)
    desk = Desk(bench.ledger, bench.jobs, most=3)
    rare = DeadFilter(code="torn")
    first = await desk.clear(ACME, ClearDead(action="retry", which=rare))
    assert (first.matched, first.more) == (0, True)
    second = await desk.clear(ACME, ClearDead(action="retry", which=rare, cursor=first.next))
    assert [item.job_id for item in second.items] == [meant.id]
