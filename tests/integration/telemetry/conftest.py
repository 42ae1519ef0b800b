"""Stacks that write JSON lines and spans, and the upload of something that is no video."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from tests.support.client import Client
from tests.support.servers import redis_database
from tests.support.stack import PATIENT, Stack, apart, embedded
from tests.support.stacks import FORMS, private_names

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
REQUEST = "upload-1"
ASKED = {"traceparent": f"00-{TRACE}-{SPAN}-01", "X-Request-Id": REQUEST}
LOUD = {**PATIENT, "REELWAY_TRACES": "log", "REELWAY_LOG_FORMAT": "json"}

Line = dict[str, str]

# What comes last: the end of a stream, and what the relay counts, which is no part of the gateway.
COUNTED = (
    "reelway_sse_subscribers 0.0",
    'reelway_job_transitions_total{flow="process_video",state="failed"} 1.0',
    'kind="jobs.finished.v1",outcome="confirmed"} 1.0',
    "reelway_outbox_lag",
)
WRITTEN = {
    "publish jobs.finished.v1",
    "process jobs.finished.v1",
    "step store",
    "job process_video",
    "request POST /v1/videos",
}


class Upload(NamedTuple):
    """What became of one upload, and everything that was said meanwhile."""

    job: Any
    lines: list[Line]
    metrics: str


def said(stack: Stack) -> list[Line]:
    """Every line of every process so far, as records."""
    lines = [line for member in stack.members.values() for line in list(member.log)]
    return [json.loads(line) for line in lines if line.endswith("\n")]


@pytest.fixture(scope="module", params=FORMS)
def upload(request: pytest.FixtureRequest) -> Iterator[Upload]:
    """One upload of a few words, on either form, until its job has failed."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="reelway-test-")))
        if request.param == "embedded":
            stack = opened.enter_context(embedded(folder, **LOUD))
        else:
            stack = opened.enter_context(
                apart(folder, private_names(), opened.enter_context(redis_database()), **LOUD)
            )
        for member in stack.members.values():
            member.url = member.url.partition('"')[0]  # as JSON shows it
        job, metrics = asyncio.run(_upload(stack))
        yield Upload(job, _settled(stack, job["id"]), metrics)


async def _upload(stack: Stack) -> tuple[Any, str]:
    headers = {"Authorization": f"Bearer {stack.key}"}
    async with aiohttp.ClientSession(stack.url, headers=headers) as session:
        client = Client(session)
        sent = await client.call(
            "POST", "/v1/videos", params={"name": "words.mp4"}, headers=ASKED, data=b"no video"
        )
        assert sent.status == 202, sent
        job = await client.job_end(sent.json()["job"]["id"])
        [_ async for _ in client.events(job["id"])]
        return job, await _counted(client, 1 if len(stack.members) > 1 else len(COUNTED))


async def _counted(client: Client, most: int) -> str:
    """What is counted, once as many of ``COUNTED`` are there as this process counts."""
    end = time.monotonic() + 60
    while True:
        metrics = (await client.call("GET", "/metrics")).body.decode()
        if sum(word in metrics for word in COUNTED) >= most:
            return metrics
        assert time.monotonic() < end, metrics
        await asyncio.sleep(0.1)


def _settled(stack: Stack, job_id: str) -> list[Line]:
    """All lines, once the last one that is waited for has been written."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        lines = said(stack)
        if {line["message"].rpartition(" took ")[0] for line in lines} >= WRITTEN:
            return lines
        time.sleep(0.05)
    raise AssertionError(f"not everything was told of {job_id}")
