"""Bytes by key: what every keeper promises, a folder, memory and S3."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.blobs import locations
from shared.blobs.remote import AHEAD
from shared.blobs.store import PIECE, Blobs, open_blobs
from shared.errors import Invalid, NotFound
from shared.tenancy import tenant_id

CLIMBING = ["../x", "/etc/hostname", "t/../../x", "t//x", "t/./x", "..", ".", "", "/", "t/.."]


@pytest.fixture(params=["file", "memory", "s3"])
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Blobs]:
    """Each keeper; what a test leaves in a bucket is removed."""
    if request.param != "s3":
        yield open_blobs((tmp_path / "blobs").as_uri() if request.param == "file" else "memory:")
        return
    opened = open_blobs(request.getfixturevalue("s3_url"))
    yield opened
    for tenant in ("t", "u"):
        await opened.delete_prefix(f"{tenant}/")


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def read(blobs: Blobs, key: str, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([piece async for piece in blobs.read(key, start, stop)])


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("sizes", [(), (0,), (1,), (PIECE, 1), (7 * PIECE, 6 * PIECE, 3)])
async def test_what_was_put_is_read(blobs: Blobs, sizes: tuple[int, ...]) -> None:
    parts = [random.randbytes(size) for size in sizes]
    await blobs.put("t/a", pieces(*parts))
    assert (await blobs.head("t/a")).size == sum(sizes)
    assert await read(blobs, "t/a") == b"".join(parts) == await blobs.read_all("t/a")
    assert all([len(piece) <= PIECE async for piece in blobs.read("t/a")])


@pytest.mark.parametrize("size", [10, 12 * PIECE])
async def test_a_stream_that_fails_leaves_nothing(blobs: Blobs, size: int, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * size
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await blobs.put("t/a/b", broken())
    with pytest.raises(NotFound):
        await blobs.head("t/a/b")
    assert files(tmp_path) == []


async def test_a_stream_that_fails_leaves_what_was_there(blobs: Blobs) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"new"
        raise ConnectionResetError

    await blobs.put("t/a", pieces(b"old"))
    with pytest.raises(ConnectionResetError):
        await blobs.put("t/a", broken())
    assert await blobs.read_all("t/a") == b"old"


async def test_a_blob_that_is_cut_off_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * PIECE
            await asyncio.sleep(0.01)

    putting = asyncio.create_task(blobs.put("t/a/b", endless()))
    await asyncio.sleep(0.2)
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    with pytest.raises(NotFound):
        await blobs.head("t/a/b")
    async with asyncio.timeout(60):
        while files(tmp_path):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 0), (0, 3), (5, None), (8, 99), (10, 10), (PIECE - 1, PIECE + 1)]
)
async def test_any_range_can_be_read(blobs: Blobs, start: int, stop: int | None) -> None:
    whole = random.randbytes(10 if start <= 10 else 2 * PIECE)
    await blobs.put("t/a", pieces(whole))
    assert await read(blobs, "t/a", start, stop) == whole[start:stop]


async def test_what_is_not_there_is_not_found(blobs: Blobs, tmp_path: Path) -> None:
    for asked in (
        blobs.head("t/a"),
        blobs.read_all("t/a"),
        read(blobs, "t/a"),
        read(blobs, "t/a", 0, 5),
        blobs.fetch("t/a", tmp_path / "copy"),
        blobs.move("t/a", "t/b"),
        blobs.copy("t/a", "t/b"),
    ):
        with pytest.raises(NotFound):
            await asked
    await blobs.delete("t/a")
    assert await blobs.delete_prefix("t/none/") == 0


async def test_a_folder_is_no_blob(blobs: Blobs) -> None:
    await blobs.put("t/a/b", pieces(b"x"))
    with pytest.raises(NotFound):
        await blobs.head("t/a")


async def test_everything_below_a_prefix_is_removed_and_nothing_beside_it(
    blobs: Blobs, tmp_path: Path
) -> None:
    for key in ("t/w/j1/1/a", "t/w/j1/2/b", "t/w/j10/a", "t/w/j", "u/w/j1/a"):
        await blobs.put(key, pieces(b"x"))
    assert await blobs.delete_prefix("t/w/j1/") == 2
    for key in ("t/w/j10/a", "t/w/j", "u/w/j1/a"):
        assert await blobs.read_all(key) == b"x"
    assert not (tmp_path / "blobs" / "t" / "w" / "j1").exists()


async def test_several_may_remove_the_same_at_a_time(blobs: Blobs) -> None:
    for _ in range(20):
        for number in range(12):
            await blobs.put(f"t/w/j/{number}/{number % 3}/a", pieces(b"x"))
        removing = (blobs.delete_prefix(prefix) for prefix in ("t/w/j/", "t/w/", "t/w/j/1/") * 3)
        looking = (look("t/w/") for look in (blobs.listed, blobs.folders) * 3)
        await asyncio.gather(*removing, *looking)
        assert await blobs.listed("t/w/") == {}


async def test_a_place_that_nobody_writes_to_any_more_is_cleared_of_half_written_files(
    blobs: Blobs, tmp_path: Path
) -> None:
    for key in ("t/in/u1.d/a", "t/in/u1.d/b", "t/in/u10.d/a", "t/in/u1"):
        await blobs.put(key, pieces(b"x"))
    here = tmp_path / "blobs" / "t" / "in" / "u1.d"
    if here.exists():
        (here / "c#1").write_bytes(b"half")  # as obstore names what it has not finished
    await blobs.clear("t/in/u1.d/")
    await blobs.clear("t/in/none.d/")
    assert not here.exists()
    for key in ("t/in/u10.d/a", "t/in/u1"):
        assert await blobs.read_all(key) == b"x"


async def test_a_blob_moves_over_another(blobs: Blobs) -> None:
    await blobs.put("t/in/a", pieces(b"new"))
    await blobs.put("t/files/a", pieces(b"old"))
    await blobs.move("t/in/a", "t/files/a")
    assert await blobs.read_all("t/files/a") == b"new"
    with pytest.raises(NotFound):
        await blobs.head("t/in/a")
    await blobs.copy("t/files/a", "t/new/folder/b")
    await blobs.copy("t/files/a", "t/new/folder/b")
    assert await blobs.read_all("t/new/folder/b") == await blobs.read_all("t/files/a")


@pytest.mark.parametrize("key", CLIMBING)
async def test_keys_cannot_climb(blobs: Blobs, key: str, tmp_path: Path) -> None:
    await blobs.put("t/there", pieces(b"x"))
    before = files(tmp_path)
    for asked in (
        blobs.put(key, pieces(b"x")),
        blobs.head(key),
        blobs.read_all(key),
        read(blobs, key, 0, 5),
        blobs.move("t/there", key),
        blobs.copy("t/there", key),
        blobs.copy(key, "t/there"),
        blobs.delete(key),
        blobs.delete_prefix(key),
        blobs.listed(key),
        blobs.folders(key),
        blobs.delete_listed("t/", [key]),
        blobs.delete_listed(key, ["t/there"]),
        blobs.fetch(key, tmp_path / "copy"),
    ):
        with pytest.raises(Invalid):
            await asked
    assert [path for path in files(tmp_path) if path != "copy"] == before
    on_disk = open_blobs((tmp_path / "other").as_uri())
    with pytest.raises(Invalid):
        on_disk.local_path(key)


def test_locations_refuse_names_that_climb() -> None:
    acme = tenant_id("acme")
    for name in ("..", "a/b", "", ".hidden", "a\x00"):
        with pytest.raises(Invalid):
            locations.work(acme, "j1", 1, name)


async def test_a_local_file_is_stored_with_its_hash(blobs: Blobs, tmp_path: Path) -> None:
    content = random.randbytes(3 * PIECE + 7)
    (tmp_path / "local").write_bytes(content)
    assert await blobs.put_file("t/a", tmp_path / "local") == hashlib.sha256(content).hexdigest()
    await blobs.fetch("t/a", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content


async def test_a_missing_local_file_is_not_a_missing_blob(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await blobs.put_file("t/a", tmp_path / "nowhere")


async def test_blobs_are_listed_with_their_size_and_time(blobs: Blobs) -> None:
    began = time.time() - 2
    for name, content in (("t/r/a/1", b"x"), ("t/r/b/2", b"yy"), ("t/ra/3", b"")):
        await blobs.put(name, pieces(content))
    found = await blobs.listed("t/r/")
    assert {key: info.size for key, info in found.items()} == {"t/r/a/1": 1, "t/r/b/2": 2}
    assert all(began < info.modified < time.time() + 2 for info in found.values())
    assert await blobs.listed("t/nothing/") == {}


async def test_folders_are_named_one_step_below(blobs: Blobs) -> None:
    for key in ("t/r/b/x/1", "t/r/a/2", "t/r/3", "t/ra/4"):
        await blobs.put(key, pieces(b"x"))
    assert await blobs.folders("t/r/") == ["a", "b"]
    assert await blobs.folders("t/nothing/") == []


async def test_only_what_was_listed_is_removed(blobs: Blobs) -> None:
    for key in ("t/r/a/1", "t/r/b/2"):
        await blobs.put(key, pieces(b"x"))
    there = await blobs.listed("t/r/")
    await blobs.put("t/r/b/late", pieces(b"x"))
    await blobs.delete("t/r/a/1")
    await blobs.delete_listed("t/r/", there)
    assert list(await blobs.listed("t/r/")) == ["t/r/b/late"]


async def test_a_neighbour_may_be_removed_while_a_blob_arrives(blobs: Blobs) -> None:
    async def slow() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x"
            await asyncio.sleep(0.005)

    async def remove_again_and_again() -> None:
        for number in range(20):
            await blobs.put(f"t/w/gone/{number}", pieces(b"y"))
            await blobs.delete_prefix("t/w/gone/")

    await asyncio.gather(
        remove_again_and_again(), *(blobs.put(f"t/w/stays/{n}", slow()) for n in range(10))
    )
    for number in range(10):
        assert await blobs.read_all(f"t/w/stays/{number}") == b"xxxxx"


async def test_whether_a_blob_exists_is_told(blobs: Blobs) -> None:
    await blobs.put("t/a/b", pieces(b""))
    assert await blobs.exists("t/a/b")
    assert not await blobs.exists("t/a")
    assert not await blobs.exists("t/a/c")
    with pytest.raises(Invalid):
        await blobs.exists("t/../a")


async def test_a_blob_is_replaced_as_a_whole(blobs: Blobs) -> None:
    for content in (b"a" * 6 * PIECE, b"short", b""):
        await blobs.put("t/a", pieces(content))
        assert await blobs.read_all("t/a") == content
        assert (await blobs.head("t/a")).size == len(content)


NAMES = ["a.b-c_d.JSON", "0-019f", "ünï ✓", "a+b", "a&b=c?d", "100%", "%41", "a#b", "~", "a b"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_stays_what_it_is(blobs: Blobs, name: str) -> None:
    key = f"t/w/{name}/{name}"
    await blobs.put(key, pieces(b"x"))
    await blobs.copy(key, f"t/w/copy/{name}")
    await blobs.move(key, f"t/w/moved/{name}")
    assert sorted(await blobs.listed("t/w/")) == [f"t/w/copy/{name}", f"t/w/moved/{name}"]
    assert await read(blobs, f"t/w/moved/{name}", 0, 1) == b"x"
    assert await blobs.delete_prefix("t/w/") == 2


async def test_more_blobs_than_one_page_are_listed_and_removed(blobs: Blobs) -> None:
    count = 1003

    async def put(some: range) -> None:
        for number in some:
            await blobs.put(f"t/many/{number:04d}", pieces(b"x"))

    await asyncio.gather(*(put(range(start, count, 8)) for start in range(8)))
    await blobs.put("t/manyfold", pieces(b"x"))
    assert len(await blobs.listed("t/many/")) == count
    assert await blobs.delete_prefix("t/many/") == count
    assert await blobs.listed("t/") == {"t/manyfold": await blobs.head("t/manyfold")}


async def test_a_store_that_is_there_answers(blobs: Blobs, tmp_path: Path) -> None:
    await blobs.ping()
    on_disk = blobs.local_path("t/a") is not None
    assert (await blobs.free_bytes() is not None) == on_disk


async def test_writers_of_one_key_leave_one_of_their_blobs(blobs: Blobs) -> None:
    contents = [bytes([number]) * (6 * PIECE) for number in range(3)]
    await asyncio.gather(*(blobs.put("t/a", pieces(*[each])) for each in contents))
    assert await blobs.read_all("t/a") in contents


async def test_a_large_blob_keeps_its_bytes_whatever_is_done_with_it(
    blobs: Blobs, tmp_path: Path
) -> None:
    content = random.randbytes(17 * PIECE + 1)
    (tmp_path / "large").write_bytes(content)
    digest = await blobs.put_file("t/in", tmp_path / "large")
    assert digest == hashlib.sha256(content).hexdigest()
    await blobs.copy("t/in", "t/copy")
    await blobs.move("t/in", "t/moved")
    for key in ("t/copy", "t/moved"):
        assert await blobs.read_all(key) == content
    assert await read(blobs, "t/moved", 16 * PIECE - 3, 17 * PIECE + 1) == content[16 * PIECE - 3 :]


async def test_who_reads_on_asks_a_remote_store_less_often(blobs: Blobs, tmp_path: Path) -> None:
    content = random.randbytes(20 * PIECE + 5)
    await blobs.put("t/a", pieces(content))
    asked: list[str] = []

    @asynccontextmanager
    async def around(key: str) -> AsyncIterator[None]:
        asked.append(key)
        yield

    watched = blobs.behind(around)
    found = [piece async for piece in watched.read("t/a", 3, len(content), AHEAD)]
    assert b"".join(found) == content[3:]
    assert max(map(len, found)) <= PIECE
    await watched.fetch("t/a", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content
    on_disk = blobs.local_path("t/a") is not None
    assert len(asked) == (0 if on_disk else 3 + 1 + 3)
