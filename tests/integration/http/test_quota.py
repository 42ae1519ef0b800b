"""Quotas and the disk's reserve, at the door: refused before a byte is sent, given back again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import aiohttp
import msgspec
import pytest

from services.gateway.settings import Settings
from services.gateway.tenants import Tenants
from shared.clock import now_ms
from shared.store.records import Records
from shared.store.redis import Store
from tests.integration.http.doors import BEE, Answer, Doors, doors
from tests.integration.work.bench import ACME

pytestmark = pytest.mark.integration
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}
MOST = 1000


@pytest.fixture
async def many(store: Store, tmp_path: Path) -> AsyncIterator[Doors]:
    async with doors(store, tmp_path, count=2) as made:
        tenants = Tenants(Records(store, "gateway"), now_ms)
        await tenants.change(ACME, max_bytes=MOST)
        yield made


async def begin(many: Doors, length: int | None, door: int = 0, **more: str) -> Answer:
    told = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return await many.call("POST", "/v1/uploads/", {**TUS, **told, **named}, door=door)


async def send(many: Doors, upload: Answer, offset: int, data: bytes, **more: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in more.items()}
    headers = {**BYTES, "Upload-Offset": str(offset), **named}
    return await many.call("PATCH", upload.headers["Location"], headers, data)


async def used(many: Doors) -> int:
    answer = await many.call("GET", "/v1/usage")
    found: dict[str, Any] = msgspec.json.decode(answer.body)
    assert found["max_bytes"] == MOST
    return int(found["bytes"])


async def test_an_upload_takes_its_bytes_before_it_has_any(many: Doors) -> None:
    assert (await begin(many, 700)).status == 201
    refused = await begin(many, 301, door=1)
    assert (refused.status, refused.code) == (413, "quota_exceeded")
    assert (await begin(many, 300, door=1)).status == 201
    assert await used(many) == MOST


async def test_uploads_that_begin_at_once_have_no_more_than_the_quota(many: Doors) -> None:
    begun = await asyncio.gather(*(begin(many, 300, door=n % 2) for n in range(10)))
    assert sorted(answer.status for answer in begun) == [201] * 3 + [413] * 7


async def test_an_upload_that_is_given_up_gives_its_bytes_back(many: Doors) -> None:
    upload = await begin(many, 900)
    await send(many, upload, 0, b"x" * 100)
    await many.call("DELETE", upload.headers["Location"], TUS)
    assert await used(many) == 0


async def test_an_abandoned_upload_gives_its_bytes_back(many: Doors) -> None:
    await begin(many, 900)
    (key,) = cast("list[bytes]", await many.store.commands.zrange("rw:uploads:expiring", 0, -1))
    await many.store.commands.zadd("rw:uploads:expiring", {key: 1})
    await many.store.commands.hset(key.decode(), "expires_at", "1")
    assert await many.pieces.drop_abandoned() == 1
    assert await used(many) == 0


async def test_an_upload_that_is_complete_keeps_its_bytes(many: Doors) -> None:
    upload = await begin(many, 900)
    assert (await send(many, upload, 0, b"x" * 900)).status == 204
    assert await used(many) == 900
    assert await many.store.commands.zcard("rw:space:leases") == 0
    await many.call("DELETE", upload.headers["Location"], TUS)  # its video stays
    assert await used(many) == 900


async def test_without_a_length_the_next_bytes_are_looked_at(many: Doors) -> None:
    upload = await begin(many, None)
    assert (await send(many, upload, 0, b"x" * 900)).status == 204
    refused = await send(many, upload, 900, b"x" * 101)
    assert (refused.status, refused.code) == (413, "quota_exceeded")
    assert await used(many) == 900
    assert (await send(many, upload, 900, b"x" * 100, Upload_Length="1000")).status == 204
    assert await used(many) == MOST


async def test_of_one_request_without_a_length_no_more_is_kept_than_the_quota(many: Doors) -> None:
    async def chunks(size: int) -> AsyncIterator[bytes]:
        yield b"x" * 10
        yield b"x" * (size - 10)

    refused = await many.call("POST", "/v1/videos", data=chunks(MOST + 1))
    assert (refused.status, refused.code) == (413, "quota_exceeded")
    assert (await many.call("POST", "/v1/videos", data=chunks(MOST))).status == 202
    assert await used(many) == MOST


async def test_an_upload_of_parts_counts_once(many: Doors) -> None:
    parts = [await begin(many, 400, Upload_Concat="partial") for _ in range(2)]
    for part in parts:
        assert (await send(many, part, 0, b"x" * 400)).status == 204
    places = " ".join(part.headers["Location"] for part in parts)
    final = await many.call("POST", "/v1/uploads/", {**TUS, "Upload-Concat": f"final;{places}"})
    assert final.status == 201
    assert await used(many) == 800


async def test_parts_that_cannot_be_joined_keep_what_they_have(many: Doors) -> None:
    part = await begin(many, 400, Upload_Concat="partial")
    await send(many, part, 0, b"x" * 399)
    concat = {"Upload-Concat": f"final;{part.headers['Location']}"}
    assert (await many.call("POST", "/v1/uploads/", {**TUS, **concat})).status == 409
    assert await used(many) == 400


async def test_an_upload_in_one_request_is_refused_before_its_bytes(many: Doors) -> None:
    refused = await many.call("POST", "/v1/videos", data=b"x" * (MOST + 1))
    assert (refused.status, refused.code) == (413, "quota_exceeded")
    assert many.files() == []
    assert await used(many) == 0
    assert (await many.call("POST", "/v1/videos", data=b"x" * MOST)).status == 202
    assert await used(many) == MOST


async def until_used(many: Doors, size: int) -> None:
    for _ in range(6000):
        if await used(many) == size:
            return
        await asyncio.sleep(0.01)
    raise TimeoutError(await used(many))


async def test_a_request_that_breaks_off_gives_its_bytes_back(many: Doors) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield b"x" * 300
        await until_used(many, 900)
        raise ConnectionResetError

    with pytest.raises(aiohttp.ClientError):
        await many.call("POST", "/v1/videos", {"Content-Length": "900"}, data=half())
    await until_used(many, 0)


async def test_a_quota_is_of_one_tenant_alone(many: Doors) -> None:
    assert (await begin(many, MOST)).status == 201
    told = {**TUS, "Upload-Length": "5000"}
    assert (await many.call("POST", "/v1/uploads/", told, tenant=BEE)).status == 201


async def test_below_the_reserve_nothing_is_taken_in_and_it_ends_by_itself(
    store: Store, tmp_path: Path
) -> None:
    """The reserve is set so that whatever disk this is has too little, and then enough."""
    stat = os.statvfs(tmp_path)
    free = stat.f_bavail * stat.f_frsize
    async with doors(
        store, tmp_path / "a", count=1, settings=Settings(port=0, reserve_bytes=free * 2)
    ) as full:
        refused = await begin(full, 10)
        assert (refused.status, refused.code) == (507, "storage_full")
        one = await full.call("POST", "/v1/videos", data=b"x")
        assert (one.status, one.code) == (507, "storage_full")
        assert b'"paused"' in (await full.call("GET", "/v1/usage")).body
    async with doors(
        store, tmp_path / "b", count=1, settings=Settings(port=0, reserve_bytes=0)
    ) as roomy:
        assert (await begin(roomy, 10)).status == 201
        assert b'"open"' in (await roomy.call("GET", "/v1/usage")).body
        too_much = await begin(roomy, free * 2)
        assert too_much.status in {413, 507}
