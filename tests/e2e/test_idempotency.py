"""A request that is sent again with its key, through the whole system."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any
from urllib.parse import urlsplit

import pytest

from shared.ids import new_id
from tests.support.client import Client, Reply, client_of
from tests.support.stack import Stack

WORDS = b"these are words and no video"


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


async def upload(client: Client, key: str, data: bytes = WORDS) -> Reply:
    headers = {"Idempotency-Key": key}
    return await client.call(
        "POST", "/v1/videos", params={"name": "words.mp4"}, data=data, headers=headers
    )


async def jobs_of(client: Client) -> list[Any]:
    items: list[Any] = (await client.get("/v1/jobs", limit="200"))["items"]
    return items


async def test_an_upload_that_is_repeated_makes_one_video_and_one_job(
    stack: Stack, other_key: str, key: str
) -> None:
    async with client_of(stack.url, other_key) as client:
        first = await upload(client, key)
        assert first.status == 202
        job_id = first.json()["job"]["id"]
        for _ in range(2):
            again = await upload(client, key)
            assert (again.status, again.body) == (202, first.body)
            assert again.headers["Location"] == first.headers["Location"] == f"/v1/jobs/{job_id}"
            assert again.headers["Idempotency-Replayed"] == "true"
            assert (await client.job_end(job_id))["state"] == "failed"
        assert [job["id"] for job in await jobs_of(client)] == [job_id]


async def test_the_key_of_another_upload_is_refused(stack: Stack, other_key: str, key: str) -> None:
    async with client_of(stack.url, other_key) as client:
        assert (await upload(client, key)).status == 202
        other = await upload(client, key, b"other words")
        assert (other.status, other.json()["code"]) == (422, "idempotency_mismatch")
        assert other.json()["hint"]
        other = await client.call(
            "POST", f"/v1/jobs/{new_id()}/cancel", headers={"Idempotency-Key": key}
        )
        assert other.status == 422


async def test_another_tenants_same_key_is_another_key(
    stack: Stack, client: Client, other_key: str, key: str
) -> None:
    mine = await upload(client, key)
    async with client_of(stack.url, other_key) as other:
        theirs = await upload(other, key, b"other words")
        assert theirs.status == 202
        assert "Idempotency-Replayed" not in theirs.headers
        assert theirs.json()["video"]["id"] != mine.json()["video"]["id"]


async def test_a_kept_answer_is_only_for_who_may_ask(stack: Stack, key: str) -> None:
    name = f"pair-{uuid.uuid4().hex[:8]}"
    writer, reader = stack.new_tenant(name), stack.command("key", "create", name, "--read-only")
    async with client_of(stack.url, writer) as client:
        assert (await upload(client, key)).status == 202
    async with client_of(stack.url, reader) as client:
        assert (await upload(client, key)).status == 403
    async with client_of(stack.url, "") as client:
        assert (await upload(client, key)).status == 401


async def test_while_an_upload_runs_its_repetition_has_to_wait(
    stack: Stack, other_key: str, key: str
) -> None:
    parts = urlsplit(stack.url)
    head = (
        "POST /v1/videos?name=words.mp4 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {other_key}\r\nIdempotency-Key: {key}\r\n"
        f"Expect: 100-continue\r\nContent-Length: {len(WORDS)}\r\n\r\n"
    )
    async with client_of(stack.url, other_key) as client:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(head.encode())
        await reader.readuntil(b"100 Continue\r\n\r\n")
        waiting = await upload(client, key)
        assert (waiting.status, waiting.headers["Retry-After"]) == (409, "5")
        assert waiting.json()["code"] == "idempotency_in_progress"
        writer.write(WORDS)
        assert (await reader.readline()).startswith(b"HTTP/1.1 202 ")
        writer.close()
        again = await upload(client, key)
        assert again.headers["Idempotency-Replayed"] == "true"
        await client.job_end(again.json()["job"]["id"])
        assert len(await jobs_of(client)) == 1


async def test_a_job_is_retried_once_for_each_key(stack: Stack, client: Client, key: str) -> None:
    job_id = (await client.upload(WORDS))["job"]["id"]
    await client.job_end(job_id)
    headers, path = {"Idempotency-Key": key}, f"/v1/jobs/{job_id}/retry"
    first = await client.call("POST", path, headers=headers)
    assert first.status == 202
    await client.job_end(job_id)
    again = await client.call("POST", path, headers=headers)
    assert (again.status, again.body) == (202, first.body)
    with stack.store() as store:
        assert store.hget(f"rw:t:default:job:{job_id}", "epoch") == b"2"
    assert (await client.call("POST", path)).status == 202  # without the key it is another retry


@pytest.mark.parametrize("path", ["jobs/{}/cancel", "jobs/{}/retry", "videos/{}/approve"])
async def test_what_was_not_there_is_not_there_for_the_repetition(
    client: Client, key: str, path: str
) -> None:
    headers, path = {"Idempotency-Key": key}, f"/v1/{path.format(new_id())}"
    first = await client.call("POST", path, headers=headers)
    again = await client.call("POST", path, headers=headers)
    assert (first.status, again.status, again.body) == (404, 404, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_what_was_refused_is_refused_the_same_way_again(client: Client, key: str) -> None:
    job_id = (await client.upload(WORDS))["job"]["id"]
    await client.job_end(job_id)
    headers, path = {"Idempotency-Key": key}, f"/v1/jobs/{job_id}/cancel"
    first = await client.call("POST", path, headers=headers)
    again = await client.call("POST", path, headers=headers)
    assert (first.status, again.body) == (409, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json()["request_id"] == first.headers["X-Request-Id"]


async def test_what_is_no_key_is_refused(client: Client) -> None:
    reply = await upload(client, "x" * 256)
    assert (reply.status, reply.json()["code"]) == (400, "invalid_idempotency_key")


async def test_nothing_was_logged_as_an_error(stack: Stack) -> None:
    assert stack.complaints() == []
