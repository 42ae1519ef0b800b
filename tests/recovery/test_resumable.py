"""The gateway dies amid a resumable upload, on one box with Redis: it goes on from there."""

from __future__ import annotations

import asyncio
import io
import os
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from services.gateway.pieces import PIECE_BYTES
from shared.store.keys import upload_key
from shared.tenancy import tenant_id
from tests.support import media
from tests.support.bus import until
from tests.support.client import Client, client_of
from tests.support.stack import Stack

TUS = {"Tus-Resumable": "1.0.0"}
MEBI = 1 << 20
PADDING = 48 * MEBI


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """A video with much behind it that every reader leaves out (ISO 14496-12, 8.1.2)."""
    path = tmp_path / "clip.mp4"
    media.short(path)
    return path.read_bytes() + struct.pack(">I4s", PADDING, b"free") + os.urandom(PADDING - 8)


async def test_what_had_arrived_is_still_there(own_stack: Stack, content: bytes) -> None:
    path = await _begun(own_stack, len(content))
    offset = await _killed_after(own_stack, path, content, 0, 40 * MEBI)
    assert 0 < offset <= 40 * MEBI
    again = await _killed_after(own_stack, path, content, offset, 8 * MEBI)
    assert offset <= again <= offset + 8 * MEBI
    last = await _stopped_after(own_stack, path, content, again, 12 * MEBI)
    assert again < last <= again + 12 * MEBI
    async with client_of(own_stack.url, own_stack.key) as client:
        answer = await _send(client, path, last, io.BytesIO(content[last:]))
        assert answer == 204
        upload = await client.get(path)
        assert upload["state"] == "complete"
        job = await client.job_end(upload["job"])
        assert job["state"] == "succeeded", job
        stream = await client.call("GET", f"/v1/videos/{upload['video']}/stream")
        assert stream.body == content
    assert not [path for path in own_stack.stored_files() if "incoming" in path.parts]


async def _begun(stack: Stack, length: int) -> str:
    async with client_of(stack.url, stack.key) as client:
        headers = {**TUS, "Upload-Length": str(length)}
        reply = await client.call("POST", "/v1/uploads/", headers=headers)
        assert reply.status == 201, reply
        return reply.headers["Location"]


async def _killed_after(stack: Stack, path: str, content: bytes, offset: int, count: int) -> int:
    """Kill the gateway when so many bytes were sent, and a piece counts if they are more than one;
    answers the offset that is then told.
    """
    gateway = stack.member("gateway")

    async def some() -> AsyncIterator[bytes]:
        for start in range(offset, offset + count, MEBI):
            yield content[start : start + MEBI]
        if count > PIECE_BYTES:
            await until(lambda: _counts(stack, path), 60)
        gateway.kill()
        yield content[offset + count :]

    async with client_of(stack.url, stack.key) as client:
        with pytest.raises(aiohttp.ClientError):
            await _send(client, path, offset, some())
    gateway.start()
    return await _offset(stack, path)


async def _counts(stack: Stack, path: str) -> bool:
    """Whether a piece has been added: what was sent may still be on its way to the disk."""
    key = upload_key(tenant_id("default"), path.rpartition("/")[2])
    with stack.store() as store:
        told: Any = await asyncio.to_thread(store.hget, key, "offset")
    return int(told) > 0


async def _stopped_after(stack: Stack, path: str, content: bytes, offset: int, count: int) -> int:
    """Have the gateway leave when so many bytes were sent, which it keeps."""
    gateway, is_gone = stack.member("gateway"), asyncio.Event()
    before = set(stack.stored_files())

    async def some() -> AsyncIterator[bytes]:
        yield content[offset : offset + count]
        await is_gone.wait()

    async with client_of(stack.url, stack.key) as client:
        sending = asyncio.create_task(_send(client, path, offset, some()))
        await until(lambda: _is_growing(stack, before), 60)
        assert await asyncio.to_thread(gateway.stop) == 0
        is_gone.set()
        with suppress(aiohttp.ClientError):  # who still sends may not get to read the answer
            assert await sending == 503
    gateway.start()
    return await _offset(stack, path)


async def _is_growing(stack: Stack, before: set[Path]) -> bool:
    """Whether a good deal of a new piece has arrived."""
    fresh = [path for path in stack.stored_files() if path not in before]
    return any(path.exists() and path.stat().st_size > MEBI for path in fresh)


async def _offset(stack: Stack, path: str) -> int:
    async with client_of(stack.url, stack.key) as client:
        reply = await client.call("HEAD", path, headers=TUS)
        return int(reply.headers["Upload-Offset"])


async def _send(client: Client, path: str, offset: int, data: object) -> int:
    headers = {
        **TUS,
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": str(offset),
    }
    return (await client.call("PATCH", path, data=data, headers=headers)).status
