"""The gateway's memory does not grow with the size of what passes through it."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.support import media
from tests.support.client import Client, client_of
from tests.support.servers import redis_database
from tests.support.stack import Stack, apart
from tests.support.stacks import private_names

SIZE = 2 * 1024**3
LIMIT_MB = 150
PIECE = 1024 * 1024


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with redis_database() as store, apart(tmp_path, private_names(), store) as made:
        yield made


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """A clip with two gigabytes of padding behind it, as the format allows."""
    path = tmp_path / "big.mp4"
    media.short(path)
    with path.open("ab") as file:
        rest = SIZE - path.stat().st_size
        file.write(struct.pack(">I4sQ", 1, b"free", rest))
        file.truncate(SIZE)
    return path


@pytest.mark.timeout(600)
async def test_two_gigabytes_each_way_need_little_memory(stack: Stack, big: Path) -> None:
    gateway = stack.member("gateway").pid
    async with client_of(stack.url, stack.key) as client:
        first = await _upload(client, big)
        await client.job_end(first["job"]["id"])
        began = time.monotonic()
        second, _ = await asyncio.gather(
            _upload(client, big), _download(client, first["video"]["id"])
        )
        seconds = time.monotonic() - began
        assert (await client.job_end(second["job"]["id"]))["state"] == "succeeded"
    peak = _peak_mb(gateway)
    print(f"\n2 GiB up and 2 GiB down in {seconds:.1f} s, gateway at most {peak:.0f} MB")
    assert peak < LIMIT_MB


async def _upload(client: Client, path: Path) -> dict[str, dict[str, str]]:
    forever = aiohttp.ClientTimeout(total=None)
    with path.open("rb") as file:
        async with client.session.post(
            "/v1/videos", params={"name": "big.mp4"}, data=file, timeout=forever
        ) as reply:
            assert reply.status == 202, await reply.text()
            body: dict[str, dict[str, str]] = await reply.json()
            return body


async def _download(client: Client, video_id: str) -> None:
    received = 0
    forever = aiohttp.ClientTimeout(total=None)
    async with client.session.get(f"/v1/videos/{video_id}/stream", timeout=forever) as reply:
        async for piece in reply.content.iter_chunked(PIECE):
            received += len(piece)
    assert received == SIZE


def _peak_mb(pid: int) -> float:
    """The most memory the process has ever had, in MB (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
