"""The main job, shown: start Reelway, give it a video over HTTP, watch, read and search.

It talks to a Reelway of its own, in a process of its own with a data folder of its own, only
through the public interface, as anybody would.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from services.jobs.media.clip import DEMO, DEMO_SECONDS, make_clip

START_SECONDS = 60.0
_UP = re.compile(r"gateway is up at (http://\S+)")
_BAR = 28


class DemoFailed(Exception):
    """The demonstration did not come to its good end."""


def run_demo(video: str) -> int:
    """Show the main job on a video, or on a clip made for it; answers the exit code."""
    try:
        asyncio.run(_demo(Path(video) if video else None))
    except (DemoFailed, aiohttp.ClientError) as error:
        sys.stderr.write(f"demo: {error}\n")
        return 1
    return 0


async def _demo(video: Path | None) -> None:
    if video is not None and not video.is_file():
        raise DemoFailed(f"there is no file {video}")
    folder = Path(tempfile.mkdtemp(prefix="reelway-demo-"))
    try:
        if video is None:
            video = folder / "harbour.mp4"
            _say(f"making a clip of {DEMO_SECONDS:g} s with {len(DEMO)} captions")
            await asyncio.to_thread(make_clip, video, DEMO, duration=DEMO_SECONDS)
            expected = [caption.text for caption in DEMO]
        else:
            expected = []
        async with _reelway(folder / "data") as client:
            await _show(client, video, expected)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _say("stopped cleanly")


@asynccontextmanager
async def _reelway(data: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """A Reelway of our own, and a client with its key."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("REELWAY_")}
    settings = {"REELWAY_DATA_DIR": str(data), "REELWAY_GATEWAY_PORT": "0"}
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services", env={**kept, **settings}, stderr=asyncio.subprocess.PIPE
    )
    log: list[str] = []
    try:
        url = await _address(process, log)
        reading = asyncio.create_task(_keep(process, log))
        _say(f"Reelway is up at {url} after {time.monotonic() - began:.1f} s")
        headers = {"Authorization": f"Bearer {(data / 'default.key').read_text().strip()}"}
        async with aiohttp.ClientSession(url, headers=headers) as client:
            yield client
        process.send_signal(signal.SIGTERM)
        if await asyncio.wait_for(process.wait(), 40):
            raise DemoFailed(f"it did not stop cleanly: {''.join(log[-5:])}")
        await reading
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _address(process: asyncio.subprocess.Process, log: list[str]) -> str:
    """Where it says it is up."""
    with contextlib.suppress(TimeoutError):
        return await asyncio.wait_for(_announced(process, log), START_SECONDS)
    raise DemoFailed(f"it did not start:\n{''.join(log[-10:])}")


async def _announced(process: asyncio.subprocess.Process, log: list[str]) -> str:
    assert process.stderr
    while line := (await process.stderr.readline()).decode():
        log.append(line)
        if found := _UP.search(line):
            return found[1]
    raise DemoFailed(f"it did not start:\n{''.join(log[-10:])}")


async def _keep(process: asyncio.subprocess.Process, log: list[str]) -> None:
    assert process.stderr
    log.extend([line.decode(errors="replace") async for line in process.stderr])


async def _show(client: aiohttp.ClientSession, video: Path, expected: list[str]) -> None:
    began = time.monotonic()
    uploaded = await _upload(client, video)
    await _follow(client, uploaded["job"]["id"])
    shown = await _get(client, f"/v1/videos/{uploaded['video']['id']}")
    if shown["layout"] == "proposed":
        _say("where the captions stand is not certain: approving the proposal")
        async with client.post(f"/v1/videos/{shown['id']}/approve") as reply:
            shown = await _json(reply)
    if shown["jobs"]["captions"]:
        await _follow(client, shown["jobs"]["captions"])
    captions = (await _get(client, f"/v1/videos/{shown['id']}/captions"))["items"]
    _say(f"{len(captions)} captions, {time.monotonic() - began:.1f} s after the upload began:")
    for caption in captions:
        text = caption["text"].replace("\n", " / ")
        sys.stdout.write(f"    {caption['start']:7.1f} - {caption['end']:5.1f} s  {text}\n")
    if expected and [caption["text"] for caption in captions] != expected:
        raise DemoFailed("these are not the captions that were burned in")
    await _search(client, [caption["text"] for caption in captions])


async def _upload(client: aiohttp.ClientSession, video: Path) -> dict[str, Any]:
    _say(f"uploading {video.name}, {video.stat().st_size:,} bytes")
    with video.open("rb") as file:
        async with client.post("/v1/videos", params={"name": video.name}, data=file) as reply:
            return await _json(reply)


async def _follow(client: aiohttp.ClientSession, job_id: str) -> None:
    """Show a job's progress until its end."""
    bars = _Bars()
    forever = aiohttp.ClientTimeout(total=None, sock_read=60)
    async with client.get(f"/v1/jobs/{job_id}/events", timeout=forever) as reply:
        async for kind, data in _events(reply):
            bars.show(data)
            if kind == "end":
                bars.finish()
                _check_end(data)
                return
    raise DemoFailed("the events stopped before the job's end")


def _check_end(data: dict[str, Any]) -> None:
    if data["state"] != "succeeded":
        error = data.get("error") or {}
        raise DemoFailed(f"{error.get('detail', data['state'])} ({error.get('hint', '')})")


async def _events(reply: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    kind = ""
    async for raw in reply.content:
        name, _, text = raw.decode().rstrip("\n").partition(": ")
        if name == "event":
            kind = text
        elif name == "data":
            yield kind, msgspec.json.decode(text)


class _Bars:
    """One bar per step; on a terminal it grows, elsewhere it is written when the step is done."""

    def __init__(self) -> None:
        self._step = ""
        self._line = ""

    def show(self, data: dict[str, Any]) -> None:
        step, done = str(data.get("step") or ""), float(data["progress"])
        if step != self._step:
            self._draw(done, "done")  # the next step begins where this one ended
            self.finish()
            self._step = step
        ended = data["state"] == "succeeded"
        self._draw(done, "done" if ended else str(data.get("message", "")))

    def _draw(self, done: float, message: str) -> None:
        if not self._step:
            return
        bar = ("█" * round(done * _BAR)).ljust(_BAR, "·")
        self._line = f"    {self._step:<14} {bar} {done:4.0%}  {message}"
        if sys.stdout.isatty():
            sys.stdout.write(f"\r\x1b[K{self._line}")
            sys.stdout.flush()

    def finish(self) -> None:
        if self._line:
            sys.stdout.write("\n" if sys.stdout.isatty() else f"{self._line}\n")
        self._line = ""


async def _search(client: aiohttp.ClientSession, texts: list[str]) -> None:
    words = sorted(set(re.findall(r"\w{4,}", " ".join(texts))), key=len)
    if not words:
        _say("no captions, so nothing to search for")
        return
    found = await _get(client, "/v1/search", q=words[-1])
    if not found["items"]:
        raise DemoFailed(f"{words[-1]!r} stands in the captions and was not found")
    hit = found["items"][0]
    text = hit["text"].replace("\n", " / ")
    _say(f"search for {words[-1]!r}: {text!r} at {hit['start']:.1f} s of {hit['name']}")


async def _get(client: aiohttp.ClientSession, path: str, **params: str) -> dict[str, Any]:
    async with client.get(path, params=params) as reply:
        return await _json(reply)


async def _json(reply: aiohttp.ClientResponse) -> dict[str, Any]:
    body = await reply.json(content_type=None)
    if reply.status >= 400:
        raise DemoFailed(f"{body['title']} {body['detail']} {body.get('hint', '')}")
    assert isinstance(body, dict)
    return body


def _say(text: str) -> None:
    sys.stdout.write(f"demo: {text}\n")
    sys.stdout.flush()
