"""A tenant cannot see, touch or hear another: every route, with another tenant's ids."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest

from services.gateway.openapi import ROUTES
from services.gateway.routes import shared
from shared.http.routes import Route
from shared.ids import new_id
from tests.support.client import Client, Reply, SentEvent, client_of
from tests.support.stack import Stack
from tests.support.stacks import FORMS, shared_stack

SHARED = {(route.method, route.path) for route in shared.ROUTES}
OWNED = [
    route
    for route in ROUTES
    if any(name in route.path for name in ("{video}", "{job}", "{library}"))
]


@pytest.fixture(params=FORMS)
def stack(request: pytest.FixtureRequest) -> Stack:
    return shared_stack(request.param)


def _address(route: Route, video: str, job: str) -> str:
    path = route.path.replace("{index:[0-9]{1,6}}", "0").replace("{number:[0-9]{1,5}}", "1")
    path = path.replace("{tenant}", "nobody").replace("{prefix:[a-z0-9]{12}}", "a" * 12)
    path = path.replace("{schedule}", "nightly").replace("{pool}", "media")
    path = path.replace("{share}", job).replace("{library}", video)
    return path.replace("{video}", video).replace("{job}", job).replace("{upload}", job)


def _same(mine: Reply, unknown: Reply, path: str, other: str) -> None:
    """But for the request's own id and address, the answers are one and the same."""
    assert mine.status == unknown.status == 404
    first, second = mine.json(), unknown.json()
    for body in (first, second):
        del body["request_id"], body["instance"]
    assert first == second, (path, other)


async def test_another_tenants_ids_answer_like_unknown_ones(stack: Stack, tmp_path: Path) -> None:
    from tests.support import media

    media.short(tmp_path / "mine.mp4")
    theirs = stack.new_tenant(f"them-{uuid.uuid4().hex[:8]}")
    async with client_of(stack.url, stack.key) as me, client_of(stack.url, theirs) as them:
        uploaded = await me.upload(tmp_path / "mine.mp4")
        video, job = uploaded["video"]["id"], uploaded["job"]["id"]
        await _try_everything(them, video, job)  # while it is being worked on
        await me.captioned(video)
        await _try_everything(them, video, job)
        assert (await me.get(f"/v1/videos/{video}"))["status"] == "done"
        assert (await them.get("/v1/videos"))["items"] == []
        assert (await them.get("/v1/jobs"))["items"] == []
        word = (await me.get(f"/v1/videos/{video}/captions"))["items"][0]["text"].split()[-1]
        assert (await me.get("/v1/search", q=word))["total"] >= 1
        assert (await them.get("/v1/search", q=word))["total"] == 0


async def _try_everything(them: Client, video: str, job: str) -> None:
    for route in OWNED:
        path = _address(route, video, job)
        other = _address(route, new_id(), new_id())
        _same(
            await them.call(route.method, path), await them.call(route.method, other), path, other
        )


async def test_nobody_hears_of_the_jobs_of_others(stack: Stack) -> None:
    theirs = stack.new_tenant(f"ears-{uuid.uuid4().hex[:8]}")
    async with client_of(stack.url, stack.key) as me, client_of(stack.url, theirs) as them:
        mine = (await me.upload(b"no video"))["job"]["id"]
        paths = ("/v1/events", "/v1/events?state=failed", f"/v1/events?job={mine}")
        heard: dict[str, list[SentEvent]] = {path: [] for path in paths}
        ears = [asyncio.create_task(_hear(them, path, heard[path])) for path in paths]
        await them.until("/livez", lambda _: all(heard.values()))
        for job in [mine, *[(await me.upload(b"no video"))["job"]["id"] for _ in range(3)]]:
            await me.job_end(job)
        own = (await them.upload(b"no video"))["job"]["id"]
        for path in paths[:2]:
            await them.until("/livez", lambda _, path=path: heard[path][-1].event == "end")
        for ear in ears:
            ear.cancel()
    for events in heard.values():
        assert events[0].data == {"jobs": [], "more": False}
    assert {event.data["job"] for path in paths for event in heard[path][1:]} == {own}
    assert len(heard[paths[2]]) == 1


async def _hear(client: Client, path: str, heard: list[SentEvent]) -> None:
    async for event in client.stream(path):
        heard.append(event)  # noqa: PERF401 - others look while it grows


async def test_every_route_wants_a_key(stack: Stack) -> None:
    """But the one that says what is spoken, which tus clients may ask first and without a key, and
    those of share links, whose token is the key.
    """
    wanting = [route for route in ROUTES if route.scope is not None]
    public = {(route.method, route.path) for route in ROUTES} - {
        (route.method, route.path) for route in wanting
    }
    assert public == {("OPTIONS", "/v1/uploads/"), *SHARED}
    async with client_of(stack.url, "") as nobody:
        for route in wanting:
            reply = await nobody.call(route.method, _address(route, new_id(), new_id()))
            assert (reply.status, reply.json()["code"]) == (401, "unauthorized"), route.path
            assert reply.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "key", ["nonsense", "rw_aaaaaaaaaaaa_" + "x" * 43, "rw_", "Bearer", "\u00fc" * 10]
)
async def test_a_wrong_key_is_refused(stack: Stack, key: str) -> None:
    async with client_of(stack.url, key) as nobody:
        assert (await nobody.call("GET", "/v1/videos")).status == 401


async def test_a_revoked_key_is_refused_from_the_next_request_on(stack: Stack) -> None:
    key = stack.new_tenant(f"gone-{uuid.uuid4().hex[:8]}")
    async with client_of(stack.url, key) as client:
        assert (await client.call("GET", "/v1/videos")).status == 200
        stack.command("key", "revoke", key)
        assert (await client.call("GET", "/v1/videos")).status == 401


async def test_a_key_may_do_no_more_than_its_scopes(stack: Stack) -> None:
    name = f"reader-{uuid.uuid4().hex[:8]}"
    stack.new_tenant(name)
    key = stack.command("key", "create", name, "--read-only")
    async with client_of(stack.url, key) as reader:
        assert (await reader.call("GET", "/v1/videos")).status == 200
        reply = await reader.call("POST", "/v1/videos", data=b"x")
        assert (reply.status, reply.json()["code"]) == (403, "forbidden")
        assert (await reader.call("GET", "/v1/admin/tenants")).status == 403


async def test_no_key_stands_in_the_store_or_in_the_log(stack: Stack) -> None:
    async with client_of(stack.url, stack.key) as client:
        await client.get("/v1/videos")
    secret = stack.key.rsplit("_", 1)[-1]
    with stack.store() as store:
        for name in store.scan_iter("rw:*"):
            kind = store.type(name)
            value = store.get(name) if kind == b"string" else None
            assert secret.encode() not in (value or b"")
    await asyncio.sleep(0)
    assert not [line for m in stack.members.values() for line in m.log if secret in line]


async def test_the_key_file_is_for_its_owner_alone() -> None:
    stack = shared_stack("embedded")
    path = stack.blobs.parent / "default.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
