"""Which requests are the same, and what can be an idempotency key."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from services.gateway.fingerprint import fingerprint, given_key
from services.gateway.idempotency import SECRETS, repeatable
from services.gateway.openapi import ROUTES
from shared.errors import IdempotencyInProgress, IdempotencyMismatch, Invalid, TooLarge
from shared.http.bodies import read_json
from shared.http.routes import BINARY, Route


class Thing(msgspec.Struct):
    n: int


async def handle(request: web.Request) -> web.StreamResponse:
    return web.Response()


UPLOAD = Route(method="POST", path="/v1/videos", handler=handle, summary="", body=BINARY)
THINGS = Route(method="POST", path="/v1/things", handler=handle, summary="", body=Thing)
BARE = Route(method="POST", path="/v1/jobs/{job}/cancel", handler=handle, summary="")


def asked(
    path: str = "/v1/things", body: bytes = b'{"n":1}', method: str = "POST", **headers: str
) -> web.Request:
    loop = asyncio.get_running_loop()
    content = StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    content.feed_data(body)
    content.feed_eof()
    plain = {"Content-Length": str(len(body)), "Content-Type": "application/json"}
    given = plain | {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request(method, path, headers=given, payload=content)


@pytest.mark.parametrize("key", ["a", "x" * 255, '"8e03978e-40d5"', "two words", "~!@#$%^&*()"])
def test_printable_ascii_is_a_key_as_it_is(key: str) -> None:
    request = make_mocked_request("POST", "/", headers={"Idempotency-Key": key})
    assert given_key(request) == key


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "tab\there", "\u00fc", "a\x7f"])
def test_anything_else_is_refused_with_a_code_and_a_hint(key: str) -> None:
    request = make_mocked_request("POST", "/", headers={"Idempotency-Key": key})
    with pytest.raises(Invalid) as caught:
        given_key(request)
    assert caught.value.code == "invalid_idempotency_key"
    assert "255" in caught.value.hint


def test_two_keys_are_none() -> None:
    given = (("Idempotency-Key", "a"), ("Idempotency-Key", "a"))
    with pytest.raises(Invalid):
        given_key(make_mocked_request("POST", "/", headers=given))


async def test_the_same_request_has_the_same_fingerprint() -> None:
    assert await fingerprint(asked(), THINGS) == await fingerprint(asked(), THINGS)
    one, other = asked("/v1/things?b=2&a=1"), asked("/v1/things?a=1&b=2")
    assert await fingerprint(one, THINGS) == await fingerprint(other, THINGS)


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/v1/other", b'{"n":1}', {}),
        ("/v1/things?a=1", b'{"n":1}', {}),
        ("/v1/things", b'{"n":2}', {}),
        ("/v1/things", b'{"n":1}', {"Content_Type": "application/merge-patch+json"}),
    ],
)
async def test_any_difference_is_another_request(
    path: str, body: bytes, headers: dict[str, str]
) -> None:
    other = asked(path, body, **headers)
    assert await fingerprint(asked(), THINGS) != await fingerprint(other, THINGS)
    assert await fingerprint(asked(method="PUT"), THINGS) != await fingerprint(asked(), THINGS)


async def test_parts_of_a_query_cannot_be_taken_for_others() -> None:
    one, other = asked("/v1/things?a=1"), asked("/v1/things/a=1")
    assert await fingerprint(one, THINGS) != await fingerprint(other, THINGS)


async def test_a_handler_still_gets_the_body_that_was_looked_at() -> None:
    request = asked()
    await fingerprint(request, THINGS)
    assert await read_json(request, Thing) == Thing(n=1)
    with pytest.raises(TooLarge):
        await read_json(request, Thing, limit=3)


async def test_of_an_upload_the_length_and_the_name_count_and_the_bytes_stay_unread() -> None:
    path, form = "/v1/videos?name=a.mp4", "multipart/form-data; boundary="
    first = asked(path, b"12345")
    assert await fingerprint(first, UPLOAD) == await fingerprint(asked(path, b"54321"), UPLOAD)
    assert first.content.total_bytes == 5
    assert not first.content.at_eof()
    assert await fingerprint(first, UPLOAD) != await fingerprint(asked(path, b"1234"), UPLOAD)
    other = asked("/v1/videos?name=b.mp4", b"12345")
    assert await fingerprint(first, UPLOAD) != await fingerprint(other, UPLOAD)
    one, two = (asked(path, b"12345", Content_Type=form + mark) for mark in ("x", "y"))
    assert await fingerprint(one, UPLOAD) == await fingerprint(two, UPLOAD)
    assert await fingerprint(one, UPLOAD) != await fingerprint(first, UPLOAD)


async def test_a_body_that_nobody_reads_makes_no_difference() -> None:
    path = "/v1/jobs/1/cancel"
    one, other = asked(path, b""), asked(path, b"{}")
    assert await fingerprint(one, BARE) == await fingerprint(other, BARE)


def takes_the_header(route: Route) -> bool:
    return "Idempotency-Key" in route.headers


def test_every_post_of_a_tenant_takes_the_header_and_nothing_else_does() -> None:
    keyed = [r for r in ROUTES if r.scope is not None and not r.path.startswith("/v1/admin")]
    posts = {r.path for r in keyed if r.method == "POST" and r.operation not in SECRETS}
    assert {"/v1/videos", "/v1/jobs/{job}/cancel", "/v1/jobs/{job}/retry"} < posts
    assert {route.path for route in ROUTES if takes_the_header(route)} == posts


@pytest.mark.parametrize("name", ["create_key", "create_share"])
def test_an_answer_that_holds_a_secret_is_never_kept(name: str) -> None:
    (makes_it,) = [route for route in ROUTES if route.name == name]
    assert not takes_the_header(makes_it)


def test_what_a_route_says_of_itself_stays() -> None:
    before = Route(
        method="POST",
        path="/v1/a",
        handler=handle,
        summary="",
        scope="write",
        headers={"X-Other": "Something."},
        errors=(TooLarge,),
    )
    after = repeatable(before)
    assert after.headers.keys() == {"X-Other", "Idempotency-Key"}
    assert set(after.errors) == {TooLarge, Invalid, IdempotencyInProgress, IdempotencyMismatch}
    assert repeatable(UPLOAD).scope == ""
