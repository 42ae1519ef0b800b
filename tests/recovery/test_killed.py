"""``kill -9`` in the middle of the work: it goes on from its checkpoint and ends the same."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import msgspec

from tests.support.client import Client, captions_of, client_of
from tests.support.stack import Member, Stack

Captions = list[tuple[float, float, str]]


async def test_captioning_goes_on_from_its_checkpoint(
    own_stack: Stack, long_clip: Path, undisturbed: Captions
) -> None:
    stack = own_stack
    async with client_of(stack.url, stack.key) as client:
        assert len(undisturbed) == 24
        video_id = await _uploaded(client, long_clip)
        job_id = await _caption_job(client, video_id)

    saved = await _checkpoint(stack, job_id)
    stack.member("jobs").kill()
    _restart(stack, "jobs")

    async with client_of(stack.url, stack.key) as client:
        job = await client.job_end(job_id)
        assert job["state"] == "succeeded"
        assert job["lost"] + job["interrupts"] >= 1
        assert await captions_of(client, video_id) == undisturbed
        assert await _first_progress_after_loss(client, job_id, saved["step"]) > 0


async def test_killed_at_every_step_it_still_ends_the_same(
    own_stack: Stack, long_clip: Path, undisturbed: Captions
) -> None:
    stack = own_stack
    async with client_of(stack.url, stack.key) as client:
        uploaded = await client.upload(long_clip)
    video_id, job_id = uploaded["video"]["id"], uploaded["job"]["id"]
    killed = 0
    for step in ("probe", "frames", "read_frames", "crop", "extents", "read_captions"):
        if step == "crop":
            async with client_of(stack.url, stack.key) as client:
                job_id = await _caption_job(client, video_id)
        member = _whose(stack, step)
        if await _running_at(stack, job_id, step):
            member.kill()
            killed += 1
            member.start()
            _forgive(stack, job_id)
    async with client_of(stack.url, stack.key) as client:
        assert await captions_of(client, video_id) == undisturbed
        jobs = (await client.get("/v1/jobs"))["items"]
        assert killed >= 1
        assert {job["state"] for job in jobs} == {"succeeded"}


def _whose(stack: Stack, step: str) -> Member:
    return stack.member("drive" if step == "store" else "jobs")


def _restart(stack: Stack, service: str) -> None:
    stack.member(service).start()


def _forgive(stack: Stack, job_id: str) -> None:
    """Killing one job more often than a job may lose its worker is this test's doing."""
    with stack.store() as store:
        key = f"rw:t:default:job:{job_id}"
        if store.hget(key, "state") in {b"running", b"ready"}:
            store.hset(key, "lost", 0)


async def _uploaded(client: Client, clip: Path) -> str:
    video_id: str = (await client.upload(clip))["video"]["id"]
    return video_id


async def _caption_job(client: Client, video_id: str) -> str:
    video = await client.until(
        f"/v1/videos/{video_id}", lambda shown: shown["jobs"]["captions"] is not None
    )
    job_id: str = video["jobs"]["captions"]
    return job_id


async def _checkpoint(stack: Stack, job_id: str) -> dict[str, Any]:
    """Wait until the job has left a checkpoint inside a step; answers it."""
    end = time.monotonic() + 60
    with stack.store() as store:
        while time.monotonic() < end:
            raw = store.hget(f"rw:t:default:job:{job_id}", "checkpoint")
            if raw:
                body: dict[str, Any] = msgspec.json.decode(raw)["body"]
                return body
            await asyncio.sleep(0.005)
    raise AssertionError("the job left no checkpoint")


async def _running_at(stack: Stack, job_id: str, step: str) -> bool:
    """Wait until the job is at a step; False when it has passed it already."""
    end = time.monotonic() + 60
    with stack.store() as store:
        while time.monotonic() < end:
            state, at, steps = store.hmget(f"rw:t:default:job:{job_id}", "state", "step", "steps")
            if at == step.encode() and state == b"running":
                return True
            done = {
                s["name"] for s in msgspec.json.decode(steps or b"[]") if s.get("state") == "done"
            }
            if step in done:
                return False
            await asyncio.sleep(0.002)
    raise AssertionError(f"the job never came to {step}")


async def _first_progress_after_loss(client: Client, job_id: str, step: str) -> float:
    """How far the step said it was, the first time it spoke after its worker was lost."""
    events = [event async for event in client.events(job_id, "1-0")]
    lost = next(n for n, event in enumerate(events) if event.data["lost"] >= 1)
    at_step = next(
        event for event in events[lost:] if event.event == "progress" and event.data["step"] == step
    )
    before = [e.data["progress"] for e in events[:lost] if e.data["step"] == step]
    first: float = at_step.data["progress"] - before[0]
    return first


async def test_the_embedded_store_dies_with_its_owner(tmp_path: Path) -> None:
    from tests.support.stack import embedded

    with embedded(tmp_path) as stack:
        with stack.store() as store:
            server = int(store.info("server")["process_id"])
        stack.member("all").kill()
        assert await _gone(server)
        stack.member("all").start()
        async with client_of(stack.url, stack.key) as client:
            assert (await client.call("GET", "/v1/videos")).status == 200


async def _gone(pid: int) -> bool:
    """Whether a process ends within a minute."""
    for _ in range(3000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        await asyncio.sleep(0.02)
    return False
