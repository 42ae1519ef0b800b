"""The gateway dies while it takes an upload: its repetition leads to the same video and job."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from shared.store.keys import idempotency_key
from shared.tenancy import tenant_id
from tests.support.bus import until
from tests.support.client import Reply, client_of
from tests.support.stack import Stack

WORDS = b"these are words and no video"

# Ends itself where it tells drive, before the bus has got the command or once it has confirmed it.
DYING = """
import os, signal
from services.__main__ import main
from shared.bus.publisher import Bus

send, when = Bus.send, os.environ.pop("DIES")

async def dying(self, message, **options):
    if when == "after":
        await send(self, message, **options)
    os.kill(os.getpid(), signal.SIGKILL)

Bus.send = dying
main()
"""


async def upload(stack: Stack, key: str, data: Any = WORDS) -> Reply:
    async with client_of(stack.url, stack.key) as client:
        return await client.call(
            "POST",
            "/v1/videos",
            params={"name": "words.mp4"},
            data=data,
            headers={"Idempotency-Key": key},
        )


def record_of(stack: Stack, key: str) -> dict[bytes, bytes]:
    with stack.store() as store:
        found: Any = store.hgetall(idempotency_key(tenant_id("default"), key))
        return dict(found)


def lease_ends(stack: Stack, key: str) -> None:
    """What half a minute would do."""
    with stack.store() as store:
        store.hset(idempotency_key(tenant_id("default"), key), "until", "0")


async def once(stack: Stack, key: str) -> None:
    """The repetition is taken; whatever happened before, there is one video and one job of it."""
    early = await upload(stack, key)
    assert (early.status, early.json()["code"]) == (409, "idempotency_in_progress")
    lease_ends(stack, key)
    taken = await upload(stack, key)
    assert taken.status == 202
    assert "Idempotency-Replayed" not in taken.headers
    again = await upload(stack, key)
    assert (again.status, again.body) == (202, taken.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    video_id, job_id = taken.json()["video"]["id"], taken.json()["job"]["id"]
    async with client_of(stack.url, stack.key) as client:
        assert (await client.job_end(job_id))["error"]["code"] == "not_a_video"
        jobs = (await client.get("/v1/jobs"))["items"]
        assert [(job["id"], job["video"]) for job in jobs] == [(job_id, video_id)]

        def nothing_incoming(_: object) -> bool:
            return not [path for path in stack.stored_files() if "/incoming/" in str(path)]

        await client.until("/livez", nothing_incoming)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_killed_while_it_told_drive(own_stack: Stack, when: str) -> None:
    gateway = own_stack.member("gateway")
    assert gateway.stop() == 0
    gateway.program, gateway.environment["DIES"] = ("-c", DYING), when
    gateway.start()
    with pytest.raises(aiohttp.ClientError):
        await upload(own_stack, "k1")
    gateway.kill()
    del gateway.environment["DIES"]
    gateway.program = ("-m", "services")
    gateway.start()
    assert record_of(own_stack, "k1")[b"receipt"]
    await once(own_stack, "k1")


async def test_killed_while_bytes_were_coming(own_stack: Stack) -> None:
    gateway = own_stack.member("gateway")

    async def begun() -> bool:
        return b"owner" in record_of(own_stack, "k1")

    async def halfway() -> AsyncIterator[bytes]:
        yield WORDS[:10]
        await until(begun)
        gateway.kill()
        yield WORDS[10:]

    with pytest.raises(aiohttp.ClientError):
        await upload(own_stack, "k1", halfway())
    gateway.start()
    assert record_of(own_stack, "k1")[b"receipt"] == b""

    async def whole() -> AsyncIterator[bytes]:
        yield WORDS

    lease_ends(own_stack, "k1")
    taken = await upload(own_stack, "k1", whole())
    again = await upload(own_stack, "k1", whole())
    assert (taken.status, again.status, again.body) == (202, 202, taken.body)
    async with client_of(own_stack.url, own_stack.key) as client:
        await client.job_end(taken.json()["job"]["id"])
        assert len((await client.get("/v1/jobs"))["items"]) == 1
