"""What is not a video, breaks off or lies: a clear error, nothing left over, and on it goes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support import media
from tests.support.client import Client, client_of
from tests.support.stack import Stack
from tests.support.stacks import EMBEDDED

REFUSED: list[tuple[Callable[[Path], None], str]] = [
    (media.text, "not_a_video"),
    (media.png, "not_a_video"),
    (media.audio_only, "no_video_stream"),
    (media.cover_art, "no_video_stream"),
    (media.header_only, "no_frames"),
    (media.hls_playlist, "playlist_refused"),
    (media.concat_list, "playlist_refused"),
    (media.dash_manifest, "not_a_video"),
]


@pytest.mark.parametrize(("make", "code"), REFUSED, ids=[m.__name__ for m, _ in REFUSED])
async def test_what_is_no_video_is_refused_as_a_whole(
    stack: Stack, client: Client, tmp_path: Path, make: Callable[[Path], None], code: str
) -> None:
    path = tmp_path / "input"
    make(path)
    uploaded = await client.upload(path)
    job = await client.job_end(uploaded["job"]["id"])
    assert (job["state"], job["error"]["error_class"]) == ("failed", "bad_input")
    assert job["error"]["code"] == code
    assert job["error"]["hint"]
    video = await client.get(f"/v1/videos/{uploaded['video']['id']}")
    assert (video["status"], video["error"]["code"]) == ("error", code)
    await nothing_left(stack, client, uploaded)


async def nothing_left(stack: Stack, client: Client, uploaded: dict[str, dict[str, str]]) -> None:
    """No bytes, and no record but those of the job, its receipt, and of our answer."""
    video_id, job_id = uploaded["video"]["id"], uploaded["job"]["id"]

    def left() -> list[str]:
        files = [str(p) for p in stack.stored_files() if video_id in str(p) or job_id in str(p)]
        files += [str(p) for p in stack.stored_files() if "/incoming/" in str(p)]
        with stack.store() as store:
            keys = [key.decode() for key in store.scan_iter(f"*{video_id}*")]
        return files + [k for k in keys if ":accepted:" not in k and ":deleted:" not in k]

    await client.until("/livez", lambda _: not left())


@EMBEDDED
async def test_a_truncated_video_is_read_as_far_as_it_goes(client: Client, tmp_path: Path) -> None:
    media.truncated(tmp_path / "cut.mp4")
    uploaded = await client.upload(tmp_path / "cut.mp4")
    job = await client.job_end(uploaded["job"]["id"])
    assert job["state"] == "succeeded"
    video = await client.captioned(uploaded["video"]["id"])
    assert video["media"]["damaged"]
    assert 0 < video["media"]["duration"] < media.SHORT_SECONDS


@EMBEDDED
async def test_a_damaged_video_ends_one_way_or_the_other(client: Client, tmp_path: Path) -> None:
    media.corrupt(tmp_path / "corrupt.mp4")
    uploaded = await client.upload(tmp_path / "corrupt.mp4")
    job = await client.job_end(uploaded["job"]["id"])
    assert job["state"] == "succeeded" or job["error"]["error_class"] == "bad_input"


async def test_an_upload_without_bytes_is_refused_at_once(client: Client) -> None:
    reply = await client.call("POST", "/v1/videos", params={"name": "empty.mp4"}, data=b"")
    assert (reply.status, reply.json()["code"]) == (400, "empty_file")

    async def nothing() -> AsyncIterator[bytes]:
        for piece in tuple[bytes, ...]():
            yield piece

    reply = await client.call("POST", "/v1/videos", data=nothing())
    assert (reply.status, reply.json()["code"]) == (400, "empty_file")


async def _raw(client: Client, stack: Stack, head: str, body: bytes) -> None:
    """Send a request by hand and hang up before it is whole."""
    parts = urlsplit(stack.url)
    _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(head.encode() + body)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("length", [10 * 1024**3, 5000])
async def test_a_client_that_leaves_halfway_leaves_nothing(
    stack: Stack, client: Client, length: int
) -> None:
    name = f"gone-{uuid.uuid4().hex[:8]}"
    key = stack.new_tenant(name)
    head = (
        "POST /v1/videos?name=gone.mp4 HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {key}\r\nContent-Length: {length}\r\n\r\n"
    )
    await _raw(client, stack, head, b"0123456789")

    def nothing_incoming(_: object) -> bool:
        return not [path for path in stack.stored_files() if f"/{name}/" in str(path)]

    await client.until("/livez", nothing_incoming)
    async with client_of(stack.url, key) as own:
        assert (await own.get("/v1/jobs"))["items"] == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\films\\one.mp4", "one.mp4"),
        ("🎬 Ünïcödé.mp4", "🎬 Ünïcödé.mp4"),
        ("", "video"),
        ("..", "video"),
    ],
)
async def test_odd_names_are_labels_only(client: Client, name: str, shown: str) -> None:
    uploaded = await client.upload(b"no video", name)
    assert uploaded["video"]["name"] == shown


@pytest.mark.parametrize("name", ["a\x00b.mp4", "x" * 300, "evil\r\nname", "\u202egpm.exe"])
async def test_names_that_cannot_be_shown_are_refused(client: Client, name: str) -> None:
    reply = await client.call("POST", "/v1/videos", params={"name": name}, data=b"x")
    assert (reply.status, reply.json()["code"]) == (400, "invalid_name")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/videos?colour=red", 400, "invalid"),
        ("GET", "/v1/videos?limit=0", 400, "invalid"),
        ("GET", "/v1/videos?limit=many", 400, "invalid"),
        ("GET", "/v1/videos?limit=1&limit=2", 400, "invalid"),
        ("GET", "/v1/videos?cursor=nonsense", 400, "invalid"),
        ("GET", "/v1/search", 400, "invalid"),
        ("GET", "/v1/search?q=%20", 400, "empty_query"),
        ("GET", "/v1/search?q=x&cursor=-1", 400, "invalid"),
        ("POST", "/v1/videos?name=a&colour=red", 400, "invalid"),
        ("GET", "/v1/videos/nonsense", 404, "not_found"),
        ("GET", "/v1/jobs/..%2f..%2fetc", 404, "not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("PUT", "/v1/videos", 405, "method_not_allowed"),
    ],
)
async def test_odd_requests_are_problems_with_a_code(
    client: Client, method: str, path: str, status: int, code: str
) -> None:
    from yarl import URL

    reply = await client.call(method, URL(path, encoded=True), headers={"X-Request-Id": "odd-1"})
    assert (reply.status, reply.json()["code"]) == (status, code)
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json()["request_id"] == reply.headers["X-Request-Id"] == "odd-1"


async def test_a_coded_body_is_refused(client: Client) -> None:
    reply = await client.call(
        "POST", "/v1/videos", data=b"\x1f\x8b", headers={"Content-Encoding": "gzip"}
    )
    assert (reply.status, reply.json()["code"]) == (415, "unsupported_media")


async def test_nothing_was_logged_as_an_error(stack: Stack) -> None:
    assert stack.complaints() == []
