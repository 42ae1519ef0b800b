"""A developer's client of the public interface."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
from yarl import URL

PATIENCE = 90.0
TERMINAL = {"succeeded", "failed", "cancelled", "expired"}


class Reply(NamedTuple):
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.body)


class SentEvent(NamedTuple):
    """One server-sent event."""

    event: str
    id: str
    data: Any


class Client:
    """Speaks for one key."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def call(self, method: str, path: str | URL, **options: Any) -> Reply:
        """Any request."""
        async with self.session.request(method, path, **options) as reply:
            return Reply(reply.status, reply.headers.copy(), await reply.read())

    async def get(self, path: str, **params: str) -> Any:
        """The JSON at a path that must answer 200."""
        reply = await self.call("GET", path, params=params)
        assert reply.status == 200, reply
        return reply.json()

    async def tell(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """The JSON that a request, with JSON or without, must be answered with."""
        reply = await self.call(method, path, **({} if body is None else {"json": body}))
        assert reply.status == status, reply
        return reply.json()

    async def upload(self, content: Path | bytes, name: str = "clip.mp4") -> Any:
        """Upload a video, which must be accepted."""
        data = content if isinstance(content, bytes) else content.read_bytes()
        reply = await self.call("POST", "/v1/videos", params={"name": name}, data=io.BytesIO(data))
        assert reply.status == 202, reply
        return reply.json()

    async def job_end(self, job_id: str) -> Any:
        """The job once it has ended."""
        return await self.until(f"/v1/jobs/{job_id}", lambda job: job["state"] in TERMINAL)

    async def until(self, path: str, holds: Any) -> Any:
        """What a path shows once that is as wanted."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                reply = await self.call("GET", path)
                if reply.status == 200 and holds(reply.json()):
                    return reply.json()
                last: object = reply
            except aiohttp.ClientError as error:
                last = error
            assert time.monotonic() < end, last
            await asyncio.sleep(0.05)

    async def captioned(self, video_id: str) -> Any:
        """The video once its captions are there or something went wrong."""
        path = f"/v1/videos/{video_id}"
        return await self.until(path, lambda video: video["status"] in {"done", "error"})

    def events(self, job_id: str, last_id: str = "") -> AsyncIterator[SentEvent]:
        """A job's events as they come."""
        return self.stream(f"/v1/jobs/{job_id}/events", last_id)

    async def stream(self, path: str, last_id: str = "") -> AsyncIterator[SentEvent]:
        """The events of a stream as they come."""
        headers = {"Last-Event-ID": last_id} if last_id else {}
        timeout = aiohttp.ClientTimeout(total=None, sock_read=PATIENCE)
        async with self.session.get(path, headers=headers, timeout=timeout) as reply:
            assert reply.status in {200, 204}, reply
            kind = event_id = ""
            async for raw in reply.content:
                name, _, text = raw.decode().rstrip("\n").partition(": ")
                if not name:
                    kind = event_id = ""
                elif name == "id":
                    event_id = text
                elif name == "event":
                    kind = text
                elif name == "data":
                    yield SentEvent(kind, event_id, msgspec.json.decode(text))


async def captions_of(client: Client, video_id: str) -> list[tuple[float, float, str]]:
    """The captions of a video, once they are there: start, end, text."""
    video = await client.captioned(video_id)
    assert video["status"] == "done", video
    items = (await client.get(f"/v1/videos/{video_id}/captions"))["items"]
    return [(item["start"], item["end"], item["text"]) for item in items]


@asynccontextmanager
async def client_of(url: str, key: str) -> AsyncIterator[Client]:
    """A client with a key; without one when it is empty."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with aiohttp.ClientSession(url, headers=headers) as session:
        yield Client(session)
