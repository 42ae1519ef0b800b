"""What operators see and change over HTTP: pools, tenants and their work."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.client import Client, client_of
from tests.support.stack import ADMIN_KEY, Stack
from tests.support.tenants import new_key, own_client

POOLS = "/v1/admin/pools"


@pytest_asyncio.fixture
async def operator(stack: Stack) -> AsyncIterator[Client]:
    async with client_of(stack.url, ADMIN_KEY) as made:
        yield made


@pytest_asyncio.fixture
async def tenant(stack: Stack) -> tuple[str, str]:
    """The name and the key of a new tenant."""
    name = f"work-{uuid.uuid4().hex[:8]}"
    return name, await new_key(stack, name)


async def test_pools_tell_what_they_do(operator: Client) -> None:
    items = (await operator.get(POOLS))["items"]
    assert {pool["pool"] for pool in items} == {"drive", "media", "catalog"}
    for pool in items:
        assert (await operator.get(f"{POOLS}/{pool['pool']}"))["workers"] == pool["workers"]
        assert pool["workers"]
        assert (pool["paused"], pool["limit"]) == (False, 0)


async def test_a_paused_pool_begins_nothing_until_it_is_let_go(
    stack: Stack, operator: Client, tenant: tuple[str, str]
) -> None:
    paused = await operator.tell("PATCH", f"{POOLS}/drive", {"paused": True})
    try:
        assert (paused["paused"], paused["limit"]) == (True, 0)
        async with client_of(stack.url, tenant[1]) as client:
            job = (await client.upload(b"no video"))["job"]["id"]
            await client.until(f"/v1/jobs/{job}", lambda shown: shown["state"] == "ready")
            seen = await operator.until(f"{POOLS}/drive", lambda pool: pool["waiting"] >= 1)
            assert seen["oldest_wait_seconds"] >= 0
            why = await client.get(f"/v1/jobs/{job}/priority")
            assert (why["reason"], why["pool"]) == ("pool_paused", "drive")
            let_go = await operator.tell("PATCH", f"{POOLS}/drive", {"paused": False, "limit": 3})
            assert (let_go["paused"], let_go["limit"]) == (False, 3)
            assert (await client.job_end(job))["state"] == "failed"
    finally:
        await operator.tell("PATCH", f"{POOLS}/drive", {"paused": False, "limit": 0})


async def test_a_tenants_work_rests_and_anothers_does_not(
    stack: Stack, operator: Client, tenant: tuple[str, str]
) -> None:
    name, key = tenant
    path = f"/v1/admin/tenants/{name}/work"
    rests = await operator.tell("PATCH", path, {"paused": True})
    assert rests == {
        "tenant": name,
        "paused": True,
        "running_limit": 4,
        "queued": 0,
        "queued_limit": 200,
    }
    async with client_of(stack.url, key) as me, own_client(stack) as them:
        mine = (await me.upload(b"no video"))["job"]["id"]
        theirs = (await them.upload(b"no video"))["job"]["id"]
        await them.job_end(theirs)
        await me.until(f"/v1/jobs/{mine}", lambda shown: shown["state"] == "ready")
        why = await me.get(f"/v1/jobs/{mine}/priority")
        assert why["reason"] == "tenant_paused"
        assert (await operator.get(path))["queued"] == 1
        assert not (await operator.tell("PATCH", path, {"paused": False}))["paused"]
        await me.job_end(mine)


async def test_a_new_tier_counts_from_the_next_job_on(
    stack: Stack, operator: Client, tenant: tuple[str, str]
) -> None:
    name, key = tenant
    path = f"/v1/admin/tenants/{name}"
    changed = await operator.tell("PATCH", path, {"tier": "enterprise", "auto_approve": False})
    assert (changed["tier"], changed["auto_approve"]) == ("enterprise", False)
    assert await operator.get(path) == changed
    back = await operator.tell("PATCH", path, {"auto_approve": True})
    assert (back["tier"], back["auto_approve"]) == ("enterprise", True)
    async with client_of(stack.url, key) as client:
        job = await client.job_end((await client.upload(b"no video"))["job"]["id"])
    assert (job["labels"]["tier"], job["priority"]["base"]) == ("enterprise", 90)
    work = await operator.get(f"{path}/work")
    assert (work["running_limit"], work["queued_limit"]) == (64, 20_000)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", f"{POOLS}/nothing", None, 404),
        ("PATCH", f"{POOLS}/nothing", {"paused": True}, 404),
        ("PATCH", f"{POOLS}/drive", {"limit": -1}, 400),
        ("PATCH", f"{POOLS}/drive", {"limit": "many"}, 400),
        ("PATCH", f"{POOLS}/drive", {"colour": "red"}, 400),
        ("PATCH", "/v1/admin/tenants/nobody-here", {"tier": "free"}, 404),
        ("PATCH", "/v1/admin/tenants/nobody-here/work", {"paused": True}, 404),
        ("GET", "/v1/admin/tenants/nobody-here/work", None, 404),
        ("GET", "/v1/admin/tenants/nobody-here", None, 404),
        ("GET", "/v1/admin/tenants/No.Name/work", None, 400),
    ],
)
async def test_what_cannot_be_is_refused(
    operator: Client, method: str, path: str, body: Any, status: int
) -> None:
    await operator.tell(method, path, body, status=status)


async def test_a_tenants_key_is_no_operators(stack: Stack, tenant: tuple[str, str]) -> None:
    async with client_of(stack.url, tenant[1]) as client:
        for path in (POOLS, f"{POOLS}/drive", f"/v1/admin/tenants/{tenant[0]}/work"):
            assert (await client.call("GET", path)).status == 403


async def test_nothing_was_logged_as_an_error(stack: Stack) -> None:
    assert stack.complaints() == []
