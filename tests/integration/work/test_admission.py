"""Whether more is taken on: by the limits that are set, and places that are given back."""

from __future__ import annotations

import pytest

from services.jobs.handlers import JobHandlers
from services.jobs.priority import SHARES
from services.jobs.settings import Settings, shares_of
from shared.blobs.store import open_blobs
from shared.bus.router import Context
from shared.contracts.jobs import AdmitJob, ExplainJob, GovernTenant, SubmitJob
from shared.contracts.records import Tenant
from shared.errors import Invalid
from shared.store.keys import tenant_key
from shared.store.records import Change, Records
from shared.work.governor import Governor
from tests.integration.work.bench import ACME, Bench

CONTEXT = Context(tenant=ACME, message_id="m1", correlation="c1")
HOUR = 3_600_000


@pytest.fixture
def handlers(bench: Bench) -> JobHandlers:
    return JobHandlers(
        ledger=bench.ledger,
        governor=Governor(bench.store),
        jobs=bench.jobs,
        records=Records(bench.store, "jobs"),
        blobs=open_blobs("memory:"),
        shares=shares_of(Settings(queued_free=2, running_free=1, queued_premium=3)),
    )


def ask(job_id: str, *, give_back: bool = False) -> AdmitJob:
    return AdmitJob(job_id=job_id, flow="process_video", give_back=give_back)


def submit(job_id: str) -> SubmitJob:
    return SubmitJob(job_id=job_id, flow="process_video", subject=f"v-{job_id}")


def test_without_settings_every_tier_gets_its_share() -> None:
    assert shares_of(Settings()) == SHARES


async def test_no_more_places_are_kept_than_are_set(handlers: JobHandlers) -> None:
    await handlers.submit(submit("a"), CONTEXT)
    assert (await handlers.admit(ask("b"), CONTEXT)).admitted
    refused = await handlers.admit(ask("c"), CONTEXT)
    assert (refused.admitted, refused.queued, refused.most) == (False, 2, 2)
    assert (refused.reason, refused.retry_after >= 5) == ("queue_full", True)


async def test_a_place_that_is_given_back_is_another_ones(handlers: JobHandlers) -> None:
    for job_id in ("a", "b"):
        assert (await handlers.admit(ask(job_id), CONTEXT)).admitted
    assert not (await handlers.admit(ask("c"), CONTEXT)).admitted
    for _ in range(2):
        assert not (await handlers.admit(ask("a", give_back=True), CONTEXT)).admitted
    assert (await handlers.admit(ask("c"), CONTEXT)).admitted


async def test_another_tier_has_another_limit(handlers: JobHandlers) -> None:
    tenant = Tenant(id="acme", tier="premium", created_at=1)
    await handlers.records.commit(Change("acme").put(tenant_key(ACME), tenant))
    for job_id in ("a", "b", "c"):
        assert (await handlers.admit(ask(job_id), CONTEXT)).admitted
    assert (await handlers.admit(ask("d"), CONTEXT)).most == 3


async def test_as_many_run_as_are_set(bench: Bench, handlers: JobHandlers) -> None:
    for job_id in ("a", "b"):
        await handlers.submit(submit(job_id), CONTEXT)
    await bench.claim("drive")
    assert await bench.nothing("drive")
    rules = await handlers.govern_tenant(GovernTenant(), CONTEXT)
    assert (rules.running_limit, rules.queued_limit) == (1, 2)


async def test_a_place_in_a_flow_nobody_knows_is_refused(handlers: JobHandlers) -> None:
    with pytest.raises(Invalid):
        await handlers.admit(AdmitJob(job_id="a", flow="dance"), CONTEXT)


async def test_what_has_ended_keeps_the_priority_that_it_had_then(
    bench: Bench, handlers: JobHandlers
) -> None:
    new = await bench.submit("media")
    await bench.ledger.cancel(ACME, new.id, "")
    ended = await bench.now() - 5 * HOUR
    await bench.set(new, "finished_at", ended)
    await bench.set(new, "waiting_since", ended - 2 * HOUR)
    explanation = await handlers.explain(ExplainJob(job_id=new.id), CONTEXT)
    assert (explanation.boost, explanation.effective) == (2, 52)
