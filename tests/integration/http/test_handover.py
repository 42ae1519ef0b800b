"""Videos that the object store or the proxy sends, and those that the gateway still sends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import pytest
from yarl import URL

from services.gateway.door import BlobContent
from shared.blobs.store import open_blobs
from shared.http import handover
from shared.store.redis import Store
from tests.integration.http.doors import BEE, SETTINGS, Doors, doors
from tests.integration.work.bench import ACME
from tests.support import range_table

VIDEO = random.Random(5).randbytes(1_500_000)
HOSTILE = 'a"b\r\nSet-Cookie: x=1; ünï %41.mp4'


@pytest.fixture
def open_house(store: Store, tmp_path: Path, s3_url: str) -> Any:
    @asynccontextmanager
    async def opened(*, on_s3: bool = True, **settings: Any) -> AsyncIterator[Doors]:
        url = s3_url if on_s3 else ""
        chosen = msgspec.structs.replace(SETTINGS, **settings)
        async with doors(store, tmp_path, 1, url, chosen) as house:
            yield house
            await house.blobs.delete_prefix("acme/")

    return opened


async def test_a_video_is_sent_by_the_store_from_an_address_of_its_own(open_house: Any) -> None:
    async with open_house(redirect_media=True, redirect_seconds=90) as house:
        path = await house.video(VIDEO, HOSTILE)
        answer = await house.call("GET", f"{path}/stream")
        assert (answer.status, answer.body) == (307, b"")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        url = URL(answer.headers["Location"], encoded=True)  # as it was signed
        assert url.query["X-Amz-Expires"] == "90"
        async with house.session.get(url) as reply:
            assert (reply.status, await reply.read()) == (200, VIDEO)
            assert reply.headers["Content-Type"] == "video/mp4"
            assert reply.headers["Content-Disposition"].startswith("inline; filename=")
            assert "Set-Cookie" not in reply.headers
        async with house.session.get(url, headers={"Range": "bytes=5-9"}) as reply:
            assert (reply.status, await reply.read()) == (206, VIDEO[5:10])


async def test_head_is_sent_to_an_address_for_head(open_house: Any) -> None:
    async with open_house(redirect_media=True) as house:
        path = await house.video(VIDEO, "a.mp4")
        answer = await house.call("HEAD", f"{path}/stream")
        assert answer.status == 307
        url = URL(answer.headers["Location"], encoded=True)
        async with house.session.head(url) as reply:
            assert (reply.status, reply.headers["Content-Length"]) == (200, str(len(VIDEO)))


async def test_an_address_is_for_whoever_may_see_the_video(open_house: Any) -> None:
    async with open_house(redirect_media=True) as house:
        path = await house.video(VIDEO, "a.mp4")
        foreign = await house.call("GET", f"{path}/stream", tenant=BEE)
        assert (foreign.status, foreign.code) == (404, "not_found")


@pytest.mark.parametrize(
    ("on_s3", "settings", "size"),
    [
        (True, {}, 1_500_000),
        (True, {"redirect_media": True}, 999),
        (False, {"redirect_media": True}, 1_500_000),
    ],
    ids=["not wanted", "too small", "no such store"],
)
async def test_the_gateway_sends_what_nobody_else_does(
    open_house: Any, on_s3: bool, settings: dict[str, Any], size: int
) -> None:
    async with open_house(on_s3=on_s3, **settings) as house:
        path = await house.video(VIDEO[:size], "a.mp4")
        answer = await house.call("GET", f"{path}/stream")
        assert (answer.status, answer.body) == (200, VIDEO[:size])


@pytest.mark.parametrize("on_s3", [True, False])
async def test_the_table_of_ranges_holds_for_videos(open_house: Any, on_s3: bool) -> None:
    async with open_house(on_s3=on_s3) as house:
        target = house.target(f"{await house.video(VIDEO, 'a.mp4')}/stream", VIDEO)
        gate = asyncio.Semaphore(8)

        async def look(case: range_table.Case) -> None:
            async with gate:
                await case.holds(target)

        await asyncio.gather(*map(look, range_table.CASES))


async def test_the_proxy_is_told_which_file_to_send(open_house: Any) -> None:
    async with open_house(on_s3=False, accel_prefix="/_blobs/") as house:
        path = await house.video(VIDEO, "ünï.mp4")
        answer = await house.call("GET", f"{path}/stream", {"Range": "bytes=0-1"})
        assert (answer.status, answer.body) == (200, b"")
        told = answer.headers[handover.ACCEL]
        assert told.startswith("/_blobs/acme/files/")
        assert (house.folder / told.removeprefix("/_blobs/")).read_bytes() == VIDEO
        assert answer.headers["Content-Type"] == "video/mp4"
        assert answer.headers["Content-Disposition"].startswith("inline; filename=")
        assert answer.headers["Cache-Control"] == "private, no-transform"
        foreign = await house.call("GET", f"{path}/stream", tenant=BEE)
        assert foreign.status == 404
        assert handover.ACCEL not in foreign.headers


@pytest.mark.parametrize(
    "name", ["a b", "a?b#c", "%2e%2e", "a\r\nSet-Cookie: x", "ünï", "a;b", "a\\b", "a&b=c"]
)
def test_the_path_of_the_proxy_is_quoted(tmp_path: Path, name: str) -> None:
    key = f"{ACME}/work/{name}"
    content = BlobContent(
        blobs=open_blobs(tmp_path.as_uri()),
        key=key,
        size=1,
        etag='"a"',
        modified=0.0,
        media_type="video/mp4",
    )
    told = handover.by_proxy(content, "/_blobs/", key, "a.mp4").headers[handover.ACCEL]
    assert told.isascii()
    assert not set(told) & set(" ?#\r\n\\;")
    assert urlsplit(told).path == told
    assert unquote(told) == f"/_blobs/{key}"
