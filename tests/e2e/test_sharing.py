"""Signed addresses and share links, as those who have no key use them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support import media
from tests.support.client import Client, Reply, client_of
from tests.support.stack import Stack

pytestmark = pytest.mark.e2e


class Film:
    """A video that is there, its owner and somebody without a key."""

    def __init__(self, owner: Client, nobody: Client, video: str, data: bytes) -> None:
        self.owner = owner
        self.nobody = nobody
        self.path = f"/v1/videos/{video}"
        self.video = video
        self.data = data

    async def share(self, **body: Any) -> Any:
        return await self.owner.tell("POST", f"{self.path}/shares", body, status=201)

    async def look(self, share: Any, **body: Any) -> Reply:
        return await self.nobody.call("POST", f"{share['url']}/views", json=body)

    async def open(self, address: str, **headers: str) -> Reply:
        return await self.nobody.call("GET", address, headers=headers)


_films: dict[str, str] = {}
"""A video in each stack: what is done to its links leaves it as it is."""


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clips") / "film.mp4"
    media.short(path)
    return path.read_bytes()


async def taken_in(client: Client, clip: bytes) -> str:
    uploaded = await client.upload(clip, "Früh \u65e5\u672c.mp4")
    await client.job_end(uploaded["job"]["id"])
    return str(uploaded["video"]["id"])


@pytest.fixture
async def film(stack: Stack, client: Client, clip: bytes) -> AsyncIterator[Film]:
    if stack.url not in _films:
        _films[stack.url] = await taken_in(client, clip)
    async with client_of(stack.url, "") as nobody:
        yield Film(client, nobody, _films[stack.url], clip)


def code(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.json()["code"]


async def test_a_signed_address_opens_the_media_of_its_video(film: Film) -> None:
    signed = await film.owner.get(f"{film.path}/signed-urls")
    whole = await film.open(signed["stream"])
    assert (whole.status, whole.body) == (200, film.data)
    part = await film.open(signed["stream"], Range="bytes=10-19")
    assert (part.status, part.body) == (206, film.data[10:20])
    assert (await film.open(signed["thumbnail"])).headers["Content-Type"] == "image/jpeg"
    assert (await film.open(signed["captions"])).body.startswith(b"WEBVTT")
    saved = await film.open(signed["download"])
    name = saved.headers["Content-Disposition"]
    assert name.startswith("attachment;")
    assert "filename*=UTF-8''Fr%C3%BCh%20%E6%97%A5%E6%9C%AC.mp4" in name


async def test_a_signed_address_opens_nothing_else(film: Film) -> None:
    token = (await film.owner.get(f"{film.path}/signed-urls"))["stream"].partition("?")[2]
    assert (await film.open(f"{film.path}?{token}")).status == 401
    assert (await film.open(f"{film.path}/frames?{token}")).status == 401
    assert (await film.open(f"/v1/videos?{token}")).status == 401
    reply = await film.nobody.call("DELETE", f"{film.path}?{token}")
    assert reply.status == 401
    assert (await film.open(f"{film.path}/stream?{token}x")).status == 401


async def test_the_events_of_a_job_can_be_heard_by_a_signed_address(film: Film) -> None:
    job = (await film.owner.get(film.path))["jobs"]["process"]
    signed = await film.owner.get(f"/v1/jobs/{job}/signed-urls", seconds="60")
    heard = [event async for event in film.nobody.stream(signed["events"])]
    assert heard[-1].event == "end"


async def test_all_signed_addresses_can_be_ended(film: Film) -> None:
    signed = await film.owner.get(f"{film.path}/signed-urls")
    assert (await film.owner.call("DELETE", "/v1/signed-urls")).status == 204
    assert code(await film.open(signed["stream"])) == (401, "unauthorized")


async def test_a_share_link_shows_the_video_to_anybody(film: Film) -> None:
    share = await film.share(name="for the press")
    shown = (await film.open(share["url"])).json()
    assert (shown["name"], shown["needs_view"]) == ("Früh \u65e5\u672c.mp4", False)
    reply = await film.open(f"{share['url']}/stream", Range="bytes=-5")
    assert (reply.status, reply.body) == (206, film.data[-5:])
    assert (await film.open(f"{share['url']}/captions")).status == 200
    newest = (await film.owner.get(f"{film.path}/shares"))["items"][0]
    assert newest["name"] == "for the press"
    assert "url" not in newest


async def test_a_share_with_a_password_tells_nothing_before(film: Film) -> None:
    share = await film.share(password="open sesame")
    shown = (await film.open(share["url"])).json()
    assert (shown["password_required"], shown["name"], shown["media"]) == (True, None, None)
    assert code(await film.open(f"{share['url']}/stream")) == (401, "view_required")
    assert code(await film.look(share, password="guess")) == (401, "password_required")
    view = (await film.look(share, password="open sesame")).json()
    assert (await film.open(view["stream"])).body == film.data
    assert (await film.open(view["details"])).json()["name"] == "Früh \u65e5\u672c.mp4"
    log = (await film.owner.get(f"{film.path}/shares/{share['id']}/log"))["items"]
    assert [visit["what"] for visit in log] == ["stream", "view", "refused"]


async def test_the_views_of_a_share_are_counted(film: Film) -> None:
    share = await film.share(max_views=1)
    view = (await film.look(share)).json()
    assert code(await film.look(share)) == (410, "share_ended")
    assert (await film.open(view["stream"])).status == 200  # who is in may go on
    shown = await film.owner.get(f"{film.path}/shares/{share['id']}")
    assert (shown["views"], shown["ended"]) == (1, "used_up")


async def test_a_view_opens_its_own_link_alone(film: Film) -> None:
    mine, other = await film.share(password="a"), await film.share(password="b")
    view = (await film.look(mine, password="a")).json()
    query = view["stream"].partition("?")[2]
    assert (await film.open(f"{other['url']}/stream?{query}")).status == 401
    token = query.replace("view=", "token=")
    assert (await film.open(f"{film.path}/stream?{token}")).status == 401


async def test_captions_can_be_shared_without_the_picture(film: Film) -> None:
    share = await film.share(captions_only=True)
    for media_name in ("stream", "download", "thumbnail"):
        assert (await film.open(f"{share['url']}/{media_name}")).status == 404
    assert (await film.open(f"{share['url']}/captions.vtt")).body.startswith(b"WEBVTT")
    assert (await film.look(share)).json()["stream"] is None


async def test_a_link_that_is_taken_back_stops_at_the_next_range(film: Film) -> None:
    share = await film.share()
    address = f"{share['url']}/stream"
    assert (await film.open(address, Range="bytes=0-9")).status == 206
    where = f"{film.path}/shares/{share['id']}"
    assert (await film.owner.call("DELETE", where)).status == 204
    assert code(await film.open(address, Range="bytes=10-19")) == (410, "share_ended")
    assert (await film.owner.get(where))["ended"] == "revoked"


async def test_links_go_with_their_video(film: Film) -> None:
    video = await taken_in(film.owner, film.data)
    mortal = Film(film.owner, film.nobody, video, film.data)
    share = await mortal.share()
    assert (await film.owner.call("DELETE", f"{mortal.path}?permanent=true")).status == 204
    assert code(await film.open(share["url"])) == (404, "not_found")


async def test_an_unknown_link_is_not_found(film: Film) -> None:
    for token in ("x" * 43, "A-_" + "a" * 40):
        assert code(await film.open(f"/v1/shared/{token}/stream")) == (404, "not_found")


async def test_links_of_others_cannot_be_seen_or_changed(
    film: Film, stack: Stack, other_key: str
) -> None:
    share = await film.share()
    async with client_of(stack.url, other_key) as other:
        for method, path in (
            ("GET", f"{film.path}/shares"),
            ("POST", f"{film.path}/shares"),
            ("GET", f"{film.path}/shares/{share['id']}"),
            ("GET", f"{film.path}/shares/{share['id']}/log"),
            ("DELETE", f"{film.path}/shares/{share['id']}"),
            ("GET", f"{film.path}/signed-urls"),
        ):
            assert (await other.call(method, path)).status == 404, (method, path)
    assert (await film.open(share["url"])).status == 200


async def test_no_token_of_a_link_stands_in_the_log(film: Film, stack: Stack) -> None:
    share = await film.share()
    await film.open(f"{share['url']}/stream")
    token = share["url"].rsplit("/", 1)[-1]
    await asyncio.sleep(0)
    assert not [line for m in stack.members.values() for line in m.log if token in line]
