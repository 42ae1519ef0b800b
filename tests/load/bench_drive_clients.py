"""Fast clients in processes of their own: curl for large files, wrk for many small ranges."""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path

CONNECTIONS = 16
RANGE_BYTES = 16 * 1024
_TOLD = "%{http_code} %{time_total} %{size_download} %{size_upload}"
_RANGES = """
math.randomseed(7)
local last = {last}
request = function()
  local from = math.random(0, last)
  wrk.headers["Range"] = "bytes=" .. from .. "-" .. (from + {size} - 1)
  return wrk.format("GET")
end
"""


class Failed(RuntimeError):
    """A client did not get what it was to measure."""


async def download(url: str, key: str, size: int) -> float:
    """Bytes a second of a whole file."""
    status, seconds, down, _ = await _curl(url, key, "-o", "/dev/null")
    if (status, down) != (200, size):
        raise Failed(f"{url} answered {status} with {down:g} of {size} bytes")
    return size / seconds


async def post(url: str, key: str, file: Path) -> tuple[float, bytes]:
    """Bytes a second of a file as the body, and the answer."""
    return await _send(url, key, file, "POST")


async def patch(url: str, key: str, file: Path) -> tuple[float, bytes]:
    """The same by tus, as one request."""
    headers = ("Tus-Resumable: 1.0.0", "Upload-Offset: 0")
    kind = "Content-Type: application/offset+octet-stream"
    return await _send(url, key, file, "PATCH", *headers, kind)


async def ranges(url: str, key: str, size: int, seconds: int) -> float:
    """Small ranges a second from all over a file."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_RANGES.format(last=size - RANGE_BYTES, size=RANGE_BYTES))
        script.flush()
        load = ("-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s", "-s", script.name)
        said = await _run("wrk", *load, "-H", f"Authorization: Bearer {key}", url)
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    if not rate or "Non-2xx" in said or "Socket errors" in said:
        raise Failed(said)
    return float(rate[1])


async def _send(url: str, key: str, file: Path, method: str, *headers: str) -> tuple[float, bytes]:
    size = file.stat().st_size
    with tempfile.NamedTemporaryFile() as answer:
        words = [word for header in ("Expect:", *headers) for word in ("-H", header)]
        words += ["-X", method, "-T", str(file), "-o", answer.name]
        status, seconds, _, up = await _curl(url, key, *words)
        if not 200 <= status < 300 or up != size:
            raise Failed(f"{url} answered {status} to {up:g} of {size} bytes: {answer.read()!r}")
        return size / seconds, answer.read()


async def _curl(url: str, key: str, *words: str) -> tuple[float, ...]:
    """Status, seconds, bytes down, bytes up."""
    given = ("-H", f"Authorization: Bearer {key}") if key else ()
    said = await _run("curl", "-sS", *given, *words, "-w", _TOLD, url)
    return tuple(float(word) for word in said.split())


async def _run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complained = await process.communicate()
    if process.returncode:
        raise Failed(f"{command[0]} ended with {process.returncode}: {complained.decode()}")
    return said.decode()
