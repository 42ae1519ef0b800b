"""What people do to jobs over HTTP, with the real ledger and real workers behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.jobs.media.clip import DEMO
from shared.ids import new_id
from tests.support import media
from tests.support.client import TERMINAL, Client, client_of
from tests.support.media import fresh
from tests.support.stack import ADMIN_KEY, Stack
from tests.support.stacks import APART, EMBEDDED
from tests.support.tenants import own_client


@pytest_asyncio.fixture
async def client(stack: Stack) -> AsyncIterator[Client]:
    async with own_client(stack, "premium") as made:
        yield made


@asynccontextmanager
async def resting(stack: Stack, pool: str) -> AsyncIterator[Client]:
    """A pool that takes no jobs meanwhile, and one at a time as soon as it is let go."""
    path = f"/v1/admin/pools/{pool}"
    async with client_of(stack.url, ADMIN_KEY) as operator:
        await operator.until(path, lambda shown: not shown["waiting"] and not shown["running"])
        await operator.tell("PATCH", path, {"paused": True, "limit": 1})
        try:
            yield operator
        finally:
            await operator.tell("PATCH", path, {"paused": False, "limit": 0})


async def in_line(client: Client) -> str:
    """A job in the line of the pool ``drive``, which rests."""
    job_id = str((await client.upload(b"no video"))["job"]["id"])
    await client.until(f"/v1/jobs/{job_id}", lambda job: job["state"] == "ready")
    return job_id


async def caught(
    client: Client, clip: Path, step: str, act: Callable[[str], Awaitable[bool]]
) -> Any:
    """An upload with whose job something was done while it ran that step. On a slow machine the job
    may be past it by then: then another is tried.
    """
    for _ in range(5):
        uploaded = await client.upload(fresh(clip))
        path = f"/v1/jobs/{uploaded['job']['id']}"
        async for event in client.events(uploaded["job"]["id"]):
            if event.data["step"] == step and event.data["state"] == "running":
                break
        if await act(path):
            return uploaded
    raise AssertionError(f"no job was caught at {step}")


async def test_a_job_shows_its_labels_and_priority(stack: Stack, client: Client) -> None:
    async with resting(stack, "drive"):
        job = await client.get(f"/v1/jobs/{await in_line(client)}")
        assert job["labels"]["tier"] == "premium"
        assert job["labels"]["tenant"].startswith("own-")
        assert (job["labels"]["priority"], job["labels"]["age-boosting"]) == ("70", "on")
        assert job["priority"] == {"base": 70, "effective": 70, "boost": 0}
        assert (job["worker"], job["pausing"], job["parts"], job["parent"]) == (
            None,
            False,
            None,
            None,
        )
        listed = (await client.get("/v1/jobs"))["items"]
        assert [each["id"] for each in listed] == [job["id"]]


async def test_jobs_are_listed_by_state_flow_and_video(stack: Stack, client: Client) -> None:
    failed = (await client.upload(b"no video"))["job"]["id"]
    await client.job_end(failed)
    async with resting(stack, "drive"):
        waiting = await in_line(client)
        video = (await client.get(f"/v1/jobs/{waiting}"))["video"]

        async def ids(**query: str) -> list[str]:
            return [job["id"] for job in (await client.get("/v1/jobs", **query))["items"]]

        assert await ids(state="failed") == [failed]
        assert await ids(state="failed,ready") == [waiting, failed]
        assert await ids(state="succeeded") == []
        assert await ids(flow="process_video") == [waiting, failed]
        assert await ids(flow="caption_video") == []
        assert await ids(video=video) == [waiting]
        assert await ids(video=video, state="failed") == []
        assert await ids(parent=waiting) == []
        first = await client.get("/v1/jobs", state="failed,ready", limit="1")
        assert [job["id"] for job in first["items"]] == [waiting]
        rest = await client.get("/v1/jobs", state="failed,ready", cursor=first["next"])
        assert ([job["id"] for job in rest["items"]], rest["next"]) == ([failed], None)


async def test_a_waiting_job_rests_and_goes_on_at_its_place(stack: Stack, client: Client) -> None:
    async with resting(stack, "drive") as operator:
        job_id = await in_line(client)
        path = f"/v1/jobs/{job_id}"
        paused = {"id": job_id, "state": "paused", "step": None}
        assert await client.tell("POST", f"{path}/pause", status=202) == paused
        assert await client.tell("POST", f"{path}/pause", status=202) == paused
        await operator.tell("PATCH", "/v1/admin/pools/drive", {"paused": False})
        other = (await client.upload(b"no video"))["job"]["id"]
        await client.job_end(other)
        assert (await client.get(path))["state"] == "paused"
        assert (await client.tell("POST", f"{path}/resume", status=202))["state"] == "ready"
        await client.job_end(job_id)
        refused = await client.tell("POST", f"{path}/resume", status=409)
        assert refused["code"] == "conflict"
        assert (await client.tell("POST", f"{path}/pause", status=409))["code"] == "conflict"


async def test_a_running_job_is_paused_and_goes_on_to_its_end(
    client: Client, demo_clip: Path
) -> None:
    async def paused_at_work(path: str) -> bool:
        reply = await client.call("POST", f"{path}/pause")
        if reply.status != 202 or reply.json()["state"] != "pausing":
            return False
        await client.until(path, lambda shown: shown["state"] in {"paused", *TERMINAL})
        return "released" in await outcomes(client, path)

    job_id = (await caught(client, demo_clip, "read_frames", paused_at_work))["job"]["id"]
    path = f"/v1/jobs/{job_id}"
    job = await client.get(path)
    assert job["state"] == "paused"
    assert (job["worker"], job["pausing"], job["attempt"]) == (None, False, 0)
    done = [step["name"] for step in job["steps"] if step["state"] == "done"]
    assert await client.tell("POST", f"{path}/resume", status=202)
    assert (await client.job_end(job_id))["state"] == "succeeded"
    timeline = (await client.get(f"{path}/timeline"))["items"]
    finished = [line["step"] for line in timeline if line["outcome"] == "done"]
    assert len(finished) == len(set(finished)) == 7
    assert finished[: len(done)] == done


async def outcomes(client: Client, path: str) -> list[str]:
    """What became of each step that was begun, in order."""
    return [line["outcome"] for line in (await client.get(f"{path}/timeline"))["items"]]


async def test_what_runs_is_an_open_entry_of_the_timeline(client: Client, demo_clip: Path) -> None:
    open_lines: list[Any] = []

    async def looked_at_and_cancelled(path: str) -> bool:
        line, job = (await client.get(f"{path}/timeline"))["items"][-1], await client.get(path)
        reply = await client.call("POST", f"{path}/cancel")
        if (line["step"], line["outcome"], reply.status) != ("read_frames", "running", 202):
            return False
        assert line["ended_at"] is None
        assert (line["pool"], line["duration_seconds"] >= 0) == ("media", True)
        open_lines.append((line["worker"], job["worker"]))
        await client.until(path, lambda shown: shown["state"] in TERMINAL)
        return (await outcomes(client, path))[4:] == ["cancelled"]

    job = (await caught(client, demo_clip, "read_frames", looked_at_and_cancelled))["job"]
    path = f"/v1/jobs/{job['id']}"
    assert open_lines[-1][0] == open_lines[-1][1] != ""
    ended = (await client.get(f"{path}/timeline"))["items"]
    assert [each["step"] for each in ended] == [
        "store",
        "probe",
        "poster",
        "frames",
        "read_frames",
    ]
    assert all(each["ended_at"] >= each["started_at"] for each in ended)
    assert ended[0]["bytes"] == 0 < ended[3]["bytes"]


async def test_a_change_of_priority_changes_who_is_next(stack: Stack, client: Client) -> None:
    async with resting(stack, "drive") as operator:
        first, second = await in_line(client), await in_line(client)
        before = await client.get(f"/v1/jobs/{second}/priority")
        assert (before["base"], before["effective"], before["ahead"]) == (70, 70, 1)
        assert (before["reason"], before["age_boosting"]) == ("pool_paused", True)
        after = await client.tell("PUT", f"/v1/jobs/{second}/priority", {"base": 90})
        assert (after["base"], after["effective"], after["ahead"]) == (90, 90, 0)
        assert after["waiting_since"] == before["waiting_since"]
        assert (await client.get(f"/v1/jobs/{first}/priority"))["ahead"] == 1
        assert (await client.get(f"/v1/jobs/{second}"))["labels"]["priority"] == "90"
        with stack.store() as store:
            store.set("rw:jobs:claims:drive", 1)  # every 20th goes to whoever waits longest
        await operator.tell("PATCH", "/v1/admin/pools/drive", {"paused": False})
        ended = [await client.job_end(job) for job in (first, second)]
        assert ended[1]["started_at"] < ended[0]["started_at"]
        late = await client.tell("PUT", f"/v1/jobs/{first}/priority", {"base": 1}, status=409)
        assert late["code"] == "conflict"


async def test_ageing_is_switched_off_and_on(stack: Stack, client: Client) -> None:
    async with resting(stack, "drive"):
        path = f"/v1/jobs/{await in_line(client)}"
        law = {"rate": 2, "step_seconds": 60, "cap": 9}
        set_to = await client.tell("PUT", f"{path}/priority", {"boost": law})
        assert (set_to["law"], set_to["age_boosting"]) == (law, True)
        assert set_to["next_boost_at"] > set_to["waiting_since"]
        off = await client.tell("PUT", f"{path}/priority", {"age_boosting": False})
        assert (off["law"]["rate"], off["age_boosting"], off["next_boost_at"]) == (0, False, None)
        assert (await client.get(path))["labels"]["age-boosting"] == "off"
        on = await client.tell("PUT", f"{path}/priority", {"age_boosting": True})
        assert on["law"] == {"rate": 1, "step_seconds": 60, "cap": 9}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "nothing_given"),
        ({"base": 91}, "invalid"),
        ({"base": -1}, "invalid"),
        ({"base": "high"}, "invalid"),
        ({"boost": {"step_seconds": 0}}, "invalid"),
        ({"colour": "red"}, "invalid"),
        ({"age_boosting": False, "boost": {}}, "contradiction"),
    ],
)
async def test_a_priority_that_cannot_be_is_refused(
    client: Client, body: dict[str, Any], code: str
) -> None:
    job_id = (await client.upload(b"no video"))["job"]["id"]
    await client.job_end(job_id)
    reply = await client.tell("PUT", f"/v1/jobs/{job_id}/priority", body, status=400)
    assert reply["code"] == code


@EMBEDDED
async def test_a_retry_from_a_step_runs_exactly_that_and_what_follows(
    client: Client, demo_clip: Path
) -> None:
    async def refused_and_cancelled(path: str) -> bool:
        early = await client.call("POST", f"{path}/retry", json={"step": "frames"})
        cancel = await client.call("POST", f"{path}/cancel")
        if (early.status, cancel.status) != (409, 202):
            return False
        assert early.json()["code"] == "conflict"
        await client.until(path, lambda shown: shown["state"] in TERMINAL)
        return (await outcomes(client, path))[4:] == ["cancelled"]

    uploaded = await caught(client, demo_clip, "read_frames", refused_and_cancelled)
    job_id, video_id = uploaded["job"]["id"], uploaded["video"]["id"]
    path = f"/v1/jobs/{job_id}"
    unknown = await client.tell("POST", f"{path}/retry", {"step": "dance"}, status=400)
    assert (unknown["code"], "read_frames" in unknown["hint"]) == ("unknown_step", True)
    again = await client.tell("POST", f"{path}/retry", {"step": "frames"}, status=202)
    assert again == {"id": job_id, "state": "ready", "step": "frames"}
    assert (await client.job_end(job_id))["state"] == "succeeded"
    assert await epoch(client, job_id, 2) == ["frames", "read_frames", "layout", "describe"]
    video = await client.captioned(video_id)
    assert video["captions"] == len(DEMO)


@APART
async def test_a_video_is_worked_on_again_from_a_step(client: Client, tmp_path: Path) -> None:
    media.short(tmp_path / "clip.mp4")
    uploaded = await client.upload(tmp_path / "clip.mp4")
    job_id, video_id = uploaded["job"]["id"], uploaded["video"]["id"]
    captioning = (await client.captioned(video_id))["jobs"]["captions"]
    path = f"/v1/videos/{video_id}/retry"
    refused = await client.tell("POST", f"/v1/jobs/{captioning}/retry", status=409)
    assert refused["code"] == "conflict"

    begun = await client.tell("POST", path, {"step": "extents"}, status=202)
    assert begun == {"video": video_id, "job": captioning, "state": "ready", "step": "extents"}
    assert (await client.job_end(captioning))["state"] == "succeeded"
    assert await epoch(client, captioning, 2) == ["extents", "read_captions", "publish"]
    assert await epoch(client, job_id, 2) == []
    captions = (await client.get(f"/v1/videos/{video_id}/captions"))["items"]
    assert [each["text"] for each in captions] == [each.text for each in media.SHORT]
    await _what_cannot_be_retried_is_said(client, video_id, job_id)


async def _what_cannot_be_retried_is_said(client: Client, video_id: str, job_id: str) -> None:
    path = f"/v1/videos/{video_id}/retry"
    unknown = await client.tell("POST", path, {"step": "dance"}, status=400)
    assert unknown["code"] == "unknown_step"
    assert {"store", "publish"} <= set(unknown["hint"].replace(",", "").split())
    elsewhere = {"step": "publish", "job": job_id}
    assert (await client.tell("POST", path, elsewhere, status=400))["code"] == "unknown_step"
    foreign = {"step": "publish", "job": new_id()}
    assert (await client.tell("POST", path, foreign, status=404))["code"] == "unknown_job"
    assert (await client.tell("POST", path, {}, status=400))["code"] == "invalid"


async def epoch(client: Client, job_id: str, number: int) -> list[str]:
    """The steps that were done in one epoch of a job."""
    timeline = (await client.get(f"/v1/jobs/{job_id}/timeline"))["items"]
    return [line["step"] for line in timeline if line["epoch"] == number]


async def test_a_job_between_steps_has_no_checkpoint_and_a_whole_one_no_parts(
    client: Client,
) -> None:
    job_id = (await client.upload(b"no video"))["job"]["id"]
    await client.job_end(job_id)
    assert await client.get(f"/v1/jobs/{job_id}/checkpoint") == {
        "job": job_id,
        "step": "store",
        "resumes_from": "start",
        "latest": None,
        "previous": None,
    }
    assert await client.get(f"/v1/jobs/{job_id}/parts") == {
        "job": job_id,
        "counts": None,
        "items": [],
    }


@pytest.mark.parametrize("query", ["state=dancing", "state=failed,", "video=x", "parent=../x"])
async def test_a_filter_that_cannot_be_is_refused(client: Client, query: str) -> None:
    reply = await client.call("GET", f"/v1/jobs?{query}")
    assert (reply.status, reply.json()["code"]) == (400, "invalid")


async def test_nothing_was_logged_as_an_error(stack: Stack) -> None:
    assert stack.complaints() == []
