"""Ranges over real sockets, from a file and from a reader: the same answers."""

from __future__ import annotations

import asyncio
import email
import gc
import hashlib
import random
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from shared.http.responder import respond

MEBI = 1 << 20
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


@dataclass
class Bytes:
    """Content in memory or in a file."""

    data: bytes
    local_path: Path | None = None
    media_type: str = "video/mp4"
    modified: float | None = 784111777.9
    missing: int = 0
    closed: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.data).hexdigest()}"'

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        try:
            for at in range(start, stop - self.missing, 3 * MEBI // 2):
                yield self.data[at : min(at + 3 * MEBI // 2, stop - self.missing)]
        finally:
            self.closed.append("closed")


@pytest.fixture(params=["file", "reader"])
def content(request: Any, tmp_path: Path) -> Bytes:
    data = random.Random(7).randbytes(5 * MEBI + 12345)
    path = tmp_path / "video"
    path.write_bytes(data)
    return Bytes(data, path if request.param == "file" else None)


@pytest.fixture
async def door(serve: Any, route: Any, content: Bytes) -> Any:
    async def media(request: web.Request) -> web.StreamResponse:
        name = "vídeo.mp4" if request.query else ""
        return await respond(request, content, name=name, download=bool(name), write_timeout=60)

    return await serve(route("/media", media))


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-", 0, None),
        ("bytes=0-0", 0, 1),
        ("bytes=-1", -1, None),
        ("bytes=1048575-1048576", MEBI - 1, MEBI + 1),
        ("bytes=100-4200000", 100, 4200001),
    ],
)
async def test_range_is_sent_exactly(
    door: Any, content: Bytes, wanted: str, start: int, stop: int | None
) -> None:
    expected = content.data[start:stop]
    async with door.get("/media", Range=wanted) as response:
        assert response.status == 206
        assert await response.read() == expected
        first = start % content.size
        shown = f"bytes {first}-{first + len(expected) - 1}/{content.size}"
        assert response.headers["Content-Range"] == shown
        assert response.headers["Content-Length"] == str(len(expected))


async def test_whole_content_has_what_resuming_needs(door: Any, content: Bytes) -> None:
    async with door.get("/media", Accept_Encoding="gzip, br") as response:
        assert response.status == 200
        assert await response.read() == content.data
        headers = response.headers
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["ETag"] == content.etag
    assert headers["Last-Modified"] == DATE
    assert headers["Content-Type"] == "video/mp4"
    assert headers["Cache-Control"] == "private, no-transform"
    assert "Content-Encoding" not in headers
    assert "Content-Range" not in headers


async def test_head_is_get_without_the_body(door: Any, content: Bytes) -> None:
    async with (
        door.get("/media") as whole,
        door.session.head(door.url("/media"), headers={"Range": "bytes=0-1"}) as head,
    ):
        await whole.read()
        assert head.status == 200
        changing = {"x-request-id", "date"}
        assert {k: v for k, v in head.headers.items() if k.lower() not in changing} == {
            k: v for k, v in whole.headers.items() if k.lower() not in changing
        }


async def test_several_ranges_are_parts_of_one_body(door: Any, content: Bytes) -> None:
    async with door.get("/media", Range="bytes=0-9,1048570-1048580,-5") as response:
        assert response.status == 206
        assert "Content-Range" not in response.headers
        kind = response.headers["Content-Type"].encode()
        body = await response.read()
        assert response.headers["Content-Length"] == str(len(body))
    message = email.message_from_bytes(b"Content-Type: " + kind + b"\r\n\r\n" + body)
    _, *parts = message.walk()
    size = content.size
    assert [(part["Content-Type"], part["Content-Range"]) for part in parts] == [
        ("video/mp4", f"bytes 0-9/{size}"),
        ("video/mp4", f"bytes 1048570-1048580/{size}"),
        ("video/mp4", f"bytes {size - 5}-{size - 1}/{size}"),
    ]
    for piece in (content.data[:10], content.data[1048570:1048581], content.data[-5:]):
        assert b"\r\n\r\n" + piece + b"\r\n--" in body


async def test_not_modified_has_its_validators_and_no_body(door: Any, content: Bytes) -> None:
    async with door.get("/media", If_None_Match=content.etag, Range="bytes=0-1") as response:
        assert response.status == 304
        assert await response.read() == b""
        assert response.headers["ETag"] == content.etag
        assert response.headers["Last-Modified"] == DATE
        assert "Content-Length" not in response.headers
        assert "Content-Type" not in response.headers


async def test_stale_resume_gets_the_whole_new_content(door: Any, content: Bytes) -> None:
    async with door.get("/media", If_Range='"older"', Range="bytes=5-") as response:
        assert response.status == 200
        assert await response.read() == content.data


@pytest.mark.parametrize(
    ("name", "value", "status", "code"),
    [
        ("Range", "bytes=99999999-", 416, "range_not_satisfiable"),
        ("Range", "bytes=-0", 416, "range_not_satisfiable"),
        ("If-Match", '"older"', 412, "precondition_failed"),
        ("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:36 GMT", 412, "precondition_failed"),
    ],
)
async def test_refusal_is_a_problem(
    door: Any, content: Bytes, name: str, value: str, status: int, code: str
) -> None:
    async with door.get("/media", **{name: value}) as response:
        assert (response.status, (await response.json(content_type=None))["code"]) == (status, code)
        if status == 416:
            assert response.headers["Content-Range"] == f"bytes */{content.size}"


async def test_file_name_is_offered_in_both_forms(door: Any) -> None:
    async with door.get("/media?download=1") as response:
        assert response.headers["Content-Disposition"] == (
            "attachment; filename=\"video.mp4\"; filename*=UTF-8''v%C3%ADdeo.mp4"
        )


async def test_many_ranges_on_one_connection(door: Any, content: Bytes) -> None:
    async with door.wire() as (reader, writer):
        for start in (0, 3 * MEBI, 17):
            wanted = (
                f"GET /media HTTP/1.1\r\nHost: a\r\nRange: bytes={start}-{start + MEBI}\r\n\r\n"
            )
            writer.write(wanted.encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 206 ")
            body = await reader.readexactly(MEBI + 1)
            assert body == content.data[start : start + MEBI + 1]


async def test_client_that_leaves_is_no_error(
    door: Any, content: Bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with door.wire() as (reader, writer):
        writer.write(b"GET /media HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
    assert await door.until_seen() == ("GET", "/media", 200)
    assert caplog.records == []
    assert content.closed == ([] if content.local_path else ["closed"])


async def test_client_that_stops_reading_is_let_go(
    serve: Any, route: Any, tmp_path: Path, content: Bytes
) -> None:
    big = Bytes(content.data * 6, content.local_path and tmp_path / "big")
    if big.local_path:
        big.local_path.write_bytes(big.data)

    async def media(request: web.Request) -> web.StreamResponse:
        return await respond(request, big, write_timeout=0.3)

    door = await serve(route("/media", media))
    with socket.create_connection(("127.0.0.1", door.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.to_thread(client.sendall, b"GET /media HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await door.until_seen() == ("GET", "/media", 200)
        assert big.closed == ([] if big.local_path else ["closed"])
        received = await asyncio.to_thread(drained, client)
    assert received < big.size


def drained(client: socket.socket) -> int:
    received = 0
    try:
        while piece := client.recv(1 << 16):
            received += len(piece)
    except ConnectionResetError:
        pass
    return received


async def test_slow_client_is_served_to_the_end(serve: Any, route: Any, content: Bytes) -> None:
    """Slower than the timeout for all of it, yet each portion is in time."""

    async def media(request: web.Request) -> web.StreamResponse:
        return await respond(request, content, write_timeout=3)

    door = await serve(route("/media", media))
    async with door.wire() as (reader, writer):
        writer.write(b"GET /media HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        body = bytearray()
        while len(body) < content.size:
            body += await reader.read(1 << 17)
            await asyncio.sleep(0.1)
    assert bytes(body) == content.data


async def test_content_that_ends_early_breaks_the_connection(serve: Any, route: Any) -> None:
    content = Bytes(b"x" * 1000, missing=1)

    async def media(request: web.Request) -> web.StreamResponse:
        return await respond(request, content)

    door = await serve(route("/media", media))
    async with door.wire() as (reader, writer):
        writer.write(b"GET /media HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await reader.readexactly(1000)
    assert await door.until_seen() == ("GET", "/media", 500)


async def test_file_that_is_gone_or_changed_is_refused_before_the_head(
    serve: Any, route: Any, tmp_path: Path
) -> None:
    path = tmp_path / "video"
    content = Bytes(b"x" * 1000, path)

    async def media(request: web.Request) -> web.StreamResponse:
        return await respond(request, content)

    door = await serve(route("/media", media))
    async with door.get("/media") as response:
        assert response.status == 503
    path.write_bytes(b"short")
    async with door.get("/media") as response:
        assert response.status == 503
        assert str(path) not in await response.text()
    gc.collect()  # a file left open would warn here


@pytest.mark.parametrize(
    ("media_type", "shown"),
    [
        ("video/mp4", True),
        ("audio/flac", True),
        ("image/png", True),
        ("text/vtt", True),
        ("text/html", False),
        ("image/svg+xml", False),
        ("application/pdf", False),
        ("application/octet-stream", False),
    ],
)
async def test_what_is_not_media_is_downloaded_and_sandboxed(
    serve: Any, route: Any, media_type: str, shown: bool
) -> None:
    async def media(request: web.Request) -> web.StreamResponse:
        return await respond(request, Bytes(b"<script>", media_type=media_type), name="a")

    door = await serve(route("/media", media))
    async with door.get("/media") as response:
        headers = response.headers
    kind = "inline" if shown else "attachment"
    assert headers["Content-Disposition"] == f'{kind}; filename="a"'
    assert headers["Content-Security-Policy"].startswith("sandbox;") is not shown
    assert headers["X-Content-Type-Options"] == "nosniff"


async def test_empty_content_is_sent_whole(serve: Any, route: Any) -> None:
    async def media(request: web.Request) -> web.StreamResponse:
        return await respond(request, Bytes(b""))

    door = await serve(route("/media", media))
    async with door.get("/media") as response:
        assert (response.status, response.headers["Content-Length"]) == (200, "0")
    async with door.get("/media", Range="bytes=0-") as response:
        assert (response.status, response.headers["Content-Range"]) == (416, "bytes */0")
