"""Nobody gets at another tenant's bytes: by ids, uploads, tokens or tricks with paths."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from yarl import URL

from shared.ids import new_id
from shared.store.redis import Store
from tests.integration.http.conftest import redis_url, store  # noqa: F401 - fixtures
from tests.integration.http.doors import BEE, Answer, Doors, doors

pytestmark = pytest.mark.security
VIDEO = random.Random(1).randbytes(50_000)
TUS = {"Tus-Resumable": "1.0.0"}
JSON = {"Content-Type": "application/json"}
UNKNOWN = "0191d8a0-7c1e-7b3a-8f00-5a1d2c3b4eff"

MEDIA = (
    "/v1/videos/{id}/stream",
    "/v1/videos/{id}/download",
    "/v1/videos/{id}/thumbnail",
    "/v1/videos/{id}/frames/0",
    "/v1/videos/{id}/captions.vtt",
    "/v1/videos/{id}/signed-urls",
    "/v1/videos/{id}/shares",
    "/v1/uploads/{id}",
    "/v1/direct-uploads/{id}",
)
TRICKS = (
    "..",
    "%2e%2e",
    "..%2f..%2facme",
    "%2e%2e%2facme%2ffiles",
    "..%5c..%5cacme",
    "%00",
    "%c0%ae%c0%ae",
    "acme%2ffiles%2f{id}%2foriginal",
    "{id}%2f..%2f{id}",
    "{id}%00",
    "{id}.",
    "{id}%20",
    "{ID}",
    "*",
    "a" * 300,
)


@pytest.fixture
async def house(store: Store, tmp_path: Path) -> AsyncIterator[Doors]:  # noqa: F811
    async with doors(store, tmp_path, 1) as made:
        yield made


def same(one: Answer, other: Answer) -> None:
    """But for the request's own id and address, there is no difference."""
    assert one.status == other.status == 404
    first, second = (_told(answer) for answer in (one, other))
    assert first == second
    assert _head(one) == _head(other)


def _head(answer: Answer) -> dict[str, str]:
    own = {"x-request-id", "date", "content-length"}
    return {name: text for name, text in answer.headers.items() if name.lower() not in own}


def _told(answer: Answer) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(answer.body)
    del body["request_id"], body["instance"]
    return body


@pytest.mark.parametrize("path", MEDIA)
@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-9"}, {"If-None-Match": "*"}])
async def test_a_foreign_id_answers_like_an_unknown_one(
    house: Doors, path: str, headers: dict[str, str]
) -> None:
    mine = (await house.video(VIDEO, "a.mp4")).rpartition("/")[2]
    begun = await house.call("POST", "/v1/uploads/", {**TUS, "Upload-Length": "9"})
    theirs = begun.headers["Location"].rpartition("/")[2] if "uploads" in path else mine
    found = [
        await house.call("GET", path.replace("{id}", each), headers, tenant=BEE)
        for each in (theirs, UNKNOWN)
    ]
    same(*found)


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("path", MEDIA)
async def test_no_trick_with_a_path_leads_anywhere(house: Doors, path: str, trick: str) -> None:
    mine = (await house.video(VIDEO, "a.mp4")).rpartition("/")[2]
    name = trick.replace("{id}", mine).replace("{ID}", mine.upper())
    url = URL(house.urls[0] + path.replace("{id}", name), encoded=True)
    headers = {"Authorization": f"Bearer {house.keys[BEE]}"}
    async with house.session.get(url, headers=headers) as reply:
        body = await reply.read()
        assert reply.status in {400, 404, 405}, (url, reply.status)
        assert VIDEO[:50] not in body
        assert b"/blobs" not in body


async def test_a_range_of_a_foreign_video_is_not_even_counted(house: Doors) -> None:
    """416 would tell how long it is."""
    path = await house.video(VIDEO, "a.mp4")
    headers = {"Range": f"bytes={len(VIDEO)}-"}
    answer = await house.call("GET", f"{path}/stream", headers, tenant=BEE)
    assert answer.status == 404
    assert "Content-Range" not in answer.headers


async def test_a_foreign_upload_can_be_no_part_of_ones_own(house: Doors) -> None:
    part = await house.call(
        "POST",
        "/v1/uploads/",
        {**TUS, "Upload-Length": "0", "Upload-Concat": "partial"},
    )
    found = []
    for place in (part.headers["Location"], f"/v1/uploads/{UNKNOWN}"):
        headers = {**TUS, "Upload-Concat": f"final;{place}"}
        found.append(await house.call("POST", "/v1/uploads/", headers, tenant=BEE))
    same(*found)
    still = await house.call("HEAD", part.headers["Location"], TUS)
    assert still.status == 200


@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE"])
async def test_a_foreign_upload_cannot_be_asked_about_or_changed(house: Doors, method: str) -> None:
    begun = await house.call("POST", "/v1/uploads/", {**TUS, "Upload-Length": "9"})
    headers = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    data = b"x" if method == "PATCH" else None
    for place in (begun.headers["Location"], f"/v1/uploads/{new_id()}"):
        answer = await house.call(method, place, headers, data, tenant=BEE)
        assert answer.status == 404
        assert "Upload-Offset" not in answer.headers
    kept = await house.call("HEAD", begun.headers["Location"], TUS)
    assert (kept.status, kept.headers["Upload-Offset"]) == (200, "0")


async def test_a_share_link_opens_its_own_video_alone(house: Doors) -> None:
    mine, other = [await house.video(VIDEO + bytes([n]), "a.mp4") for n in range(2)]
    made = await house.call("POST", f"{mine}/shares", JSON, b"{}")
    share = msgspec.json.decode(made.body)
    found = [
        await house.call("DELETE", f"{mine}/shares/{share['id']}", tenant=BEE),
        await house.call("DELETE", f"{mine}/shares/{UNKNOWN}", tenant=BEE),
    ]
    same(*found)
    wrong = await house.call("GET", f"{other}/shares/{share['id']}")
    assert wrong.status == 404
    token = share["url"].rpartition("/")[2]
    for guess in (token[:-1] + ("A" if token[-1] != "A" else "B"), token.swapcase(), "A" * 43):
        same(
            await house.call("GET", f"/v1/shared/{guess}/stream"),
            await house.call("GET", f"/v1/shared/{'B' * 43}/stream"),
        )


async def test_a_signed_address_of_one_tenant_opens_nothing_of_another(house: Doors) -> None:
    mine = await house.video(VIDEO, "a.mp4")
    theirs = await house.video(VIDEO, "b.mp4", BEE)
    signed = await house.call("GET", f"{theirs}/signed-urls", tenant=BEE)
    query = msgspec.json.decode(signed.body)["stream"].partition("?")[2]
    async with house.session.get(f"{house.urls[0]}{mine}/stream?{query}") as reply:
        assert reply.status == 401
        assert VIDEO[:50] not in await reply.read()
