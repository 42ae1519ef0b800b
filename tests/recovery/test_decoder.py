"""A video that makes the decoder crash or hang: a clear end, and the service goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.support import media
from tests.support.client import client_of
from tests.support.stack import Stack, embedded


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with embedded(tmp_path, REELWAY_JOBS_CHILD_SILENCE_SECONDS="8") as made:
        yield made


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    media.short(path)
    return path


@pytest.mark.parametrize("fate", [signal.SIGSEGV, signal.SIGSTOP], ids=["crashes", "hangs"])
async def test_a_decoder_that_never_survives_is_the_contents_fault(
    stack: Stack, clip: Path, fate: signal.Signals
) -> None:
    async with client_of(stack.url, stack.key) as client:
        async with _struck_down(stack.member("all").pid, fate):
            uploaded = await client.upload(clip)
            job = await client.job_end(uploaded["job"]["id"])
        assert (job["state"], job["attempt"]) == ("failed", 3)
        assert (job["error"]["code"], job["error"]["error_class"]) == (
            "undecodable_video",
            "bad_input",
        )
        assert job["error"]["hint"]
        await client.until("/livez", lambda _: not stack.stored_files())

        healthy = await client.upload(clip)
        assert (await client.job_end(healthy["job"]["id"]))["state"] == "succeeded"


async def test_a_decoder_that_crashes_once_is_given_another_try(stack: Stack, clip: Path) -> None:
    async with client_of(stack.url, stack.key) as client:
        async with _struck_down(stack.member("all").pid, signal.SIGKILL, times=1):
            uploaded = await client.upload(clip)
            job = await client.job_end(uploaded["job"]["id"])
        assert (job["state"], job["attempt"]) == ("succeeded", 1)
        assert job["error"] is None


@asynccontextmanager
async def _struck_down(parent: int, fate: signal.Signals, times: int = 100) -> AsyncIterator[None]:
    """Send a signal to every step's process that appears, as often as told."""

    def strike() -> None:
        struck: set[int] = set()
        while len(struck) < times and not over.wait(0.005):
            for pid in _steps_of(parent) - struck:
                with suppress(ProcessLookupError):
                    os.kill(pid, fate)
                struck.add(pid)

    over = threading.Event()
    # A thread: none of them may end before the loop that also talks to the door gets to it.
    striking = asyncio.create_task(asyncio.to_thread(strike))
    try:
        yield
    finally:
        over.set()
        await striking


def _steps_of(parent: int) -> set[int]:
    found = set()
    for child in psutil.Process(parent).children():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if "services.jobs.steps" in child.cmdline():
                found.add(child.pid)
    return found
