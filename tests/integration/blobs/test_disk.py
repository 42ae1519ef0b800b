"""A folder of this machine as a blob store: what only a disk has."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.blobs.store import open_blobs
from shared.errors import Unavailable


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.mark.parametrize("name", ["a b", "ünïcödé 😀", "100%", "a#b?c", "%41", "a\\b", "'\""])
async def test_a_disk_path_may_have_any_characters(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    blobs = open_blobs(folder.as_uri())
    await blobs.put("t/work/a-b_c.json", pieces(b"x"))
    path = blobs.local_path("t/work/a-b_c.json")
    assert path == folder / "t" / "work" / "a-b_c.json"
    assert path.read_bytes() == b"x"
    assert (folder.stat().st_mode & 0o077) == 0
    assert (await blobs.free_bytes() or 0) > 0
    await blobs.ping()


async def test_a_disk_that_refuses_is_unavailable(tmp_path: Path) -> None:
    blobs = open_blobs((tmp_path / "blobs").as_uri())
    await blobs.put("t", pieces(b"a file where a folder should be"))
    with pytest.raises(Unavailable) as caught:
        await blobs.put("t/a", pieces(b"x"))
    assert "\n" not in caught.value.detail
    assert os.listdir(tmp_path / "blobs") == ["t"]  # noqa: PTH208 - its names as they are
