"""The jobs service: submitting, stopping, retrying for others, and reaping."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from services.jobs.flows import FLOWS
from services.jobs.handlers import JobHandlers
from services.jobs.reaper import reap_forever
from shared.blobs.store import open_blobs
from shared.bus.router import Context
from shared.contracts.jobs import CancelJob, JobStatus, RetryJob, StopJob, SubmitJob
from shared.contracts.records import Tenant, Tier
from shared.errors import Conflict, Invalid, NotFound, Unavailable
from shared.store.keys import tenant_key
from shared.store.records import Change, Records
from shared.store.redis import Store
from shared.work.governor import Governor
from shared.work.ledger import Ledger, Reaped
from tests.integration.work.bench import ACME, OTHER, Bench
from tests.integration.work.shop import Shop
from tests.support.bus import until

CONTEXT = Context(tenant=ACME, message_id="m1", correlation="c1")
SUBMIT = SubmitJob(job_id="j1", flow="process_video", subject="v1", params={"none": []})


@pytest.fixture
def handlers(bench: Bench) -> JobHandlers:
    return JobHandlers(
        ledger=bench.ledger,
        governor=Governor(bench.store),
        jobs=bench.jobs,
        records=Records(bench.store, "jobs"),
        blobs=open_blobs("memory:"),
    )


async def test_a_job_submitted_again_is_one_job(bench: Bench, handlers: JobHandlers) -> None:
    await handlers.submit(SUBMIT, CONTEXT)
    before = await bench.dump()
    await handlers.submit(SUBMIT, CONTEXT)
    assert await bench.dump() == before
    claim = await bench.claim("drive")
    assert (claim.job.id, claim.job.params, claim.correlation) == ("j1", {"none": []}, "c1")
    assert [step.name for step in claim.job.steps] == [step.name for step in FLOWS["process_video"]]


@pytest.mark.parametrize(
    ("tier", "given", "base"),
    [
        ("free", None, 50),
        ("premium", None, 70),
        ("enterprise", None, 90),
        ("free", 85, 85),
        ("enterprise", 0, 0),
        ("free", 1000, 90),
        ("free", -5, 0),
    ],
)
async def test_the_base_is_the_tiers_unless_given(
    bench: Bench, handlers: JobHandlers, tier: Tier, given: int | None, base: int
) -> None:
    tenant = Tenant(id="acme", tier=tier, created_at=1)
    await handlers.records.commit(Change("acme").put(tenant_key(ACME), tenant))
    submit = SubmitJob(job_id="j1", flow="caption_video", subject="v1", base=given)
    await handlers.submit(submit, CONTEXT)
    assert (await bench.claim()).job.base == base


async def test_a_flow_nobody_knows_is_refused(handlers: JobHandlers) -> None:
    with pytest.raises(Invalid):
        await handlers.submit(SubmitJob(job_id="j1", flow="dance", subject="v1"), CONTEXT)


async def test_stopping_is_fine_whatever_there_is_to_stop(
    bench: Bench, handlers: JobHandlers
) -> None:
    await handlers.stop(StopJob(job_id="j1"), CONTEXT)
    await handlers.submit(SUBMIT, CONTEXT)
    for _ in range(2):
        await handlers.stop(StopJob(job_id="j1", reason="gone"), CONTEXT)
    job = await bench.jobs.get(ACME, "j1")
    assert job is not None
    assert (job.state, job.cancel_reason) == ("cancelled", "gone")


async def test_a_person_hears_what_became_of_it(bench: Bench, handlers: JobHandlers) -> None:
    with pytest.raises(NotFound):
        await handlers.cancel(CancelJob(job_id="j1"), CONTEXT)
    await handlers.submit(SUBMIT, CONTEXT)
    with pytest.raises(Conflict):
        await handlers.retry(RetryJob(job_id="j1"), CONTEXT)
    cancelled = JobStatus(job_id="j1", state="cancelled")
    assert await handlers.cancel(CancelJob(job_id="j1"), CONTEXT) == cancelled
    with pytest.raises(Conflict):
        await handlers.cancel(CancelJob(job_id="j1"), CONTEXT)
    ready = JobStatus(job_id="j1", state="ready", step="store")
    assert await handlers.retry(RetryJob(job_id="j1"), CONTEXT) == ready


async def test_one_tenant_cannot_touch_the_job_of_another(
    bench: Bench, handlers: JobHandlers
) -> None:
    await handlers.submit(SUBMIT, CONTEXT)
    foreign = Context(tenant=OTHER, message_id="m2", correlation="c2")
    with pytest.raises(NotFound):
        await handlers.cancel(CancelJob(job_id="j1"), foreign)
    assert await bench.jobs.get(OTHER, "j1") is None
    assert await bench.jobs.page(OTHER, "", 10) == []
    await handlers.submit(SUBMIT, foreign)
    await handlers.stop(StopJob(job_id="j1"), foreign)
    mine = await bench.jobs.get(ACME, "j1")
    assert mine is not None
    assert mine.state == "ready"


async def test_a_host_full_of_workers_is_reaped_in_one_go(bench: Bench) -> None:
    claims = []
    for _ in range(250):
        await bench.submit()
        claims.append(await bench.claim())
    for claim in claims:
        await bench.lapse(claim)
    reaping = asyncio.create_task(reap_forever(bench.ledger, every=30))
    try:
        await until(lambda: _is_empty(bench, "rw:jobs:leases"), 20)
    finally:
        reaping.cancel()


async def _is_empty(bench: Bench, key: str) -> bool:
    return not await bench.store.commands.exists(key)


class Away(Ledger):
    """A ledger that is away for the first two looks."""

    looks = 0

    async def reap(self, limit: int = 100) -> Reaped:
        self.looks += 1
        if self.looks < 3:
            raise Unavailable("not now")
        return await super().reap(limit)


async def test_a_reaper_waits_out_an_outage(store: Store, tmp_path: Path) -> None:
    bench = Bench(store)
    new = await bench.submit()
    await bench.lapse(await bench.claim())
    ledger = Away(store)
    reaping = asyncio.create_task(reap_forever(ledger, every=0.01))
    await Shop(bench, tmp_path).until(new, "ready")
    reaping.cancel()
    with suppress(asyncio.CancelledError):
        await reaping


async def test_what_is_kept_for_a_while_only_expires(bench: Bench) -> None:
    for _ in range(3):
        new = await bench.submit("media")
        await bench.claim(request=new.id)
        await bench.ledger.cancel(ACME, new.id, "")
    keys = [key async for key in bench.store.commands.scan_iter("rw:jobs:claim:*")]
    assert len(keys) == 3
    for key in keys:
        assert 0 < await bench.store.commands.ttl(key) <= 60


async def test_the_events_of_a_job_that_never_ends_are_bounded(bench: Bench) -> None:
    new = await bench.submit()
    claim = await bench.claim()
    for number in range(1500):
        await bench.ledger.progress(claim, number / 1500, "")
    events = await bench.events(new)
    assert len(events) < 700
    assert events[-1].seq == (await bench.job(new)).seq
