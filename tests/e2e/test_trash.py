"""Deleting by mistake, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from shared.ids import new_id
from tests.support import media
from tests.support.client import Client, Reply, client_of
from tests.support.stack import Stack

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clips") / "film.mp4"
    media.short(path)
    return path.read_bytes()


async def taken_in(client: Client, clip: bytes, name: str = "film.mp4") -> str:
    uploaded = await client.upload(clip, name)
    await client.job_end(uploaded["job"]["id"])
    return str(uploaded["video"]["id"])


async def ids(client: Client, path: str) -> list[str]:
    return [item["id"] for item in (await client.get(path))["items"]]


async def rename(client: Client, video: str, name: str, tag: str | None) -> Reply:
    headers = {} if tag is None else {"If-Match": tag}
    path = f"/v1/videos/{video}"
    return await client.call("PATCH", path, json={"name": name}, headers=headers)


def outcomes(reply: Any) -> list[str]:
    return [item["outcome"] for item in reply["items"]]


async def test_what_was_deleted_by_mistake_comes_back_whole(
    stack: Stack, other_key: str, clip: bytes
) -> None:
    async with client_of(stack.url, other_key) as client:
        video = await taken_in(client, clip)
        before = await client.captioned(video)
        path = f"/v1/videos/{video}"
        assert (await client.call("DELETE", path)).status == 204
        for gone in (path, f"{path}/stream", f"{path}/captions", f"{path}/thumbnail"):
            assert (await client.call("GET", gone)).status == 404
        assert await ids(client, "/v1/videos") == []
        assert await ids(client, "/v1/trash") == [video]
        restored = await client.tell("POST", f"{path}/restore")
        assert restored == {**before, "version": before["version"] + 2}
        assert (await client.call("GET", f"{path}/stream")).body == clip
        assert await ids(client, "/v1/trash") == []


async def test_from_the_trash_a_video_can_be_removed_for_good(
    stack: Stack, other_key: str, clip: bytes
) -> None:
    async with client_of(stack.url, other_key) as client:
        video = await taken_in(client, clip)
        path = f"/v1/videos/{video}"
        assert (await client.call("DELETE", path)).status == 204
        assert (await client.call("DELETE", path)).status == 404
        assert (await client.call("DELETE", f"{path}?permanent=true")).status == 204
        assert (await client.call("POST", f"{path}/restore")).status == 404
        assert await ids(client, "/v1/trash") == []
        await client.until("/v1/usage", lambda usage: usage["bytes"] == 0)


async def test_a_batch_says_of_each_what_became_of_it(
    stack: Stack, other_key: str, clip: bytes
) -> None:
    async with client_of(stack.url, stack.key) as mine, client_of(stack.url, other_key) as client:
        theirs = await taken_in(mine, clip)
        one, two = [await taken_in(client, clip, name) for name in ("a.mp4", "b.mp4")]
        batch = {"ids": [one, new_id(), theirs, two, one]}
        reply = await client.tell("POST", "/v1/videos/delete-batch", batch)
        assert outcomes(reply) == ["deleted", "missing", "missing", "deleted"]
        assert await ids(client, "/v1/trash") == [two, one]
        reply = await client.tell("POST", "/v1/videos/delete-batch", batch)
        assert outcomes(reply) == ["missing"] * 4
        final = {"ids": [one, two], "permanent": True}
        reply = await client.tell("POST", "/v1/videos/delete-batch", final)
        assert outcomes(reply) == ["deleted"] * 2
        assert await ids(client, "/v1/trash") == []
        assert (await mine.get(f"/v1/videos/{theirs}"))["id"] == theirs


@pytest.mark.parametrize("count", [0, 101])
async def test_a_batch_has_one_to_a_hundred(client: Client, count: int) -> None:
    batch = {"ids": [new_id() for _ in range(count)]}
    reply = await client.call("POST", "/v1/videos/delete-batch", json=batch)
    assert reply.status == 400


async def test_a_share_link_rests_while_its_video_is_in_the_trash(
    stack: Stack, other_key: str, clip: bytes
) -> None:
    async with client_of(stack.url, other_key) as client:
        video = await taken_in(client, clip)
        share = await client.tell("POST", f"/v1/videos/{video}/shares", {}, status=201)
        await client.call("DELETE", f"/v1/videos/{video}")
        assert (await client.call("GET", f"{share['url']}/stream")).status == 404
        await client.tell("POST", f"/v1/videos/{video}/restore")
        assert (await client.call("GET", f"{share['url']}/stream")).status == 200


async def test_a_name_is_changed_by_whoever_has_seen_it(
    stack: Stack, other_key: str, clip: bytes
) -> None:
    async with client_of(stack.url, other_key) as client:
        video = await taken_in(client, clip)
        await client.captioned(video)
        tag = (await client.call("GET", f"/v1/videos/{video}")).headers["ETag"]
        assert (await rename(client, video, "other.mp4", None)).status == 428
        assert (await rename(client, video, "other.mp4", '"0"')).status == 412
        renamed = await rename(client, video, "/tmp/Tag eins.mp4", tag)
        assert (renamed.status, renamed.json()["name"]) == (200, "Tag eins.mp4")
        assert (await rename(client, video, "late.mp4", tag)).status == 412
        assert (await rename(client, video, "last.mp4", renamed.headers["ETag"])).status == 200
        assert (await rename(client, video, "a\x00b", "*")).status == 400
        saved = await client.call("GET", f"/v1/videos/{video}/download")
        assert 'filename="last.mp4"' in saved.headers["Content-Disposition"]
