"""Many uploads and many downloads at once, and what memory their gateway takes (Linux)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec

PORTION = 64 * 1024
_TUS = {"Tus-Resumable": "1.0.0"}


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway's memory in MB, before and at its highest, and for how long it was busy."""

    before: float
    highest: float
    seconds: float


async def crowd(
    session: aiohttp.ClientSession, path: str, pid: int, people: int, size: int
) -> Memory:
    """So many upload and so many download ``size`` bytes, all at once."""
    before = memory_mb(pid, "VmRSS")
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # the highest is counted anew
    began = time.monotonic()
    ups = [_upload(session, size) for _ in range(people)]
    downs = [_download(session, path, size) for _ in range(people)]
    await asyncio.gather(*ups, *downs)
    seconds = time.monotonic() - began
    return Memory(before=before, highest=memory_mb(pid, "VmHWM"), seconds=seconds)


def memory_mb(pid: int, name: str) -> float:
    """``VmRSS`` is what a process takes now, ``VmHWM`` the most it has taken (proc(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


async def _upload(session: aiohttp.ClientSession, size: int) -> None:
    """One byte is kept back, so that no job comes of it."""
    length = {"Upload-Length": str(size + 1)}
    async with session.post("/v1/uploads/", headers={**_TUS, **length}) as begun:
        path = begun.headers["Location"]
    headers = {**_TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    async with session.patch(path, headers=headers, data=_bytes(size)) as reply:
        assert (reply.status, reply.headers["Upload-Offset"]) == (204, str(size)), reply
    async with session.delete(path, headers=_TUS) as reply:
        assert reply.status == 204, reply


async def _bytes(size: int) -> AsyncIterator[bytes]:
    portion = bytes(PORTION)
    for _ in range(size // PORTION):
        yield portion


async def _download(session: aiohttp.ClientSession, path: str, size: int) -> None:
    received = 0
    async with session.get(path) as reply:
        async for portion in reply.content.iter_chunked(PORTION):
            received += len(portion)
    assert received == size, received
