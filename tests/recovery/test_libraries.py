"""``kill -9`` while folders are scanned and their files taken in: each file is one video's work."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client, client_of
from tests.support.stack import Stack, embedded

FILES = 24
DEATHS = 4


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Files that begin like videos, and are none: their jobs are short, and their end is final."""
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number:02}.mkv").write_bytes(b"\x1a\x45\xdf\xa3" + os.urandom(20_000))
    return folder


@pytest.fixture
def stack(tmp_path: Path, films: Path) -> Iterator[Stack]:
    settings = {
        "REELWAY_LIBRARY_DIRS": f"default={films}",
        "REELWAY_DRIVE_LIBRARY_SETTLE_SECONDS": "0.5",
        "REELWAY_DRIVE_LIBRARY_SCAN_SECONDS": "1",
        "REELWAY_DRIVE_LIBRARY_QUEUE": "6",
    }
    with embedded(tmp_path / "reelway", **settings) as started:
        yield started


async def test_each_file_is_worked_on_once_however_often_it_dies(stack: Stack, films: Path) -> None:
    before = {path.name: path.read_bytes() for path in films.iterdir() if path.suffix == ".mkv"}
    for death in range(1, DEATHS + 1):
        async with client_of(stack.url, stack.key) as client:
            library = (await client.get("/v1/libraries"))["items"][0]["id"]
            await _begun(client, library, FILES * death // (DEATHS + 2))
        stack.member("all").kill()
        stack.member("all").start()
    async with client_of(stack.url, stack.key) as client:
        page = await _files(client, library, lambda items: _states(items) == {"refused": FILES})
        assert {item["path"] for item in page["items"]} == before.keys()
        jobs = (await client.get("/v1/jobs", flow="process_video", limit="200"))["items"]
        assert sorted(job["video"] for job in jobs) == sorted(
            item["video"] for item in page["items"]
        )
        assert {job["state"] for job in jobs} == {"failed"}
        await client.until("/v1/videos", lambda page: page["items"] == [])
    after = {path.name: path.read_bytes() for path in films.iterdir() if path.suffix == ".mkv"}
    assert after == before


async def _begun(client: Client, library: str, number: int) -> None:
    """Until so many files were begun."""
    await _files(
        client, library, lambda items: FILES - _states(items)["waiting"] >= number and items
    )


async def _files(client: Client, library: str, holds: Any) -> Any:
    path = f"/v1/libraries/{library}/files?limit=200"
    return await client.until(path, lambda page: holds(page["items"]))


def _states(items: Any) -> Counter[str]:
    return Counter(item["state"] for item in items)
