"""A disk that is filled to the brim while uploads come and jobs work, and then has room again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import media
from tests.support.client import Client, Reply, client_of
from tests.support.stack import PATIENT, Stack, embedded
from tests.support.volumes import Volume, volume

pytestmark = pytest.mark.recovery
TUS = {"Tus-Resumable": "1.0.0"}
RESERVE = 24 << 20
SETTINGS = {
    **PATIENT,
    "REELWAY_GATEWAY_RESERVE_BYTES": str(RESERVE),
    "REELWAY_DISK_RESERVE_MB": "16",
}
JUNK = b"\x1a\x45\xdf\xa3" + b"\0" * (1 << 20)


class Box:
    """A Reelway whose whole data folder, its store too, lies on a disk of 256 MiB."""

    def __init__(self, disk: Volume, stack: Stack, clip: bytes) -> None:
        self.disk = disk
        self.stack = stack
        self.clip = clip

    def arrived(self) -> list[Path]:
        """What lies where uploads arrive."""
        return [path for path in self.stack.stored_files() if "/incoming/" in str(path)]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    folder = tmp_path_factory.mktemp("full")
    media.short(folder / "clip.mp4")
    with volume(folder, 256) as disk, embedded(disk.folder, **SETTINGS) as stack:
        yield Box(disk, stack, (folder / "clip.mp4").read_bytes())


@pytest.fixture
async def client(box: Box) -> AsyncIterator[Client]:
    async with client_of(box.stack.url, box.stack.key) as made:
        yield made


async def begin(client: Client, length: int) -> Reply:
    headers = {**TUS, "Upload-Length": str(length)}
    return await client.call("POST", "/v1/uploads/", headers=headers)


async def send(client: Client, place: str, offset: int, data: Any) -> Reply:
    headers = {
        **TUS,
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": str(offset),
    }
    return await client.call("PATCH", place, headers=headers, data=data)


async def offset_of(client: Client, place: str) -> int:
    reply = await client.call("HEAD", place, headers=TUS)
    return int(reply.headers["Upload-Offset"])


async def test_filled_to_the_brim_everything_waits_and_then_goes_on(
    box: Box, client: Client
) -> None:
    early = [await client.upload(box.clip) for _ in range(3)]
    place = (await begin(client, len(box.clip))).headers["Location"]
    half = len(box.clip) // 2
    assert (await send(client, place, 0, box.clip[:half])).status == 204

    box.disk.fill()  # while the jobs work
    assert (await send(client, place, half, box.clip[half:])).status == 507
    for refused in (await begin(client, 10), await client.call("POST", "/v1/videos", data=b"x")):
        assert (refused.status, refused.json()["code"]) == (507, "storage_full")
        assert refused.json()["hint"]
    assert (await client.get("/v1/usage"))["intake"] == "paused"
    assert (await client.call("GET", "/livez")).status == 200
    assert (await client.call("GET", "/v1/videos")).status == 200  # reading goes on

    box.disk.relieve()
    await client.until("/v1/usage", lambda usage: usage["intake"] == "open")
    assert await offset_of(client, place) == half
    assert (await send(client, place, half, box.clip[half:])).status == 204
    late = await client.upload(box.clip)
    for uploaded in (*early, late):
        job = await client.job_end(uploaded["job"]["id"])
        assert (job["state"], job["attempt"]) == ("succeeded", 0), job
        video = uploaded["video"]["id"]
        reply = await client.call("GET", f"/v1/videos/{video}/stream")
        assert reply.body == box.clip
    assert box.stack.complaints() == []


async def test_an_upload_that_fills_the_disk_leaves_nothing_half(box: Box, client: Client) -> None:
    """Others write meanwhile: what was free when the upload began is not when its bytes come."""

    async def growing() -> AsyncIterator[bytes]:
        yield JUNK
        await asyncio.to_thread(box.disk.fill)
        for _ in range(40):
            yield JUNK

    free = box.disk.free
    try:
        reply = await client.call("POST", "/v1/videos", data=growing())
        assert (reply.status, reply.json()["code"]) == (507, "storage_full")
    finally:
        box.disk.relieve()
    await client.until("/v1/usage", lambda usage: usage["intake"] == "open")
    assert box.arrived() == []
    assert box.disk.free > free - (4 << 20)


async def test_an_upload_in_pieces_keeps_what_there_was_room_for(box: Box, client: Client) -> None:
    length = len(JUNK) * 60
    place = (await begin(client, length)).headers["Location"]

    async def growing() -> AsyncIterator[bytes]:
        for number in range(60):
            if number == 36:
                await asyncio.to_thread(box.disk.fill)
            yield JUNK

    try:
        assert (await send(client, place, 0, growing())).status == 507
    finally:
        box.disk.relieve()
    await client.until("/v1/usage", lambda usage: usage["intake"] == "open")
    kept = await offset_of(client, place)
    assert 0 < kept < length
    assert sum(path.stat().st_size for path in box.arrived()) == kept
    assert (await client.call("DELETE", place, headers=TUS)).status == 204
    assert box.arrived() == []


async def test_the_operator_is_told_once_when_it_begins_and_when_it_ends(box: Box) -> None:
    said = [
        line for line in box.stack.members["all"].log if re.search("want of space|again:", line)
    ]
    assert said
    assert ["want of space" in line for line in said] == [n % 2 == 0 for n in range(len(said))]
