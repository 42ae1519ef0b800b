"""Captions are read again by a schedule, over HTTP alone but for the hands of the clock."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.client import Client, Reply, client_of
from tests.support.stack import Stack
from tests.support.stacks import EMBEDDED

NIGHTLY = "/v1/schedules/nightly"
BODY = {"flow": "caption_video", "cron": "30 2 * * *", "timezone": "Europe/Berlin"}


def _due_now(stack: Stack, tenant: str) -> None:
    key, now = f"rw:t:{tenant}:schedule:nightly", int(time.time() * 1000) - 1000
    with stack.store() as store:
        store.hset(key, "next_at", str(now))
        store.zadd("rw:jobs:schedules", {key: now})


@pytest.fixture
async def clock(stack: Stack, demo_clip: Path) -> AsyncIterator[tuple[Client, str, str]]:
    """A client of a tenant with one video, the video, and the tenant."""
    tenant = f"clock-{uuid.uuid4().hex[:8]}"
    async with client_of(stack.url, stack.new_tenant(tenant)) as client:
        video = (await client.upload(demo_clip))["video"]["id"]
        await client.until(f"/v1/videos/{video}", lambda shown: shown["sha256"])
        yield client, video, tenant


@EMBEDDED
async def test_a_schedule_reads_the_captions_again(
    stack: Stack, clock: tuple[Client, str, str]
) -> None:
    client, video, tenant = clock
    await client.captioned(video)
    before = (await client.get(f"/v1/videos/{video}/captions"))["items"]
    made = (await client.call("PUT", NIGHTLY, json={**BODY, "video": video})).json()
    assert (made["next_at"].endswith("30:00.000Z"), made["fired"]) == (True, 0)
    _due_now(stack, tenant)
    fired = await client.until(NIGHTLY, lambda schedule: schedule["fired"] == 1)
    assert (fired["last_outcome"], fired["next_at"]) == ("fired", made["next_at"])
    job = await client.job_end(fired["last_job"])
    assert (job["state"], job["flow"], job["video"]) == ("succeeded", "caption_video", video)
    after = (await client.get(f"/v1/videos/{video}/captions"))["items"]
    assert [each["id"] for each in after] == [each["id"] for each in before]

    assert (await client.call("DELETE", f"/v1/videos/{video}?permanent=true")).status < 300
    _due_now(stack, tenant)
    gone = await client.until(NIGHTLY, lambda schedule: not schedule["enabled"])
    assert (gone["last_outcome"], gone["next_at"]) == ("subject_gone", None)


async def test_a_schedule_is_made_shown_changed_and_removed(
    clock: tuple[Client, str, str],
) -> None:
    client, video, _ = clock
    reply = await client.call("PUT", NIGHTLY, json={**BODY, "video": video})
    assert reply.status == 200, reply
    made = reply.json()
    assert (made["name"], made["video"], made["every"]) == ("nightly", video, None)
    assert await client.get(NIGHTLY) == made
    assert (await client.get("/v1/schedules"))["items"] == [made]
    again = (await client.call("PUT", NIGHTLY, json={**BODY, "video": video})).json()
    assert {**again, "updated_at": made["updated_at"]} == made
    off = {"flow": "caption_video", "video": video, "every": 60, "enabled": False}
    changed = (await client.call("PUT", NIGHTLY, json=off)).json()
    assert (changed["every"], changed["cron"], changed["next_at"]) == (60, None, None)
    assert (await client.call("DELETE", NIGHTLY)).status == 204
    assert (await client.call("DELETE", NIGHTLY)).status == 404
    assert (await client.call("GET", NIGHTLY)).status == 404


async def test_what_makes_no_sense_is_said_over_http(stack: Stack) -> None:
    async with client_of(stack.url, stack.new_tenant(f"clock-{uuid.uuid4().hex[:8]}")) as client:

        async def put(name: str = "nightly", **fields: object) -> Reply:
            body = {"flow": "caption_video", "video": str(uuid.uuid4()), **fields}
            return await client.call("PUT", f"/v1/schedules/{name}", json=body)

        refused = {
            "invalid_name": await put("Nightly", every=60),
            "unknown_flow": await put(flow="dance", every=60),
            "flow_not_repeatable": await put(flow="process_video", every=60),
            "unknown_param": await put(every=60, params={"location": "other/files/f/original"}),
            "invalid_schedule": await put(),
            "invalid_cron": await put(cron="every now and then"),
            "unknown_timezone": await put(cron="0 0 * * *", timezone="Mars"),
            "unknown_video": await put(every=60),
        }
        for code, reply in refused.items():
            assert (reply.status, reply.json()["code"]) == (400, code), reply
        assert (await put(every=59)).status == 400
        assert (await put(every=60, location="x")).status == 400
        assert (await client.get("/v1/schedules"))["items"] == []
