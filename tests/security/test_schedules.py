"""A tenant's schedules are its own; nobody but operators sees breakers."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tests.support import media
from tests.support.client import client_of
from tests.support.stack import Stack
from tests.support.stacks import FORMS, shared_stack

NIGHTLY = "/v1/schedules/nightly"


@pytest.fixture(params=FORMS)
def stack(request: pytest.FixtureRequest) -> Stack:
    return shared_stack(request.param)


async def test_a_tenant_cannot_see_or_touch_anothers_schedules(
    stack: Stack, tmp_path: Path
) -> None:
    media.short(tmp_path / "mine.mp4")
    me, them = (stack.new_tenant(f"clock-{uuid.uuid4().hex[:8]}") for _ in range(2))
    async with client_of(stack.url, me) as mine, client_of(stack.url, them) as theirs:
        video = (await mine.upload(tmp_path / "mine.mp4"))["video"]["id"]
        await mine.until(f"/v1/videos/{video}", lambda shown: shown["sha256"])
        body = {"flow": "caption_video", "video": video, "every": 86400}
        made = (await mine.call("PUT", NIGHTLY, json=body)).json()
        assert (await theirs.call("GET", NIGHTLY)).status == 404
        assert (await theirs.call("DELETE", NIGHTLY)).status == 404
        assert (await theirs.get("/v1/schedules"))["items"] == []
        reply = await theirs.call("PUT", NIGHTLY, json=body)
        assert (reply.status, reply.json()["code"]) == (400, "unknown_video")
        assert await mine.get(NIGHTLY) == made
        assert (await mine.call("DELETE", NIGHTLY)).status == 204


async def test_reading_is_not_enough_to_change_schedules(stack: Stack) -> None:
    name = f"clock-{uuid.uuid4().hex[:8]}"
    stack.new_tenant(name)
    async with client_of(stack.url, stack.command("key", "create", name, "--read-only")) as reader:
        assert (await reader.call("GET", "/v1/schedules")).status == 200
        assert (await reader.call("GET", NIGHTLY)).status == 404
        body = {"flow": "caption_video", "video": "v", "every": 60}
        assert (await reader.call("PUT", NIGHTLY, json=body)).status == 403
        assert (await reader.call("DELETE", NIGHTLY)).status == 403


async def test_only_operators_see_breakers(stack: Stack) -> None:
    async with client_of(stack.url, stack.key) as client:
        assert (await client.call("GET", "/v1/admin/breakers")).status == 403
