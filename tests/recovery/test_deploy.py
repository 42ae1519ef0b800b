"""A deploy: a busy worker is told to stop, and another goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.client import client_of
from tests.support.servers import redis_database
from tests.support.stack import PATIENT, Stack, apart
from tests.support.stacks import private_names

MOST_REPEATED = 5.0
"""Seconds of work that may have to be done again."""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with redis_database() as store, apart(tmp_path, private_names(), store, **PATIENT) as made:
        yield made


async def test_a_worker_that_is_told_to_stop_burns_no_attempt_and_repeats_little(
    stack: Stack, long_clip: Path
) -> None:
    worker = stack.member("jobs")
    async with client_of(stack.url, stack.key) as client:
        video_id = (await client.upload(long_clip))["video"]["id"]
        path = f"/v1/videos/{video_id}"
        video = await client.until(path, lambda shown: shown["jobs"]["captions"] is not None)
        job_id = video["jobs"]["captions"]
        repeated = await _since_checkpoint(stack, job_id)
    children = psutil.Process(worker.pid).children(recursive=True)
    began = time.monotonic()
    assert await asyncio.to_thread(worker.stop) == 0
    assert time.monotonic() - began < 30
    assert repeated < MOST_REPEATED
    assert not [child for child in children if child.is_running() and _is_step(child)]
    async with client_of(stack.url, stack.key) as client:
        job = await client.get(f"/v1/jobs/{job_id}")
        assert (job["state"], job["attempt"], job["lost"]) == ("ready", 0, 0)
        assert job["interrupts"] == 1
        await asyncio.to_thread(worker.start)
        assert (await client.job_end(job_id))["state"] == "succeeded"


def _is_step(process: psutil.Process) -> bool:
    try:
        return "services.jobs.steps" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


async def _since_checkpoint(stack: Stack, job_id: str) -> float:
    """Wait until the job has left a checkpoint; how many seconds it had worked until then, or how
    many lie between two checkpoints, whichever is more: that much a stop right now would cost.
    """
    key, left, longest, end = f"rw:t:default:job:{job_id}", 0, 0.0, time.monotonic() + 60
    with stack.store() as store:
        last: tuple[Any, float] = (None, time.monotonic())
        while time.monotonic() < end:
            state, step, checkpoint = store.hmget(key, "state", "step", "checkpoint")
            if state == b"running" and step == b"crop":
                if checkpoint != last[0]:
                    longest = max(longest, time.monotonic() - last[1]) if last[0] else longest
                    last, left = (checkpoint, time.monotonic()), left + 1
                if left == 3:
                    return longest
            elif left:
                return longest
            else:
                last = (None, time.monotonic())
            await asyncio.sleep(0.01)
    raise AssertionError("the job left no checkpoint")
