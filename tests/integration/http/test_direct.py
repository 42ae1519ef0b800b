"""Uploads that go to S3 directly: what a browser does, and what goes wrong on its way."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from yarl import URL

from services.gateway import direct
from shared.blobs import locations
from shared.ids import new_id
from shared.store.keys import upload_key
from shared.store.redis import Store
from tests.integration.http.doors import BEE, SETTINGS, Answer, Doors, doors
from tests.integration.work.bench import ACME
from tests.support.bus import until
from tests.support.s3 import Beside

PATH = "/v1/direct-uploads"
PART = 16 * 1024 * 1024
VIDEO = random.Random(9).randbytes(PART) + b"the last part"


@pytest.fixture
async def house(store: Store, tmp_path: Path, s3_url: str) -> AsyncIterator[Doors]:
    async with doors(store, tmp_path, blobs_url=s3_url) as made:
        yield made
        await made.blobs.delete_prefix("acme/")


@pytest.fixture
def beside(s3_url: str) -> Beside:
    return Beside(s3_url)


def shown(answer: Answer) -> Any:
    return msgspec.json.decode(answer.body)


async def begun(house: Doors, size: int = len(VIDEO), **more: Any) -> Any:
    body = msgspec.json.encode({"name": "a.mp4", "size": size})
    answer = await house.call("POST", PATH, _json(more), body)
    assert answer.status == 201, answer
    assert answer.headers["Location"] == f"{PATH}/{shown(answer)['id']}"
    return shown(answer)


def _json(headers: dict[str, str] | None = None) -> dict[str, str]:
    return {"Content-Type": "application/json", **(headers or {})}


async def signed(house: Doors, upload: Any, number: int, door: int = 0) -> Any:
    answer = await house.call("POST", f"{PATH}/{upload['id']}/parts/{number}", door=door)
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store"), answer
    return shown(answer)


async def put(house: Doors, address: Any, content: bytes) -> str:
    """Send a part as a browser does; answers its tag."""
    url = URL(address["url"], encoded=True)  # as it was signed
    async with house.session.put(url, data=io.BytesIO(content)) as reply:
        assert reply.status == 200, await reply.text()
        return str(reply.headers["ETag"])


async def sent(house: Doors, upload: Any, content: bytes = VIDEO) -> list[dict[str, Any]]:
    """Send every part; answers their tags."""
    tags = []
    for number in range(1, upload["parts"] + 1):
        address = await signed(house, upload, number, number % 2)
        piece = content[(number - 1) * PART : number * PART]
        assert (address["method"], address["size"]) == ("PUT", len(piece))
        tags.append({"number": number, "etag": await put(house, address, piece)})
    return tags


async def completed(house: Doors, upload: Any, parts: Any = None, door: int = 0) -> Answer:
    body = None if parts is None else msgspec.json.encode({"parts": parts})
    headers = _json() if body else None
    return await house.call("POST", f"{PATH}/{upload['id']}/complete", headers, body, door)


async def is_one_job(house: Doors, upload: Any) -> None:
    async def is_asked_for() -> bool:
        return bool(await house.submits())

    await until(is_asked_for)
    (submit,) = await house.submits()
    assert (submit["job_id"], submit["subject"]) == (upload["job"], upload["video"])
    params = {"upload_id": upload["id"], "name": "a.mp4", "size": upload["size"]}
    assert submit["params"] == params


async def test_parts_that_went_to_the_store_become_one_job(house: Doors, beside: Beside) -> None:
    upload = await begun(house)
    assert (upload["part_size"], upload["parts"], upload["state"]) == (PART, 2, "open")
    tags = await sent(house, upload)
    listed = shown(await house.call("GET", f"{PATH}/{upload['id']}/parts"))["items"]
    assert [part["size"] for part in listed] == [PART, len(VIDEO) - PART]
    assert [part["etag"] for part in listed] == [tag["etag"] for tag in tags]
    answer = await completed(house, upload, tags, door=1)
    assert (answer.status, answer.headers["Location"]) == (202, f"/v1/jobs/{upload['job']}")
    assert shown(answer)["video"]["id"] == upload["video"]
    await is_one_job(house, upload)
    (key,) = await house.pieces.uploads.pieces(ACME, upload["id"])
    assert key.startswith(f"acme/incoming/{upload['id']}")
    assert await house.blobs.read_all(key) == VIDEO
    after = shown(await house.call("GET", f"{PATH}/{upload['id']}"))
    assert (after["state"], after["expires_at"]) == ("complete", None)
    assert await beside.unfinished() == []


async def test_completing_twice_is_once(house: Doors) -> None:
    upload = await begun(house, 3)
    await sent(house, upload, b"abc")
    answers = await asyncio.gather(*(completed(house, upload, door=at % 2) for at in range(4)))
    answers.append(await completed(house, upload))
    assert [answer.status for answer in answers] == [202] * 5
    assert len({answer.headers["Location"] for answer in answers}) == 1
    await is_one_job(house, upload)


async def test_a_gateway_that_died_while_completing_is_followed_by_another(house: Doors) -> None:
    upload = await begun(house)
    await sent(house, upload)
    found = await house.uploads.get(ACME, upload["id"], direct=True)
    key, s3 = locations.direct(ACME, upload["id"]), house.blobs.s3
    assert s3
    parts = await s3.parts(key, found.direct)
    await s3.finish(key, found.direct, [(part.number, part.etag) for part in parts])
    assert (await completed(house, upload)).status == 202
    await is_one_job(house, upload)


async def test_what_is_missing_or_not_whole_is_told_and_can_be_sent(house: Doors) -> None:
    upload = await begun(house, 2 * PART + 5)
    for number, content in ((1, b"x" * PART), (3, b"1234")):
        found = await house.uploads.get(ACME, upload["id"], direct=True)
        s3, key = house.blobs.s3, locations.direct(ACME, upload["id"])
        assert s3
        url = await s3.part_address(key, found.direct, (number, len(content)), 60)
        await put(house, {"url": url}, content)
    answer = await completed(house, upload)
    assert (answer.status, answer.code) == (409, "parts_missing")
    assert "2 of 3 parts are missing or not whole: 2, 3" in shown(answer)["detail"]
    for number, content in ((2, b"y" * PART), (3, b"12345")):
        await put(house, await signed(house, upload, number), content)
    assert (await completed(house, upload)).status == 202
    await is_one_job(house, upload)


async def test_parts_that_are_not_what_was_sent_are_told(house: Doors) -> None:
    upload = await begun(house, 3)
    tags = await sent(house, upload, b"abc")
    other = [{"number": 1, "etag": '"0123"'}]
    answer = await completed(house, upload, other)
    assert (answer.status, answer.code) == (409, "parts_differ")
    bare = [{"number": 1, "etag": tags[0]["etag"].strip('"')}]
    assert (await completed(house, upload, bare)).status == 202


async def test_the_length_of_a_part_is_part_of_its_address(house: Doors) -> None:
    address = await signed(house, await begun(house), 2)
    assert "X-Amz-SignedHeaders=content-length%3Bhost" in address["url"]
    assert "X-Amz-Expires=3600" in address["url"]
    assert address["size"] == len(VIDEO) - PART


@pytest.mark.parametrize("number", [0, 3, 10_001, 99_999])
async def test_there_are_as_many_parts_as_the_size_makes(house: Doors, number: int) -> None:
    upload = await begun(house)
    answer = await house.call("POST", f"{PATH}/{upload['id']}/parts/{number}")
    assert answer.status == 404


def test_parts_are_what_s3_takes() -> None:
    for size in (1, PART, PART + 1, 50 * 1024**3, 5 * 1024**4):
        made = direct.sizes(size)
        assert sum(made) == size
        assert len(made) <= 10_000
        assert all(5 * 1024**2 <= each <= 5 * 1024**3 for each in made[:-1])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"size": 0}, 400),
        ({"size": -1}, 400),
        ({}, 400),
        ({"size": 5, "key": "../other"}, 400),
        ({"size": 51 * 1024**3}, 413),
        ({"size": 5, "name": "a\x00b"}, 400),
    ],
)
async def test_what_cannot_be_taken_is_refused_at_once(
    house: Doors, beside: Beside, body: Any, status: int
) -> None:
    answer = await house.call("POST", PATH, _json(), msgspec.json.encode(body))
    assert answer.status == status
    assert await beside.unfinished() == []


async def everything(house: Doors, upload_id: str, **more: Any) -> list[Answer]:
    path = f"{PATH}/{upload_id}"
    asked = (
        ("GET", path),
        ("POST", f"{path}/parts/1"),
        ("GET", f"{path}/parts"),
        ("POST", f"{path}/complete"),
        ("DELETE", path),
    )
    return [await house.call(method, where, **more) for method, where in asked]


async def test_nobody_else_can_touch_it(house: Doors) -> None:
    upload = await begun(house, 3)
    foreign = await everything(house, upload["id"], tenant=BEE)
    unknown = await everything(house, new_id(), tenant=BEE)
    assert [answer.status for answer in foreign] == [404] * 5
    for one, other in zip(foreign, unknown, strict=True):
        assert shown(one)["detail"] == shown(other)["detail"]
        assert (one.status, one.code) == (other.status, other.code)
    await sent(house, upload, b"abc")
    assert (await completed(house, upload)).status == 202


async def test_it_is_no_upload_of_the_other_kind(house: Doors) -> None:
    upload = await begun(house, 3)
    tus = {"Tus-Resumable": "1.0.0"}
    sending = {**tus, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    path = f"/v1/uploads/{upload['id']}"
    for method, headers in (("HEAD", tus), ("PATCH", sending), ("DELETE", tus), ("GET", {})):
        data = b"abc" if method == "PATCH" else None
        assert (await house.call(method, path, headers, data)).status == 404
    made = await house.call("POST", "/v1/uploads/", {**tus, "Upload-Length": "3"})
    resumable = made.headers["Location"].rpartition("/")[2]
    assert [answer.status for answer in await everything(house, resumable)] == [404] * 5
    assert (await house.call("HEAD", f"/v1/uploads/{resumable}", tus)).status == 200


async def test_what_is_given_up_leaves_nothing(house: Doors, beside: Beside) -> None:
    upload = await begun(house)
    await put(house, await signed(house, upload, 1), VIDEO[:PART])
    assert (await house.call("DELETE", f"{PATH}/{upload['id']}")).status == 204
    assert await beside.unfinished() == []
    assert [answer.status for answer in await everything(house, upload["id"])] == [404] * 5


async def test_one_that_is_complete_is_only_forgotten(house: Doors) -> None:
    upload = await begun(house, 3)
    await sent(house, upload, b"abc")
    assert (await completed(house, upload)).status == 202
    late = await house.call("POST", f"{PATH}/{upload['id']}/parts/1")
    assert late.status == 409
    assert (await house.call("DELETE", f"{PATH}/{upload['id']}")).status == 204
    assert await house.blobs.exists(locations.direct(ACME, upload["id"]))


async def expire(house: Doors, upload: Any, at: int) -> None:
    key = upload_key(ACME, upload["id"])
    await house.store.commands.hset(key, "expires_at", at)
    await house.store.commands.zadd("rw:uploads:expiring", {key: at})


@pytest.mark.parametrize("is_finished", [False, True], ids=["parts", "a blob"])
async def test_an_abandoned_one_goes_with_its_parts(
    house: Doors, beside: Beside, is_finished: bool
) -> None:
    upload = await begun(house, 3)
    await sent(house, upload, b"abc")
    if is_finished:  # and then its gateway died
        found = await house.uploads.get(ACME, upload["id"], direct=True)
        key, s3 = locations.direct(ACME, upload["id"]), house.blobs.s3
        assert s3
        (part,) = await s3.parts(key, found.direct)
        await s3.finish(key, found.direct, [(1, part.etag)])
    assert await house.pieces.drop_abandoned() == 0
    await expire(house, upload, 1)
    assert await house.pieces.drop_abandoned() == 1
    assert await beside.unfinished() == []
    assert await house.blobs.listed("acme/") == {}
    assert (await completed(house, upload)).status == 404


async def test_whoever_asks_for_parts_has_not_abandoned_it(house: Doors) -> None:
    upload = await begun(house, 3)
    found = await house.uploads.get(ACME, upload["id"], direct=True)
    await expire(house, upload, found.expires_at - 20 * 3600 * 1000)
    await signed(house, upload, 1)
    after = await house.uploads.get(ACME, upload["id"], direct=True)
    assert after.expires_at >= found.expires_at
    assert (after.state, after.offset) == ("open", 0)


async def test_one_that_the_store_has_let_go_is_told(house: Doors) -> None:
    upload = await begun(house, 3)
    found = await house.uploads.get(ACME, upload["id"], direct=True)
    assert house.blobs.s3
    await house.blobs.s3.give_up(locations.direct(ACME, upload["id"]), found.direct)
    answer = await completed(house, upload)
    assert (answer.status, answer.code) == (409, "upload_gone")
    assert (await house.call("DELETE", f"{PATH}/{upload['id']}")).status == 204


async def test_a_repeated_beginning_is_one(house: Doors, beside: Beside) -> None:
    key = {"Idempotency-Key": "the-one"}
    first = await begun(house, 3, **key)
    assert (await begun(house, 3, **key))["id"] == first["id"]
    assert len(await beside.unfinished()) == 1


async def test_where_the_bytes_are_not_on_s3_the_other_way_is_told(
    store: Store, tmp_path: Path
) -> None:
    async with doors(store, tmp_path, 1, "", SETTINGS) as house:
        answer = await house.call("POST", PATH, _json(), b'{"size": 5}')
        assert (answer.status, answer.code) == (409, "not_on_s3")
        assert shown(answer)["hint"] == "use /v1/uploads/"
