"""A whole Reelway whose bytes are on S3."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from shared.blobs.store import open_blobs
from tests.support import s3
from tests.support.bus import until
from tests.support.client import Client, client_of
from tests.support.media import fresh, short
from tests.support.stack import PATIENT, Stack, embedded

TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as environment:
        yield s3.fresh_url(environment)


@pytest.fixture(scope="module")
def stack(bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("reelway")
    with embedded(folder, **PATIENT, REELWAY_BLOBS_URL=bucket) as running:
        yield running


@pytest_asyncio.fixture
async def client(stack: Stack) -> AsyncIterator[Client]:
    async with client_of(stack.url, stack.key) as made:
        yield made


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "short.mp4"
    short(path)
    return path


async def in_pieces(client: Client, content: bytes, pieces: int = 3) -> Any:
    """Send it with tus; answers the upload as it is then shown."""
    name = base64.b64encode(b"short.mp4").decode()
    told = {**TUS, "Upload-Length": str(len(content)), "Upload-Metadata": f"filename {name}"}
    path = (await client.call("POST", "/v1/uploads/", headers=told)).headers["Location"]
    step = -(-len(content) // pieces)
    for start in range(0, len(content), step):
        headers = {
            **TUS,
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": str(start),
        }
        piece = content[start : start + step]
        reply = await client.call("PATCH", path, headers=headers, data=piece)
        assert reply.status == 204, reply
    return await client.get(path)


async def comes_back(client: Client, video_id: str, content: bytes) -> None:
    video = await client.get(f"/v1/videos/{video_id}")
    assert video["sha256"] == hashlib.sha256(content).hexdigest()
    path = f"/v1/videos/{video_id}/stream"
    assert (await client.call("GET", path)).body == content
    part = await client.call("GET", path, headers={"Range": "bytes=5-104,-7"})
    assert part.status == 206
    assert content[5:105] in part.body
    assert content[-7:] in part.body
    assert (await client.call("GET", f"/v1/videos/{video_id}/thumbnail")).body[:2] == b"\xff\xd8"


async def at_once(client: Client, content: bytes) -> Any:
    uploaded = await client.upload(content)
    return {"video": uploaded["video"]["id"], "job": uploaded["job"]["id"]}


async def directly(client: Client, content: bytes) -> Any:
    """Send it past Reelway, as a browser does."""
    upload = await client.tell(
        "POST", "/v1/direct-uploads", {"name": "short.mp4", "size": len(content)}, status=201
    )
    path = f"/v1/direct-uploads/{upload['id']}"
    address = await client.tell("POST", f"{path}/parts/1")
    async with aiohttp.ClientSession() as browser:
        url = URL(address["url"], encoded=True)
        async with browser.put(url, data=io.BytesIO(content)) as reply:
            tag = reply.headers["ETag"]
    told = {"parts": [{"number": 1, "etag": tag}]}
    await client.tell("POST", f"{path}/complete", told, status=202)
    return upload


@pytest.mark.parametrize("way", [at_once, in_pieces, directly])
async def test_a_video_goes_in_and_comes_back_and_goes(
    client: Client, stack: Stack, bucket: str, clip: Path, way: Any
) -> None:
    content = fresh(clip)
    upload = await way(client, content)
    video_id, job_id = upload["video"], upload["job"]
    assert (await client.job_end(job_id))["state"] == "succeeded"
    await client.captioned(video_id)
    await comes_back(client, video_id, content)
    kept = await open_blobs(bucket).listed("default/")
    assert not [key for key in kept if "/incoming/" in key]

    assert (await client.call("DELETE", f"/v1/videos/{video_id}?permanent=true")).status == 204

    async def is_empty() -> bool:
        return not await open_blobs(bucket).listed("default/")

    await until(is_empty)
    assert stack.stored_files() == []
    assert stack.complaints() == []
