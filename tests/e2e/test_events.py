"""Live events: complete, in order, resumable, and they always end."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

from tests.support.client import Client, SentEvent, client_of
from tests.support.media import fresh
from tests.support.stack import Stack
from tests.support.stacks import APART


async def test_a_reader_cut_ten_times_sees_every_state_once_in_order(
    client: Client, demo_clip: Path
) -> None:
    job_id = (await client.upload(fresh(demo_clip)))["job"]["id"]
    seen: list[tuple[str, str]] = []
    last_id, cuts = "1-0", 0
    while not seen or seen[-1][0] != "end":
        received = 0
        async for event in client.events(job_id, last_id):
            seen.append((event.event, event.id))
            last_id, received = event.id, received + 1
            if cuts < 10 and received == 1:
                cuts += 1
                break
    assert cuts == 10
    ids = [tuple(int(part) for part in event_id.split("-")) for _, event_id in seen]
    assert ids == sorted(set(ids))
    assert not {"snapshot", "reset"} & {kind for kind, _ in seen}

    whole = [event async for event in client.events(job_id, "1-0")]
    states = [event.id for event in whole if event.event != "progress"]
    assert [event_id for kind, event_id in seen if kind != "progress"] == states
    assert [kind for kind, _ in seen].count("end") == 1


async def test_after_the_end_there_is_nothing_more(client: Client) -> None:
    job_id = (await client.upload(b"no video"))["job"]["id"]
    events = [event async for event in client.events(job_id)]
    assert events[-1].event == "end"
    assert events[-1].data["state"] == "failed"
    assert events[-1].data["error"]["code"] == "not_a_video"
    reply = await client.call(
        "GET", f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": events[-1].id}
    )
    assert reply.status == 204
    late = [event.event async for event in client.events(job_id)]
    assert late == ["snapshot", "end"]


async def test_a_position_from_elsewhere_gets_a_fresh_start(client: Client) -> None:
    job_id = (await client.upload(b"no video"))["job"]["id"]
    await client.job_end(job_id)
    late = [event.event async for event in client.events(job_id, "7-999")]
    assert late == ["reset", "end"]


async def test_headers_keep_proxies_from_holding_events_back(client: Client) -> None:
    job_id = (await client.upload(b"no video"))["job"]["id"]
    reply = await client.call("GET", f"/v1/jobs/{job_id}/events")
    assert reply.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["X-Accel-Buffering"] == "no"
    assert "no-transform" in reply.headers["Cache-Control"]
    assert reply.body.startswith(b"retry: ")


async def _until_end_of(
    client: Client, jobs: set[str], path: str = "/v1/events", last_id: str = ""
) -> list[SentEvent]:
    """What a stream of all jobs says until these have ended."""
    seen, left = [], set(jobs)
    async for event in client.stream(path, last_id):
        seen.append(event)
        if event.event == "end":
            left.discard(event.data["job"])
        if not left:
            break
    return seen


@APART
async def test_all_jobs_of_a_tenant_are_followed_in_one_stream(
    stack: Stack, demo_clip: Path
) -> None:
    key = stack.new_tenant(f"all-{uuid.uuid4().hex[:8]}")
    async with client_of(stack.url, key) as client:
        uploaded = await client.upload(demo_clip)
        live = [event async for event in _until_captioned(client, last_id="")]
        seen = [event async for event in _until_captioned(client, last_id="1-0")]
        jobs = (await client.get(f"/v1/videos/{uploaded['video']['id']}"))["jobs"]
        own = [event async for event in client.events(jobs["process"], "1-0")]
    assert {event.data["job"] for event in seen} == set(jobs.values())
    assert {event.data["video"] for event in seen} == {uploaded["video"]["id"]}
    assert [event.id for event in seen] == [f"1-{n}" for n in range(1, len(seen) + 1)]
    process = [event.data for event in seen if event.data["flow"] == "process_video"]
    places = [f"{data['epoch']}-{data['seq']}" for data in process]
    assert places == [event.id for event in own if event.event != "progress"]

    assert live[0].event == "snapshot"
    assert {each["job"] for each in live[0].data["jobs"]} <= {jobs["process"]}
    states = [event for event in live[1:] if event.event != "progress"]
    assert states == seen[-len(states) :]
    progress = [event for event in live if event.event == "progress"]
    assert progress
    assert {event.id for event in progress} == {""}
    for job in jobs.values():
        data = [event.data for event in live[1:] if event.data["job"] == job]
        order = [(each["epoch"], each["seq"]) for each in data]
        assert order == sorted(set(order))


async def _until_captioned(client: Client, last_id: str) -> AsyncIterator[SentEvent]:
    async for event in client.stream("/v1/events", last_id):
        yield event
        if event.event == "end" and event.data["flow"] == "caption_video":
            return


async def test_only_what_is_asked_for_is_sent(stack: Stack) -> None:
    key = stack.new_tenant(f"some-{uuid.uuid4().hex[:8]}")
    async with client_of(stack.url, key) as client:
        uploads = [await client.upload(b"no video") for _ in range(3)]
        jobs = [each["job"]["id"] for each in uploads]
        for job_id in jobs:
            await client.job_end(job_id)
        wanted = {jobs[0], jobs[2]}
        for path in (
            f"/v1/events?job={jobs[0]}&job={jobs[2]}&type=end",
            f"/v1/events?video={uploads[0]['video']['id']},{uploads[2]['video']['id']}&state=failed",
        ):
            seen = await _until_end_of(client, wanted, path, "1-0")
            assert {event.data["job"] for event in seen} == wanted
            assert {event.data["state"] for event in seen} == {"failed"}
        for wrong in ("job=x", "type=all", "state=lost", "colour=red", "flow=A"):
            reply = await client.call("GET", f"/v1/events?{wrong}")
            assert (reply.status, reply.json()["code"]) == (400, "invalid"), wrong


async def test_a_place_in_the_stream_of_all_jobs_that_never_was_begins_anew(
    stack: Stack,
) -> None:
    key = stack.new_tenant(f"new-{uuid.uuid4().hex[:8]}")
    async with client_of(stack.url, key) as client:
        for last_id in ("1-999", "2-0", "0-0"):
            first = await anext(client.stream("/v1/events", last_id))
            assert (first.event, first.id) == ("reset", "1-0")
            assert first.data == {"jobs": [], "more": False}


async def test_one_key_has_only_so_many_streams(stack: Stack) -> None:
    key = stack.new_tenant(f"many-{uuid.uuid4().hex[:8]}")
    async with client_of(stack.url, key) as client, AsyncExitStack() as opened:
        for _ in range(32):
            reply = await opened.enter_async_context(client.session.get("/v1/events"))
            assert reply.status == 200
        job_id = (await client.upload(b"no video"))["job"]["id"]
        for path in ("/v1/events", f"/v1/jobs/{job_id}/events"):
            refused = await client.call("GET", path)
            assert (refused.status, refused.json()["code"]) == (429, "too_many_streams")
            assert refused.headers["Retry-After"] == "10"
