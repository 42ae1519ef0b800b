"""Ten videos of three tiers at once: served in the order that the law says, seen from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.records import Tier
from shared.store.redis import open_redis
from shared.tenancy import tenant_id
from shared.work.governor import Governor
from shared.work.jobs import Jobs, Span, job_key
from shared.work.ledger import Ledger
from shared.work.priority import Boost, Head, Turns, choose
from tests.support import media
from tests.support.client import Client, client_of
from tests.support.stack import PATIENT, Stack, embedded

HOUR = 3_600_000
POOL = "drive"
TIERS: Mapping[str, Tier] = {"fay": "free", "pia": "premium", "eva": "enterprise", "flo": "free"}
UPLOADS = (  # by whom, and how many hours it has waited
    ("fay", 0),
    ("fay", 25),
    ("fay", 3),
    ("pia", 0),
    ("pia", 21),
    ("eva", 0),
    ("eva", 1),
    ("flo", 0),
    ("flo", 26),
    ("flo", 3),
)


@dataclass
class Claimed:
    """One attempt, from its claim to its end; the job was in line since ``lined``."""

    tenant: str
    job_id: str
    base: int
    needs: str
    since: int
    lined: int
    at: int
    until: int


@dataclass
class Replay:
    """The pool as it was at each claim, by the definition of the order."""

    claims: list[Claimed]
    turns: Turns = field(default_factory=Turns)

    def check(self) -> None:
        for served, claim in enumerate(self.claims):
            heads: dict[tuple[str, int, str], Claimed] = {}
            for other in self.claims[served:]:
                line = (other.tenant, other.base, other.needs)
                is_there = other.lined <= claim.at
                if is_there and (line not in heads or other.since < heads[line].since):
                    heads[line] = other
            due = choose([_head(each) for each in heads.values()], self.turns, claim.at, served)
            assert due
            assert (due.tenant, due.since) == (claim.tenant, claim.since), served
            self.turns.charge(claim.tenant)


def _head(claimed: Claimed) -> Head:
    line = f"{claimed.base}:{Boost()}:{claimed.needs}"
    return Head(tenant=claimed.tenant, base=claimed.base, since=claimed.since, line=line)


@pytest.fixture
def still(tmp_path: Path) -> Path:
    path = tmp_path / "still.mp4"
    media.without_captions(path)
    return path


async def test_ten_flows_of_mixed_tiers_are_served_in_the_order_of_the_law(
    tmp_path: Path, still: Path
) -> None:
    with embedded(tmp_path, **PATIENT) as stack:
        keys = {name: stack.new_tenant(name, tier=tier) for name, tier in TIERS.items()}
        async with AsyncExitStack() as opened:
            store = await opened.enter_async_context(open_redis(stack.store_url))
            governor, ledger, jobs = Governor(store), Ledger(store), Jobs(store)
            for pool in (POOL, "media"):  # the rest of the flow is of no interest here
                await governor.set_pool(pool, limit=1, paused=True)
            uploaded = [
                (name, await _upload(stack, keys[name], still), hours) for name, hours in UPLOADS
            ]
            for name, job_id, hours in uploaded:
                tenant = tenant_id(name)
                await _in_line(jobs, name, job_id, POOL)
                await ledger.pause(tenant, job_id)
                # Away from the whole hour, so that the test's own seconds make no difference.
                waited = hours * HOUR + 10 * 60_000
                await store.commands.hset(job_key(tenant, job_id), "waited", str(waited))
                await ledger.resume(tenant, job_id)
            await governor.set_pool(POOL, limit=None, paused=False)
            for name, job_id, _ in uploaded:
                async with client_of(stack.url, keys[name]) as client:
                    await client.until(f"/v1/jobs/{job_id}", _is_stored)
                    await client.call("POST", f"/v1/jobs/{job_id}/cancel")
            claims = [
                claim for name, job_id, _ in uploaded for claim in await _claims(jobs, name, job_id)
            ]
    claims.sort(key=lambda claim: claim.at)
    assert len(claims) == len(UPLOADS)
    Replay(claims).check()


async def _upload(stack: Stack, key: str, clip: Path) -> str:
    async with client_of(stack.url, key) as client:
        job: str = (await client.upload(clip))["job"]["id"]
        return job


def _is_stored(job: Any) -> bool:
    return any(step["name"] == "store" and step["state"] == "done" for step in job["steps"])


async def _in_line(jobs: Jobs, tenant: str, job_id: str, pool: str) -> None:
    async with asyncio.timeout(30):
        while True:
            job = await jobs.get(tenant_id(tenant), job_id)
            if job and (job.state, job.pool) == ("ready", pool):
                return
            await asyncio.sleep(0.05)


async def _claims(jobs: Jobs, name: str, job_id: str) -> list[Claimed]:
    """The attempts of a job in the pool, from its timeline."""
    tenant = tenant_id(name)
    job = await jobs.get(tenant, job_id)
    assert job
    needs = {step.name: step.needs for step in job.steps}
    attempts: dict[int, list[Span]] = {}
    for span in await jobs.timeline(tenant, job_id):
        attempts.setdefault(span.fence, []).append(span)
    return [
        Claimed(
            tenant=name,
            job_id=job_id,
            base=job.base,
            needs=needs[spans[0].step],
            since=job.waiting_since,
            lined=spans[0].started_at - spans[0].waited_ms,
            at=spans[0].started_at,
            until=spans[-1].ended_at,
        )
        for spans in attempts.values()
        if spans[0].pool == POOL
    ]


async def test_a_person_sees_and_changes_the_order(tmp_path: Path, still: Path) -> None:
    with embedded(tmp_path, **PATIENT) as stack:
        async with AsyncExitStack() as opened:
            store = await opened.enter_async_context(open_redis(stack.store_url))
            client = await opened.enter_async_context(client_of(stack.url, stack.key))
            await Governor(store).set_pool("media", limit=None, paused=True)
            first, second = [(await client.upload(still))["job"]["id"] for _ in range(2)]
            for job_id in (first, second):
                await _in_line(Jobs(store), "default", job_id, "media")
            assert await _ahead(client, second) == 1
            await Ledger(store).prioritize(tenant_id("default"), first, 10)
            assert (await _ahead(client, first), await _ahead(client, second)) == (1, 0)


async def _ahead(client: Client, job_id: str) -> Any:
    return (await client.get(f"/v1/jobs/{job_id}/priority"))["ahead"]
