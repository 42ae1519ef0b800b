"""What only S3 has: uploads in parts, copies of large objects, a server that misbehaves."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from shared.blobs.failures import CURES, BlobsRefused
from shared.blobs.remote import Patience
from shared.blobs.s3 import bucket_of
from shared.blobs.s3_calls import S3Calls
from shared.blobs.store import PIECE, Blobs, open_blobs
from shared.errors import NotFound, Unavailable
from tests.support.bus import until
from tests.support.s3 import Beside

HASTY = Patience(
    connect=5, silence=0.5, request=5, retries=2, first_rest=0.001, longest_rest=0.01, give_up=30
)


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.fixture
def blobs(s3_url: str) -> Blobs:
    return open_blobs(s3_url)


@pytest.fixture
def beside(s3_url: str) -> Beside:
    return Beside(s3_url)


@pytest.mark.parametrize("size", [1, 13 * PIECE])
async def test_a_stream_that_fails_leaves_no_parts(blobs: Blobs, beside: Beside, size: int) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * size
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await blobs.put("t/a", broken())
    assert await beside.unfinished() == []


async def test_an_upload_that_is_cut_off_leaves_no_parts(blobs: Blobs, beside: Beside) -> None:
    sent = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        for number in range(1_000_000):
            yield b"x" * PIECE
            if number == 12:
                sent.set()
            await asyncio.sleep(0.01)

    putting = asyncio.create_task(blobs.put("t/a", endless()))
    await sent.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting

    async def is_clean() -> bool:
        return not await beside.unfinished()

    await until(is_clean)
    assert not await blobs.exists("t/a")


@pytest.fixture
def large(s3_url: str) -> Blobs:
    """For whom 5 MiB are large already."""
    bucket = bucket_of(s3_url)
    return Blobs(bucket.store(Patience()), None, s3_calls=S3Calls(bucket, copy_bytes=5 * PIECE))


@pytest.mark.parametrize("size", [5 * PIECE, 5 * PIECE + 1, 15 * PIECE, 16 * PIECE + 7])
async def test_a_blob_too_large_for_one_request_is_copied_in_parts(
    large: Blobs, beside: Beside, size: int
) -> None:
    content = random.randbytes(size)
    await large.put("t/in", pieces(content))
    await large.put("t/out", pieces(b"what was there"))
    await large.copy("t/in", "t/copy")
    await large.move("t/in", "t/out")
    assert await large.read_all("t/copy") == content == await large.read_all("t/out")
    assert not await large.exists("t/in")
    assert await beside.unfinished() == []


async def test_a_large_copy_that_fails_leaves_nothing(
    s3_url: str, large: Blobs, beside: Beside
) -> None:
    calls = S3Calls(bucket_of(s3_url), copy_bytes=5 * PIECE)
    await large.put("t/in", pieces(b"x" * 11 * PIECE))
    with pytest.raises(Unavailable):  # it is shorter than it is said to be
        await calls.copy("t/in", "t/out", 20 * PIECE)
    with pytest.raises(NotFound):
        await calls.copy("t/none", "t/out", 20 * PIECE)
    assert not await large.exists("t/out")
    assert await beside.unfinished() == []


@dataclass
class Server:
    """Answers what it is told to, one after the other, then an empty list."""

    answers: list[tuple[int, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    stalls: int = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Its address while the block is open."""
        app = web.Application()
        app.router.add_route("*", "/{any:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path_qs}")
        if len(self.asked) <= self.stalls:
            await asyncio.Event().wait()
        status, code = self.answers.pop(0) if self.answers else (200, "")
        empty = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
        text = f"<Error><Code>{code}</Code></Error>" if status >= 300 else empty
        return web.Response(status=status, text=text, content_type="application/xml")


@asynccontextmanager
async def facing(server: Server, environment: pytest.MonkeyPatch) -> AsyncIterator[Blobs]:
    """A bucket on that server."""
    environment.setenv("AWS_ACCESS_KEY_ID", "reelway")
    environment.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    async with server.open() as endpoint:
        yield open_blobs(f"s3://archive/pre?endpoint={endpoint}", HASTY)


async def test_a_server_that_is_busy_for_a_moment_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server([(503, "SlowDown"), (503, "SlowDown")])
    async with facing(server, monkeypatch) as blobs:
        await blobs.ping()
    assert len(server.asked) == 3


async def test_a_server_that_stays_busy_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server([(503, "SlowDown")] * 9)
    async with facing(server, monkeypatch) as blobs:
        with pytest.raises(Unavailable, match="it answers 503") as caught:
            await blobs.ping()
    assert (caught.value.code, len(server.asked)) == ("blobs_unavailable", 3)


async def test_a_server_that_stalls_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(stalls=1)
    async with facing(server, monkeypatch) as blobs:
        await blobs.ping()
    assert len(server.asked) == 2


async def test_a_server_that_stalls_for_ever_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(stalls=99)
    async with facing(server, monkeypatch) as blobs:
        with pytest.raises(Unavailable) as caught:
            await blobs.ping()
    assert (caught.value.code, len(server.asked)) == ("blobs_unavailable", 3)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
        (403, "AccessDenied"),
        (404, "NoSuchBucket"),
        (400, "AuthorizationHeaderMalformed"),
        (301, "PermanentRedirect"),
        (418, "Teapot"),
    ],
)
async def test_a_server_that_refuses_is_asked_once_and_the_cure_is_told(
    monkeypatch: pytest.MonkeyPatch, status: int, code: str
) -> None:
    server = Server([(status, code)] * 9)
    async with facing(server, monkeypatch) as blobs:
        with pytest.raises(BlobsRefused, match=f"refused: {code}$") as caught:
            await blobs.ping()
    assert caught.value.hint == CURES.get(code, "check its credentials, rights and settings")
    assert len(server.asked) == 1


def everything(blobs: Blobs) -> list[Callable[[], Any]]:
    return [
        lambda: blobs.read_all("t/a"),
        lambda: blobs.put("t/a", pieces(b"x")),
        lambda: blobs.delete("t/a"),
        lambda: blobs.copy("t/a", "t/b"),
        lambda: blobs.listed("t/"),
        lambda: blobs.delete_prefix("t/"),
    ]


async def test_a_bucket_that_is_missing_is_no_blob_that_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server([(404, "NoSuchBucket")] * 99)
    async with facing(server, monkeypatch) as blobs:
        for access in everything(blobs)[:3] + everything(blobs)[4:]:
            with pytest.raises(BlobsRefused, match="NoSuchBucket"):
                await access()


async def test_a_server_that_is_not_there_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    async with facing(Server(), monkeypatch) as blobs:
        pass
    for access in everything(blobs):
        with pytest.raises(Unavailable) as caught:
            await access()
        assert caught.value.code == "blobs_unavailable"
        assert "REELWAY_BLOBS_URL" in caught.value.hint
        assert "\n" not in caught.value.detail
        assert "127.0.0.1" not in caught.value.detail


async def test_missing_credentials_are_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server([(404, "")] * 99)
    async with server.open() as endpoint:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", endpoint)
        blobs = open_blobs(f"s3://archive?endpoint={endpoint}", HASTY)
        with pytest.raises(BlobsRefused, match="NoCredentials") as caught:
            await blobs.ping()
    assert "AWS_SECRET_ACCESS_KEY" in caught.value.hint


def calls_of(blobs: Blobs) -> S3Calls:
    assert blobs.s3
    return blobs.s3


async def test_other_calls_are_repeated_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server([(503, "SlowDown")] * 2 + [(404, "NoSuchUpload")])
    async with facing(server, monkeypatch) as blobs:
        with pytest.raises(NotFound):
            await calls_of(blobs).parts("t/a", "u1")
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("status", "code"), [(403, "AccessDenied"), (404, "NoSuchBucket"), (403, "InvalidAccessKeyId")]
)
async def test_what_is_refused_to_other_calls_has_the_same_cure(
    monkeypatch: pytest.MonkeyPatch, status: int, code: str
) -> None:
    server = Server([(status, code)] * 9)
    async with facing(server, monkeypatch) as blobs:
        with pytest.raises(BlobsRefused, match=f"refused: {code}$") as caught:
            await calls_of(blobs).begin("t/a")
    assert (caught.value.hint, len(server.asked)) == (CURES[code], 1)


async def test_other_calls_find_a_server_that_is_not_there_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with facing(Server(), monkeypatch) as blobs:
        pass
    with pytest.raises(Unavailable) as caught:
        await calls_of(blobs).give_up("t/a", "u1")
    assert caught.value.code == "blobs_unavailable"
    assert "127.0.0.1" not in caught.value.detail


async def test_nothing_is_signed_without_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    blobs = open_blobs("s3://archive?endpoint=http://127.0.0.1:1", HASTY)
    with pytest.raises(BlobsRefused, match="NoCredentials"):
        await blobs.presigned("t/a", 60)


async def test_an_address_leads_to_the_server_that_browsers_reach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reelway")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    inside = "s3://archive/pre?endpoint=http://127.0.0.1:1&public=https://s3.example.org"
    url = await open_blobs(inside).presigned("t/a", 60)
    assert url
    assert url.startswith("https://s3.example.org/archive/pre/t/a?")
    named = f"{inside}&style=virtual".replace("127.0.0.1", "minio")
    url = await open_blobs(named).presigned("t/a", 60)
    assert url
    assert url.startswith("https://archive.s3.example.org/pre/t/a?")


async def test_a_folder_signs_nothing(tmp_path: Path) -> None:
    for url in (tmp_path.as_uri(), "memory:"):
        assert await open_blobs(url).presigned("t/a", 60) is None
