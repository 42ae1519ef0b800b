"""No more is taken in than can be worked on: 429 before the first byte, and when to come again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.client import Client, Reply, client_of
from tests.support.servers import redis_database
from tests.support.stack import ADMIN_KEY, PATIENT, Stack, apart, embedded
from tests.support.stacks import private_names

CAP = {"REELWAY_JOBS_QUEUED_ENTERPRISE": "2"}  # the tier of the tenant of the first start


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Stack]:
    """A Reelway that lets two jobs of a tenant wait."""
    with embedded(tmp_path, **PATIENT, **CAP) as stack:
        yield stack


async def _refused_unread(stack: Stack) -> str:
    """The answer to an upload whose body is announced and never sent."""
    parts = urlsplit(stack.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(
        f"POST /v1/videos?name=a.mp4 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stack.key}\r\n"
        "Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n".encode()
    )
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    writer.close()
    await writer.wait_closed()
    return answer.decode()


async def test_uploads_beyond_the_cap_are_told_when_to_come_again(small: Stack) -> None:
    async with (
        client_of(small.url, small.key) as client,
        client_of(small.url, ADMIN_KEY) as operator,
    ):
        await operator.tell("PATCH", "/v1/admin/pools/drive", {"paused": True})
        jobs = [(await client.upload(b"no video"))["job"]["id"] for _ in range(2)]
        reply = await _refused(client)
        assert reply.json()["code"] == "queue_full"
        assert 1 <= int(reply.headers["Retry-After"]) <= 3600
        assert "jobs of this tenant wait" in reply.json()["detail"]
        assert reply.json()["hint"]
        unread = await _refused_unread(small)
        assert unread.startswith("HTTP/1.1 429 ")
        assert "100 Continue" not in unread

        await operator.tell("PATCH", "/v1/admin/pools/drive", {"paused": False})
        for job in jobs:
            await client.job_end(job)
        await client.upload(b"no video")


async def test_an_upload_that_breaks_off_gives_its_place_back(small: Stack) -> None:
    async with (
        client_of(small.url, small.key) as client,
        client_of(small.url, ADMIN_KEY) as operator,
    ):
        await operator.tell("PATCH", "/v1/admin/pools/drive", {"paused": True})
        for _ in range(3):
            reply = await client.call("POST", "/v1/videos", data=_nothing())
            assert (reply.status, reply.json()["code"]) == (400, "empty_file")
        for _ in range(2):
            await client.upload(b"no video")
        await _refused(client)


async def _refused(client: Client, **options: Any) -> Reply:
    """An upload that is refused for the line: one about which nobody could be asked in time, as
    when the machine stalls, is taken.
    """
    for _ in range(5):
        reply = await client.call("POST", "/v1/videos", **{"data": b"no video"} | options)
        if reply.status == 429:
            return reply
    raise AssertionError(reply)


async def _nothing() -> AsyncIterator[bytes]:
    """A body that turns out to be empty only when it is read."""
    for piece in tuple[bytes, ...]():
        yield piece


async def test_a_refused_upload_may_come_again_with_its_key(small: Stack) -> None:
    async with (
        client_of(small.url, small.key) as client,
        client_of(small.url, ADMIN_KEY) as operator,
    ):
        await operator.tell("PATCH", "/v1/admin/pools/drive", {"paused": True})
        jobs = [(await client.upload(b"no video"))["job"]["id"] for _ in range(2)]
        keyed: dict[str, Any] = {"data": b"no video", "headers": {"Idempotency-Key": "once"}}
        await _refused(client, **keyed)
        await operator.tell("PATCH", "/v1/admin/pools/drive", {"paused": False})
        for job in jobs:
            await client.job_end(job)
        first = await client.call("POST", "/v1/videos", **keyed)
        again = await client.call("POST", "/v1/videos", **keyed)
        assert (first.status, again.status) == (202, 202)
        assert first.json()["job"]["id"] == again.json()["job"]["id"]


async def test_while_the_jobs_service_is_away_uploads_are_taken(tmp_path: Path) -> None:
    with redis_database() as store, apart(tmp_path, private_names(), store, **PATIENT) as stack:
        async with client_of(stack.url, stack.key) as client:
            stack.member("jobs").kill()
            job = (await client.upload(b"no video"))["job"]["id"]
            log = stack.member("gateway").log
            await client.until(
                "/livez", lambda _: any("taken without asking" in line for line in list(log))
            )
            waits = await client.tell("GET", f"/v1/jobs/{job}/timeline", status=409)
            assert waits["code"] == "not_in_line"
            stack.member("jobs").start()
            assert (await client.job_end(job))["state"] == "failed"
