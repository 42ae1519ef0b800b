"""What a remote store's failures mean, by a server that answers whatever it is told to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.blobs.failures import BlobsRefused
from shared.blobs.store import Blobs, open_blobs
from shared.errors import Invalid, NotFound, Unavailable
from tests.support.bucket import Bucket


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
async def blobs(bucket: Bucket) -> AsyncIterator[Blobs]:
    async with bucket.open() as opened:
        yield opened


@pytest.mark.parametrize("status", [400, 401, 403, 409, 412, 416])
async def test_a_store_that_does_not_let_us_refuses(
    bucket: Bucket, blobs: Blobs, status: int
) -> None:
    bucket.status = status
    with pytest.raises(BlobsRefused, match="refused") as caught:
        await blobs.head("t/a")
    assert (caught.value.code, caught.value.status) == ("blobs_refused", 503)
    assert caught.value.hint


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_store_that_cannot_serve_is_unavailable(
    bucket: Bucket, blobs: Blobs, status: int
) -> None:
    bucket.status = status
    with pytest.raises(Unavailable) as caught:
        await blobs.read_all("t/a")
    assert caught.value.code == "blobs_unavailable"


async def test_a_store_that_is_not_there_is_unavailable(bucket: Bucket) -> None:
    async with bucket.open() as blobs:
        pass
    with pytest.raises(Unavailable) as caught:
        await blobs.head("t/a")
    assert caught.value.code == "blobs_unavailable"


async def test_what_is_around_sees_every_access_and_its_end_but_no_ping(
    bucket: Bucket, blobs: Blobs, tmp_path: Path
) -> None:
    bucket.status = 500
    seen: list[str] = []

    @asynccontextmanager
    async def around(key: str) -> AsyncIterator[None]:
        try:
            yield
        except Unavailable as error:
            seen.append(f"{key} {error.code}")
            raise

    watched = blobs.behind(around)
    file = tmp_path / "file"
    file.write_bytes(b"x")
    for access in (
        watched.head("t/head"),
        watched.read_all("t/read"),
        anext(watched.read("t/range", 0, 5)),
        watched.fetch("t/fetch", tmp_path / "copy"),
        watched.put_file("t/put", file),
        watched.move("t/move", "t/there"),
        watched.copy("t/copy", "t/there"),
        watched.delete("t/delete"),
        watched.delete_prefix("t/prefix/"),
    ):
        with pytest.raises(Unavailable):
            await access
    names = ("head", "read", "range", "fetch", "put", "move", "copy", "delete", "prefix/")
    assert seen == [f"t/{name} blobs_unavailable" for name in names]
    with pytest.raises(Unavailable):
        await watched.ping()
    assert len(seen) == len(names)


async def test_what_is_around_may_keep_an_access_from_being_made(
    bucket: Bucket, blobs: Blobs
) -> None:
    @asynccontextmanager
    async def around(_: str) -> AsyncIterator[None]:
        raise Unavailable("not now")
        yield

    with pytest.raises(Unavailable, match="not now"):
        await blobs.behind(around).head("t/a")
    assert bucket.asked == []


async def test_a_key_that_is_none_is_not_accessed(blobs: Blobs) -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def around(key: str) -> AsyncIterator[None]:
        seen.append(key)
        yield

    watched = blobs.behind(around)
    for access in (watched.head("t/../a"), watched.move("t/a", "../b"), watched.copy("t/a", "/")):
        with pytest.raises(Invalid):
            await access
    assert seen == []


async def test_a_folder_of_this_machine_has_nothing_around_it(tmp_path: Path) -> None:
    blobs = open_blobs((tmp_path / "blobs").as_uri())

    @asynccontextmanager
    async def around(_: str) -> AsyncIterator[None]:
        raise Unavailable("not now")
        yield

    with pytest.raises(NotFound):
        await blobs.behind(around).head("t/a")
