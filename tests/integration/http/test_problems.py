"""Everything that can go wrong at the door is a problem, with an id and without internals."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import msgspec
import pytest
from aiohttp import web

from shared.errors import ReelwayError, TooMany, Unauthorized, Unavailable
from shared.http.bodies import json_reply, read_json
from shared.http.errors import BeyondEnd

SAFE = {
    "Server": "reelway",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Point(msgspec.Struct, forbid_unknown_fields=True):
    x: int


async def echo(request: web.Request) -> web.Response:
    return json_reply(await read_json(request, Point, limit=1000))


async def bug(_: web.Request) -> web.Response:
    raise KeyError("password at 10.0.0.7")


def failing(error: Exception) -> Any:
    async def handler(_: web.Request) -> web.Response:
        raise error

    return handler


def half(error: Exception) -> Any:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 100
        await response.prepare(request)
        await response.write(b"half")
        raise error

    return handler


@pytest.fixture
async def door(serve: Any, route: Any) -> Any:
    return await serve(
        route("/v1/points", echo, "POST"),
        route("/v1/points/{point}", echo, "PUT"),
        route("/bug", bug),
        route("/half/bug", half(RuntimeError("the disk is gone"))),
        route("/half/away", half(Unavailable("the store is away"))),
        route("/half/status", half(web.HTTPNotFound())),
        route("/stale", failing(msgspec.ValidationError("a stored record"))),
        route("/internal", failing(ReelwayError("10.0.0.7"))),
        route("/bare", failing(web.HTTPInternalServerError(text="10.0.0.7"))),
        route("/refused", failing(ConnectionRefusedError("redis at 10.0.0.7"))),
        route("/key", failing(Unauthorized())),
        route("/many", failing(TooMany(1.5))),
        route("/beyond", failing(BeyondEnd(7))),
        route("/moved", failing(web.HTTPFound("/elsewhere"))),
    )


async def problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status == status
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = await response.json(content_type=None)
    assert body["status"] == status
    assert body["type"] == f"/problems/{body['code']}"
    assert body["request_id"] == response.headers["X-Request-Id"]
    assert {name: response.headers[name] for name in SAFE} == SAFE
    return body


async def test_unknown_address_is_a_problem(door: Any) -> None:
    async with door.get("/nowhere?token=secret") as response:
        body = await problem(response, 404)
    assert (body["code"], body["instance"]) == ("not_found", "/nowhere")
    assert door.seen == [("GET", "_unmatched", 404)]


async def test_wrong_method_says_which_are_right(door: Any) -> None:
    async with door.get("/v1/points/7") as response:
        assert (await problem(response, 405))["code"] == "method_not_allowed"
        assert response.headers["Allow"] == "PUT"


@pytest.mark.parametrize("path", ["/bug", "/stale", "/internal", "/bare", "/refused"])
async def test_fault_of_ours_tells_nothing(
    door: Any, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        async with door.get(path, X_Request_Id="find-me") as response:
            body = await problem(response, 500)
    assert "10.0.0.7" not in json.dumps(body)
    assert body["code"] == "internal"
    assert [record.__dict__["request_id"] for record in caplog.records] == ["find-me"]
    assert door.seen == [("GET", path, 500)]


@pytest.mark.parametrize(
    ("path", "status", "name", "value"),
    [
        ("/key", 401, "WWW-Authenticate", "Bearer"),
        ("/many", 429, "Retry-After", "2"),
        ("/beyond", 416, "Content-Range", "bytes */7"),
    ],
)
async def test_errors_bring_their_headers(
    door: Any, path: str, status: int, name: str, value: str
) -> None:
    async with door.get(path) as response:
        await problem(response, status)
        assert response.headers[name] == value


async def test_redirect_is_no_error(door: Any) -> None:
    async with door.session.get(door.url("/moved"), allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, "/elsewhere")
    assert door.seen == [("GET", "/moved", 302)]


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b'{"x": "a"}', {}, 400, "invalid"),
        (b'{"x": 1, "y": 2}', {}, 400, "invalid"),
        (b"{", {}, 400, "malformed_json"),
        (b"", {}, 400, "malformed_json"),
        (b'{"x": 1}', {"Content-Type": "text/plain"}, 415, "unsupported_media"),
        (b'{"x": 1}', {"Content-Type": "application/json; charset=utf-16"}, 415, None),
        (b"\x1f\x8b", {"Content-Encoding": "gzip"}, 415, "unsupported_media"),
        (b'{"x": 1}' + b" " * 1000, {}, 413, "too_large"),
    ],
)
async def test_body_that_is_not_wanted_is_refused(
    door: Any, body: bytes, headers: dict[str, str], status: int, code: str | None
) -> None:
    headers = {"Content-Type": "application/json", **headers}
    async with door.session.post(door.url("/v1/points"), data=body, headers=headers) as response:
        assert (await problem(response, status))["code"] == (code or "unsupported_media")


async def test_wrong_field_is_pointed_at(door: Any) -> None:
    async with door.session.post(door.url("/v1/points"), json={"x": "a"}) as response:
        errors = (await problem(response, 400))["errors"]
    assert errors == [{"pointer": "#/x", "detail": "Expected `int`, got `str`"}]


async def test_right_body_is_read(door: Any) -> None:
    async with door.session.post(door.url("/v1/points"), json={"x": 1}) as response:
        assert await response.json() == {"x": 1}
        assert response.headers["Content-Type"] == "application/json"
    assert door.seen == [("POST", "/v1/points", 200)]


async def test_refused_body_closes_the_connection(door: Any) -> None:
    head = b"POST /v1/points HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    answer = await door.raw(head + b"Content-Length: 5000\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in answer


@pytest.mark.parametrize("given", ["abc-1.2_3", "x" * 64])
async def test_request_id_is_kept(door: Any, given: str) -> None:
    async with door.get("/key", X_Request_Id=given) as response:
        assert (await problem(response, 401))["request_id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a;b", "é"])
async def test_request_id_that_could_harm_a_log_is_replaced(door: Any, given: str) -> None:
    async with door.get("/key", X_Request_Id=given) as response:
        assert (await problem(response, 401))["request_id"] != given


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("/half/bug", RuntimeError),
        ("/half/away", Unavailable),
        ("/half/status", web.HTTPNotFound),
    ],
)
async def test_reply_that_fails_half_way_breaks_the_connection_and_is_logged_once(
    door: Any, path: str, cause: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: find-me\r\n\r\n"
    answer = await door_read(door, head.encode())
    assert answer.endswith(b"half")
    assert await door.until_seen() == ("GET", path, 500)
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", "reply broke off")
    assert record.__dict__["request_id"] == "find-me"
    assert record.exc_info
    assert record.exc_info[0] is cause


async def door_read(door: Any, sent: bytes) -> bytes:
    got = b""
    async with door.wire() as (reader, writer):
        writer.write(sent)
        async with asyncio.timeout(60):
            try:
                while piece := await reader.read(1000):
                    got += piece
            except ConnectionResetError:
                pass
    return got


async def test_unknown_method_is_observed_as_other(door: Any) -> None:
    await door.raw(b"PURGE /v1/points HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert door.seen == [("_OTHER", "_unmatched", 405)]


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /hidden-path\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"secret" * 2000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    ],
)
async def test_malformed_request_is_a_problem_without_what_was_sent(door: Any, sent: bytes) -> None:
    head, _, body = (await door.raw(sent)).partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    assert b"Server: reelway" in head
    assert b"application/problem+json" in head
    found = json.loads(body)
    assert (found["code"], found["detail"]) == ("bad_request", "The request is not valid HTTP.")
    for word in (b"aiohttp", b"Python", b"hidden", b"secret", b"Bad Header"):
        assert word not in head + body


async def test_unknown_expectation_is_a_problem(door: Any) -> None:
    head = b"POST /v1/points HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: tea\r\n"
    answer = await door.raw(head + b"Content-Length: 0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 417 ")
    assert b'"code":"expectation_failed"' in answer
    assert b"X-Request-Id" in answer
