"""tus 1.0.0 on real gateways: what the protocol demands, and what clients in trouble need."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from shared.ids import new_id
from shared.store.keys import upload_key
from shared.store.redis import Store
from tests.integration.http.doors import BEE, Answer, Doors, doors
from tests.integration.work.bench import ACME
from tests.support.bus import until

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}
NOTHING: Mapping[str, str] = {}
VIDEO = random.Random(1).randbytes(300_000)


@pytest.fixture
async def house(store: Store, tmp_path: Path) -> AsyncIterator[Doors]:
    async with doors(store, tmp_path) as made:
        yield made


def coded(content: bytes) -> str:
    return base64.b64encode(content).decode()


async def begun(
    house: Doors, length: int | None = len(VIDEO), headers: Mapping[str, str] = NOTHING
) -> str:
    """The path of a new upload."""
    told = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    answer = await house.call("POST", "/v1/uploads/", {**TUS, **told, **headers})
    assert answer.status == 201, answer
    return answer.headers["Location"]


async def sent(house: Doors, path: str, offset: int, data: Any, **more: Any) -> Answer:
    headers = {**BYTES, "Upload-Offset": str(offset), **more.pop("headers", {})}
    return await house.call("PATCH", path, headers, data, **more)


async def offset_of(house: Doors, path: str) -> int:
    answer = await house.call("HEAD", path, TUS)
    assert answer.status == 200, answer
    return int(answer.headers["Upload-Offset"])


async def content(house: Doors, path: str) -> bytes:
    """The bytes of an upload that count."""
    keys = await house.pieces.uploads.pieces(ACME, path.rpartition("/")[2])
    return b"".join((house.folder / key).read_bytes() for key in keys)


async def test_what_is_spoken_here_is_told_to_anybody(house: Doors) -> None:
    async with house.session.options(f"{house.urls[0]}/v1/uploads/") as reply:
        assert (reply.status, reply.headers["Tus-Version"]) == (204, "1.0.0")
        assert "Tus-Resumable" not in reply.headers
        assert set(reply.headers["Tus-Extension"].split(",")) == {
            "creation",
            "creation-with-upload",
            "creation-defer-length",
            "termination",
            "checksum",
            "expiration",
            "concatenation",
        }
        assert {"sha1", "sha256"} == set(reply.headers["Tus-Checksum-Algorithm"].split(","))
        assert int(reply.headers["Tus-Max-Size"]) > 1 << 30


async def test_an_upload_in_pieces_becomes_one_job(house: Doors) -> None:
    path = await begun(house, headers={"Upload-Metadata": f"filename {coded('Ünï.mp4'.encode())}"})
    for start in range(0, len(VIDEO), 100_000):
        piece, door = VIDEO[start : start + 100_000], start // 100_000 % 2
        answer = await sent(house, path, start, piece, door=door)
        assert (answer.status, answer.headers["Tus-Resumable"]) == (204, "1.0.0")
        assert answer.headers["Upload-Offset"] == str(start + 100_000)
    shown = await house.call("GET", path)
    assert b'"state":"complete"' in shown.body
    assert await content(house, path) == VIDEO

    async def is_asked_for() -> bool:
        return bool(await house.submits())

    await until(is_asked_for)
    (submit,) = await house.submits()
    upload = await house.uploads.get(ACME, path.rpartition("/")[2])
    assert (submit["job_id"], submit["subject"]) == (upload.job_id, upload.video_id)
    assert submit["params"] == {"upload_id": upload.id, "name": "Ünï.mp4", "size": len(VIDEO)}
    video = await house.call("GET", f"/v1/videos/{upload.video_id}")
    assert video.status == 200


async def test_an_upload_says_how_far_it_is(house: Doors) -> None:
    metadata = f"filename {coded(b'a.mp4')},is_private"
    path = await begun(house, headers={"Upload-Metadata": metadata})
    await sent(house, path, 0, VIDEO[:7])
    answer = await house.call("HEAD", path, TUS, door=1)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Upload-Offset"] == "7"
    assert answer.headers["Upload-Length"] == str(len(VIDEO))
    assert answer.headers["Upload-Metadata"] == metadata
    assert answer.headers["Upload-Expires"].endswith(" GMT")
    assert answer.headers["Tus-Resumable"] == "1.0.0"


@pytest.mark.parametrize("given", [{}, {"Tus-Resumable": "0.9"}])
@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
async def test_another_version_is_told_ours(
    house: Doors, method: str, given: dict[str, str]
) -> None:
    path = "/v1/uploads/" if method == "POST" else await begun(house)
    headers = {**BYTES, "Upload-Offset": "0", "Upload-Length": "5"} | given
    if not given:
        del headers["Tus-Resumable"]
    answer = await house.call(method, path, headers, None if method == "HEAD" else b"12345")
    assert (answer.status, answer.headers["Tus-Version"]) == (412, "1.0.0")
    if method != "POST":
        assert await offset_of(house, path) == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Upload-Offset": "3"}, 409),
        ({"Upload-Offset": "-1"}, 400),
        ({"Upload-Offset": ""}, 400),
        ({"Upload-Offset": "0", "Content-Type": "video/mp4"}, 415),
        ({"Upload-Offset": "0", "Upload-Length": "7"}, 409),
        ({"Upload-Offset": "0", "Upload-Checksum": "md5 YQ=="}, 400),
        ({"Upload-Offset": "0", "Content-Encoding": "gzip"}, 415),
    ],
)
async def test_what_cannot_be_added_changes_nothing(
    house: Doors, headers: dict[str, str], status: int
) -> None:
    path = await begun(house)
    answer = await house.call("PATCH", path, {**BYTES, **headers}, b"12345")
    assert (answer.status, answer.headers["Tus-Resumable"]) == (status, "1.0.0")
    assert await offset_of(house, path) == 0
    assert house.files() == []


async def test_no_more_is_taken_than_was_told(house: Doors) -> None:
    path = await begun(house, 5)
    assert (await sent(house, path, 0, b"123456")).status == 413
    assert await offset_of(house, path) == 0
    assert (await sent(house, path, 0, b"12345")).status == 204
    assert (await sent(house, path, 5, b"")).status == 204
    assert (await sent(house, path, 5, b"6")).status == 413
    assert await offset_of(house, path) == 5


async def test_an_upload_that_is_too_long_is_not_begun(house: Doors) -> None:
    answer = await house.call("POST", "/v1/uploads/", {**TUS, "Upload-Length": str(1 << 50)})
    assert (answer.status, answer.code) == (413, "too_large")


async def test_the_first_bytes_may_come_at_once(house: Doors) -> None:
    headers = {**BYTES, "Upload-Length": str(len(VIDEO))}
    answer = await house.call("POST", "/v1/uploads/", headers, VIDEO[:1000])
    assert (answer.status, answer.headers["Upload-Offset"]) == (201, "1000")
    path = answer.headers["Location"]
    assert (await sent(house, path, 1000, VIDEO[1000:])).status == 204
    assert await content(house, path) == VIDEO


async def test_a_length_may_be_told_later_once(house: Doors) -> None:
    path = await begun(house, None)
    assert (await house.call("HEAD", path, TUS)).headers["Upload-Defer-Length"] == "1"
    await sent(house, path, 0, VIDEO[:10])
    length = {"Upload-Length": "20"}
    assert (await sent(house, path, 10, b"", headers={"Upload-Length": "9"})).status == 409
    assert (await sent(house, path, 10, VIDEO[10:15], headers=length)).status == 204
    assert (await sent(house, path, 15, b"", headers={"Upload-Length": "15"})).status == 409
    assert (await house.call("HEAD", path, TUS)).headers["Upload-Length"] == "20"
    await sent(house, path, 15, VIDEO[15:20])
    assert b'"state":"complete"' in (await house.call("GET", path)).body


async def test_a_length_that_is_told_last_completes_it(house: Doors) -> None:
    path = await begun(house, None)
    await sent(house, path, 0, VIDEO)
    headers = {"Upload-Length": str(len(VIDEO))}
    assert (await sent(house, path, len(VIDEO), b"", headers=headers)).status == 204
    assert b'"state":"complete"' in (await house.call("GET", path)).body


async def test_an_upload_without_bytes_is_complete_at_once(house: Doors) -> None:
    path = await begun(house, 0)
    assert b'"state":"complete"' in (await house.call("GET", path)).body


async def test_bytes_that_do_not_add_up_leave_nothing(house: Doors) -> None:
    path = await begun(house)
    wrong = {"Upload-Checksum": f"sha1 {coded(hashlib.sha1(b'other').digest())}"}
    answer = await sent(house, path, 0, VIDEO, headers=wrong)
    assert (answer.status, answer.code) == (460, "checksum_mismatch")
    assert (await offset_of(house, path), house.files()) == (0, [])
    right = {"Upload-Checksum": f"sha256 {coded(hashlib.sha256(VIDEO).digest())}"}
    assert (await sent(house, path, 0, VIDEO, headers=right)).status == 204
    assert await content(house, path) == VIDEO


async def broken(
    house: Doors, path: str, headers: dict[str, str], data: bytes, stays: float = 0.05
) -> None:
    """A client that says it sends more, and leaves."""
    parts = urlsplit(house.urls[0])
    lines = {"Host": "x", "Authorization": f"Bearer {house.keys[ACME]}", **BYTES, **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(f"PATCH {path} HTTP/1.1\r\n{head}\r\n".encode() + data)
    await writer.drain()
    await asyncio.sleep(stays)
    writer.close()
    await writer.wait_closed()


async def test_bytes_that_came_before_a_cut_are_kept(house: Doors) -> None:
    path = await begun(house)
    length = {"Content-Length": str(len(VIDEO)), "Upload-Offset": "0"}
    await broken(house, path, length, VIDEO[:123_456])

    async def is_kept() -> bool:
        return await offset_of(house, path) == 123_456

    await until(is_kept)
    assert (await sent(house, path, 123_456, VIDEO[123_456:], door=1)).status == 204
    assert await content(house, path) == VIDEO


async def test_bytes_that_came_together_with_a_cut_are_kept(house: Doors) -> None:
    """Else an upload gets nowhere on a line that breaks as soon as it has carried a little."""
    path = await begun(house)
    for at in range(0, 250_000, 50_000):
        length = {"Content-Length": str(len(VIDEO) - at), "Upload-Offset": str(at)}
        await broken(house, path, length, VIDEO[at : at + 50_000], stays=0)

        async def is_kept(offset: int = at + 50_000) -> bool:
            return (await house.uploads.get(ACME, path.rpartition("/")[2])).offset == offset

        await until(is_kept)
    assert (await sent(house, path, 250_000, VIDEO[250_000:])).status == 204
    assert await content(house, path) == VIDEO


async def test_a_cut_within_bytes_that_shall_add_up_leaves_nothing(house: Doors) -> None:
    path = await begun(house)
    digest = coded(hashlib.sha1(VIDEO).digest())
    headers = {"Content-Length": str(len(VIDEO)), "Upload-Offset": "0"}
    await broken(house, path, {**headers, "Upload-Checksum": f"sha1 {digest}"}, VIDEO[:99])
    assert await offset_of(house, path) == 0
    assert house.files() == []


async def test_a_client_that_comes_back_need_not_wait_for_its_dead_connection(
    house: Doors,
) -> None:
    path = await begun(house)
    go_on = asyncio.Event()

    async def stalls() -> AsyncIterator[bytes]:
        yield VIDEO[:5000]
        await go_on.wait()
        yield b"late"

    first = asyncio.create_task(sent(house, path, 0, stalls()))
    await until(lambda: _has_bytes(house))
    offset = await offset_of(house, path)  # on the other gateway's account: it asks to stop
    assert offset == 5000
    assert (await sent(house, path, 5000, VIDEO[5000:], door=1)).status == 204
    go_on.set()
    answer = await first
    assert (answer.status, answer.code) == (423, "upload_taken")
    assert await content(house, path) == VIDEO


async def test_a_wish_that_was_fulfilled_stops_nobody_after(house: Doors) -> None:
    path = await begun(house)
    go_on = asyncio.Event()

    async def stalls() -> AsyncIterator[bytes]:
        yield VIDEO[:5000]
        await go_on.wait()

    async def slowly() -> AsyncIterator[bytes]:
        for start in range(5000, len(VIDEO), 59_000):
            yield VIDEO[start : start + 59_000]
            await asyncio.sleep(0.3)  # in all, longer than it takes to hear of a wish

    first = asyncio.create_task(sent(house, path, 0, stalls()))
    await until(lambda: _has_bytes(house))
    assert await offset_of(house, path) == 5000
    assert (await sent(house, path, 5000, slowly())).status == 204
    go_on.set()
    assert (await first).status == 423


async def _has_bytes(house: Doors) -> bool:
    """Whether a piece is being written; local blobs are written beside their name first."""
    return any(path.is_file() for path in house.folder.rglob("*"))


async def test_two_clients_on_one_upload_make_one_file(house: Doors) -> None:
    path = await begun(house)

    async def pushes(door: int) -> None:
        for _ in range(200):
            at = int((await house.call("HEAD", path, TUS, door=door)).headers["Upload-Offset"])
            if at == len(VIDEO):
                return
            size = random.randrange(1, 40_000)
            answer = await sent(house, path, at, VIDEO[at : at + size], door=door)
            assert answer.status in {204, 409, 423}, answer
        raise AssertionError("it never came to an end")

    await asyncio.gather(pushes(0), pushes(1))
    assert await content(house, path) == VIDEO
    await until(lambda: _submitted_once(house))


async def _submitted_once(house: Doors) -> bool:
    return len(await house.submits()) == 1


async def test_an_upload_that_is_given_up_leaves_nothing(house: Doors) -> None:
    path = await begun(house)
    await sent(house, path, 0, VIDEO[:1000])
    assert (await house.call("DELETE", path, TUS)).status == 204
    assert house.files() == []
    for method in ("HEAD", "DELETE", "PATCH"):
        answer = await house.call(method, path, {**BYTES, "Upload-Offset": "1000"})
        assert answer.status == 404
        assert "Upload-Offset" not in answer.headers
    assert await house.store.commands.keys("*upload:*") == []


async def test_methods_may_be_written_in_a_header(house: Doors) -> None:
    path = await begun(house)
    patch = {**BYTES, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert (await house.call("POST", path, patch, VIDEO[:10])).status == 204
    head = await house.call("POST", path, {**TUS, "X-HTTP-Method-Override": "HEAD"})
    assert head.headers["Upload-Offset"] == "10"
    assert (await house.call("POST", path, TUS)).status == 405
    delete = {**TUS, "X-HTTP-Method-Override": "DELETE"}
    assert (await house.call("POST", path, delete)).status == 204
    assert (await house.call("HEAD", path, TUS)).status == 404


async def test_parts_that_came_side_by_side_become_one(house: Doors) -> None:
    half, concat = len(VIDEO) // 2, {"Upload-Concat": "partial"}
    paths = [await begun(house, half, concat) for _ in range(2)]
    await asyncio.gather(
        sent(house, paths[0], 0, VIDEO[:half]), sent(house, paths[1], 0, VIDEO[half:], door=1)
    )
    assert await house.submits() == []
    assert (await house.call("HEAD", paths[0], TUS)).headers["Upload-Concat"] == "partial"
    final = {**TUS, "Upload-Concat": f"final;{paths[0]} {house.urls[1]}{paths[1]}"}
    answer = await house.call("POST", "/v1/uploads/", final)
    assert answer.status == 201
    path = answer.headers["Location"]
    head = await house.call("HEAD", path, TUS)
    assert head.headers["Upload-Concat"] == final["Upload-Concat"]
    assert head.headers["Upload-Offset"] == head.headers["Upload-Length"] == str(len(VIDEO))
    assert (await sent(house, path, len(VIDEO), b"")).status == 403
    assert await content(house, path) == VIDEO
    await until(lambda: _submitted_once(house))


async def test_parts_that_are_not_complete_or_not_ours_become_nothing(house: Doors) -> None:
    part = await begun(house, 10, {"Upload-Concat": "partial"})
    whole = await begun(house, 10)
    foreign = await house.call(
        "POST",
        "/v1/uploads/",
        {**BYTES, "Upload-Length": "3", "Upload-Concat": "partial"},
        b"bee",
        tenant=BEE,
    )
    for other, status in (
        (part, 409),
        (whole, 404),
        (foreign.headers["Location"], 404),
        (f"/v1/uploads/{new_id()}", 404),
    ):
        final = {**TUS, "Upload-Concat": f"final;{other}"}
        assert (await house.call("POST", "/v1/uploads/", final)).status == status
    assert (await house.call("HEAD", foreign.headers["Location"], TUS, tenant=BEE)).status == 200


@pytest.mark.parametrize("method", ["HEAD", "GET", "PATCH", "DELETE"])
async def test_another_tenants_upload_is_none(house: Doors, method: str) -> None:
    path = await begun(house)
    headers = {**BYTES, "Upload-Offset": "0"}
    data = b"1" if method == "PATCH" else None
    foreign = await house.call(method, path, headers, data, tenant=BEE)
    missing = await house.call(method, f"/v1/uploads/{new_id()}", headers, data, tenant=BEE)
    assert (foreign.status, foreign.code) == (missing.status, missing.code) == (404, foreign.code)
    assert await offset_of(house, path) == 0


async def test_nobody_begins_without_a_key(house: Doors) -> None:
    async with house.session.post(
        f"{house.urls[0]}/v1/uploads/", headers={**TUS, "Upload-Length": "5"}
    ) as reply:
        assert (reply.status, reply.headers["Tus-Resumable"]) == (401, "1.0.0")


async def test_an_abandoned_upload_goes_with_its_bytes(house: Doors) -> None:
    path = await begun(house)
    await sent(house, path, 0, VIDEO[:1000])
    other = await begun(house)
    assert await house.pieces.drop_abandoned() == 0
    upload_id = path.rpartition("/")[2]
    key = upload_key(ACME, upload_id)
    await house.store.commands.hset(key, "expires_at", 1)
    await house.store.commands.zadd("rw:uploads:expiring", {key: 1})
    assert await house.pieces.drop_abandoned() == 1
    assert house.files() == []
    assert (await house.call("HEAD", path, TUS)).status == 404
    assert (await house.call("HEAD", other, TUS)).status == 200


async def test_an_upload_that_is_begun_twice_with_one_key_is_one(house: Doors) -> None:
    headers = {**BYTES, "Upload-Length": "5", "Idempotency-Key": "once"}
    first = await house.call("POST", "/v1/uploads/", headers, b"12345")
    again = await house.call("POST", "/v1/uploads/", headers, b"12345", door=1)
    assert first.headers["Location"] == again.headers["Location"]
    assert await content(house, first.headers["Location"]) == b"12345"
