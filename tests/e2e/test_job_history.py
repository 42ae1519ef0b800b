"""Checkpoints, parts and long lists over HTTP, of jobs that the test itself works on."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio

from shared.blobs import locations
from shared.blobs.store import Blobs, open_blobs
from shared.contracts.records import StepOutput, StepStatus
from shared.ids import new_id
from shared.store.redis import open_redis
from shared.tenancy import TenantId, tenant_id
from shared.work.checkpoint import Checkpoint
from shared.work.context import StepContext
from shared.work.jobs import job_key
from shared.work.ledger import Claim, Ledger, NewJob
from tests.support.client import Client, client_of
from tests.support.stack import Stack
from tests.support.tenants import new_key

DONE = StepOutput(result={})


@dataclass(frozen=True)
class Hand:
    """Works by hand on jobs of a tenant, in a pool that no worker of the stack serves."""

    ledger: Ledger
    blobs: Blobs
    tenant: TenantId
    client: Client
    store: Any
    pool: str

    async def submit(self, *steps: str, flow: str = "by_hand") -> NewJob:
        """A new job with these steps."""
        new = self.new(*(steps or ("one",)), flow=flow)
        assert await self.ledger.submit(new)
        return new

    def new(self, *steps: str, flow: str = "by_hand") -> NewJob:
        return NewJob(
            id=new_id(),
            tenant=self.tenant,
            flow=flow,
            subject=new_id(),
            base=50,
            steps=tuple(StepStatus(name=name, pool=self.pool) for name in steps),
        )

    async def claim(self) -> Claim:
        claim = await self.ledger.claim(self.pool, "the test", new_id())
        assert claim is not None
        return claim

    def context(self, claim: Claim, folder: Path) -> StepContext:
        return StepContext(
            claim=claim,
            step=claim.job.step,
            outputs={},
            ledger=self.ledger,
            blobs=self.blobs,
            folder=folder,
        )


@pytest_asyncio.fixture
async def hand(stack: Stack) -> AsyncIterator[Hand]:
    name = f"hand-{uuid.uuid4().hex[:8]}"
    key = await new_key(stack, name)
    async with client_of(stack.url, key) as client, open_redis(stack.store_url) as store:
        yield Hand(
            ledger=Ledger(store, lease_ms=60_000),
            blobs=open_blobs(stack.blobs.as_uri()),
            tenant=tenant_id(name),
            client=client,
            store=store,
            pool=f"hand{uuid.uuid4().hex[:8]}",
        )


async def checkpoints(hand: Hand, job_id: str) -> Any:
    return await hand.client.get(f"/v1/jobs/{job_id}/checkpoint")


async def test_a_checkpoint_is_shown_with_its_files_and_without_their_keys(
    hand: Hand, tmp_path: Path
) -> None:
    new = await hand.submit()
    claim = await hand.claim()
    (tmp_path / "a.jpg").write_bytes(b"12345")
    await hand.context(claim, tmp_path).checkpoint({"frame": 7}, [tmp_path / "a.jpg"])
    shown = await checkpoints(hand, new.id)
    latest = shown["latest"]
    assert (shown["step"], shown["resumes_from"], shown["previous"]) == ("one", "latest", None)
    assert (latest["step"], latest["state"]) == ("one", {"frame": 7})
    assert (latest["readable"], latest["verified"]) == (True, True)
    (file,) = latest["artifacts"]
    assert (file["name"], file["size"], file["present"], len(file["sha256"])) == (
        "a.jpg",
        5,
        True,
        64,
    )
    assert "key" not in file
    assert hand.tenant not in str(shown)


async def test_a_checkpoint_whose_files_are_gone_is_not_gone_on_from(
    hand: Hand, tmp_path: Path
) -> None:
    new = await hand.submit()
    claim = await hand.claim()
    context = hand.context(claim, tmp_path)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"12345")
        await context.checkpoint({"file": name}, [tmp_path / name])
    await hand.blobs.delete(locations.work(hand.tenant, new.id, claim.fence, "b.jpg"))
    shown = await checkpoints(hand, new.id)
    assert shown["resumes_from"] == "previous"
    assert (shown["latest"]["readable"], shown["latest"]["verified"]) == (True, False)
    assert shown["latest"]["artifacts"][0]["present"] is False
    assert shown["previous"]["state"] == {"file": "a.jpg"}


async def test_a_checkpoint_that_cannot_be_read_says_so(hand: Hand) -> None:
    new = await hand.submit()
    await hand.ledger.checkpoint(await hand.claim(), Checkpoint(step="one", state={}))
    key = job_key(hand.tenant, new.id)
    raw = await hand.store.commands.hget(key, "checkpoint")
    await hand.store.commands.hset(key, "checkpoint", raw.replace(b'"one"', b'"two"'))
    shown = await checkpoints(hand, new.id)
    assert shown["resumes_from"] == "start"
    assert (shown["latest"]["readable"], shown["latest"]["verified"]) == (False, False)


async def test_parts_are_listed_and_counted_and_name_their_job(hand: Hand) -> None:
    new = await hand.submit("one", "two")
    claim = await hand.claim()
    parts = [hand.new("part") for _ in range(3)]
    assert await hand.ledger.advance(claim, "one", DONE, 0.5, parts) == "handed"
    first = await hand.claim()
    await hand.ledger.advance(first, "part", DONE, 1)

    job = await hand.client.get(f"/v1/jobs/{new.id}")
    counts = {
        "total": 3,
        "succeeded": 1,
        "failed": 0,
        "cancelled": 0,
        "expired": 0,
        "waiting": 2,
    }
    assert (job["state"], job["parts"]) == ("blocked", counts)
    shown = await hand.client.get(f"/v1/jobs/{new.id}/parts")
    assert (shown["job"], shown["counts"]) == (new.id, counts)
    assert [each["id"] for each in shown["items"]] == [part.id for part in parts]
    assert {each["parent"] for each in shown["items"]} == {new.id}
    listed = (await hand.client.get("/v1/jobs", parent=new.id))["items"]
    assert {each["id"] for each in listed} == {part.id for part in parts}
    why = await hand.client.get(f"/v1/jobs/{new.id}/priority")
    assert why["reason"] == "parts"


async def test_a_rare_match_takes_several_pages_and_not_an_endless_request(hand: Hand) -> None:
    rare = await hand.submit(flow="rare")
    for _ in range(1_050):
        await hand.ledger.submit(hand.new("one"))
    first = await hand.client.get("/v1/jobs", flow="rare")
    assert first["items"] == []
    assert first["next"]
    second = await hand.client.get("/v1/jobs", flow="rare", cursor=first["next"])
    assert ([job["id"] for job in second["items"]], second["next"]) == ([rare.id], None)
    plain = await hand.client.get("/v1/jobs", limit="200")
    assert len(plain["items"]) == 200
