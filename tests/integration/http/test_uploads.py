"""Bodies as they come over a real wire: limits, deadlines, clients that leave."""

from __future__ import annotations

import asyncio
import io
import resource
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from shared.errors import ReelwayError, Unauthorized
from shared.http.bodies import json_reply, stream_body
from shared.http.multipart import first_file

HEAD = b"POST /upload HTTP/1.1\r\nHost: a\r\n"
MEBI = 1 << 20


class Uploads:
    """Counts what arrives."""

    def __init__(self) -> None:
        self.received = 0
        self.patience = 60.0
        self.failed: asyncio.Future[ReelwayError] = asyncio.get_running_loop().create_future()

    async def raw(self, request: web.Request) -> web.Response:
        try:
            async for chunk in stream_body(request, limit=64 * MEBI, read_timeout=self.patience):
                self.received += len(chunk)
        except ReelwayError as error:
            self.failed.set_result(error)
            raise
        return json_reply({"received": self.received})

    async def form(self, request: web.Request) -> web.Response:
        part = await first_file(request, limit=256 * MEBI)
        async for chunk in part.chunks:
            self.received += len(chunk)
        return json_reply({"name": part.filename, "fields": part.fields, "size": self.received})

    async def closed(self, request: web.Request) -> web.Response:
        raise Unauthorized


@pytest.fixture
async def uploads() -> Uploads:
    return Uploads()


@pytest.fixture
async def door(serve: Any, route: Any, uploads: Uploads) -> Any:
    return await serve(
        route("/upload", uploads.raw, "POST"),
        route("/form", uploads.form, "POST"),
        route("/closed", uploads.closed, "POST"),
    )


async def many(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"v" * MEBI


async def test_body_is_received_with_and_without_a_length(door: Any, uploads: Uploads) -> None:
    for data in (io.BytesIO(b"a" * 3 * MEBI), many(3)):
        uploads.received = 0
        async with door.session.post(door.url("/upload"), data=data) as response:
            assert await response.json() == {"received": 3 * MEBI}


async def test_declared_length_beyond_the_limit_is_refused_unread(
    door: Any, uploads: Uploads
) -> None:
    answer = await door.raw(HEAD + b"Content-Length: 99999999999\r\n\r\nab")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert uploads.received == 0


async def test_undeclared_length_is_cut_at_the_limit(door: Any, uploads: Uploads) -> None:
    async with door.session.post(door.url("/upload"), data=many(70)) as response:
        assert response.status == 413
    assert uploads.received <= 64 * MEBI


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 1000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n"]
)
async def test_client_that_leaves_is_told_from_an_end(
    door: Any, uploads: Uploads, framing: bytes
) -> None:
    async with door.wire() as (_, writer):
        writer.write(HEAD + framing + b"a" * 100)
        await writer.drain()
        await door.until(lambda: uploads.received >= 100)
    error = await uploads.failed
    assert (error.code, uploads.received) == ("client_gone", 100)


async def test_client_that_stalls_is_let_go(door: Any, uploads: Uploads) -> None:
    uploads.patience = 0.3
    answer = await door.raw(HEAD + b"Content-Length: 1000\r\n\r\n" + b"a" * 100)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert (await uploads.failed).code == "request_timeout"


async def test_broken_chunk_ends_at_the_read_deadline(door: Any, uploads: Uploads) -> None:
    """aiohttp does not tell the reader of a body that its framing broke."""
    uploads.patience = 2.0
    async with door.wire() as (reader, writer):
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await door.until(lambda: uploads.received >= 3)
        writer.write(b"zz\r\nabc\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
    assert uploads.received == 3


async def test_compressed_body_is_refused(door: Any, uploads: Uploads) -> None:
    headers = {"Content-Encoding": "gzip"}
    async with door.session.post(door.url("/upload"), data=b"a", headers=headers) as response:
        assert response.status == 415
    assert uploads.received == 0


async def test_waiting_client_is_told_to_continue_once_its_body_is_wanted(door: Any) -> None:
    async with door.wire() as (reader, writer):
        writer.write(HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")


async def test_refused_client_is_never_told_to_continue(door: Any) -> None:
    async with door.wire() as (reader, writer):
        head = HEAD.replace(b"/upload", b"/closed")
        writer.write(head + b"Expect: 100-continue\r\nContent-Length: 3000000\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")


async def test_form_of_a_real_client(door: Any) -> None:
    form = aiohttp.FormData()
    form.add_field("title", "Tïtle")
    form.add_field("file", b"abc" * 100, filename="ä b.mp4", content_type="video/mp4")
    async with door.session.post(door.url("/form"), data=form) as response:
        body = await response.json()
    assert (body["fields"], body["size"]) == ({"title": "Tïtle"}, 300)


async def test_large_form_is_never_held_in_memory(door: Any) -> None:
    """128 MiB go through while Python's own peak stays below 8 MiB."""
    lead = b'--B\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n'

    async def body() -> AsyncIterator[bytes]:
        yield lead
        async for piece in many(128):
            yield piece
        yield b"\r\n--B--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    try:
        async with door.session.post(door.url("/form"), data=body(), headers=headers) as response:
            assert (await response.json())["size"] == 128 * MEBI
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MEBI
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024
