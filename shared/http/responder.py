"""Content with ranges: GET and HEAD as RFC 9110 sections 13 to 15 say, for any keeper of it.

Bytes of a local file go out with ``sendfile``, all others as they are read. They are sent in
portions of at most 1 MiB, each with a deadline, so that a client that stalls is let go while a slow
one (from 18 kB/s on) is served to the end. Nothing here is ever compressed: a content coding would
make ``Content-Range`` count other bytes than the ETag names.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final, Literal, Protocol

from aiohttp import hdrs, web

from shared.errors import Unavailable
from shared.http import ranges
from shared.http.context import reset
from shared.http.errors import BeyondEnd, ClientGone, PreconditionFailed, Stalled
from shared.http.fields import content_disposition, http_date

PORTION: Final = 1 << 20
SMALL: Final = 1 << 16
WRITE_TIMEOUT: Final = 60.0
SANDBOX: Final = "sandbox; default-src 'none'; frame-ancestors 'none'"
HARMLESS: Final = frozenset(
    {"image/avif", "image/gif", "image/jpeg", "image/png", "image/webp", "text/vtt"}
)
"""What a browser may show in place besides video and audio: nothing that could hold a script."""

# A disk that hangs shall not take the threads that everybody else uses with it.
_disks = ThreadPoolExecutor(4, thread_name_prefix="content")


class Content(Protocol):
    """Bytes that can be read by range, and what is known of them."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    @property
    def etag(self) -> str:
        """A strong entity tag with its quotes: other bytes, another tag."""

    @property
    def modified(self) -> float | None:
        """When the bytes last changed, in seconds since the epoch."""

    @property
    def media_type(self) -> str:
        """What the bytes are, as found by looking at them and not as the uploader said."""

    @property
    def local_path(self) -> Path | None:
        """A plain file with exactly these bytes, where there is one."""

    def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """The bytes from ``start`` up to ``stop``."""


async def respond(
    request: web.Request,
    content: Content,
    *,
    name: str = "",
    download: bool = False,
    headers: Mapping[str, str] | None = None,
    write_timeout: float = WRITE_TIMEOUT,
) -> web.StreamResponse:
    """Answer GET or HEAD. Raises 412 and 416 for the error middleware before anything is sent.

    ``name`` is the file name offered to the user. A client that leaves is not an error.
    """
    told = described(content, name, download=download) | dict(headers or {})
    decision = ranges.decide(
        request.method,
        ranges.combined(request.headers),
        size=content.size,
        etag=content.etag,
        modified=content.modified,
    )
    match decision:
        case ranges.NotModified():
            return web.Response(status=304, headers=_for_304(told))
        case ranges.PreconditionFailed():
            raise PreconditionFailed
        case ranges.Unsatisfiable(size=size):
            raise BeyondEnd(size)
        case ranges.Whole():
            plan = _one(200, ranges.Partial(0, content.size), told)
        case ranges.Partial():
            shown = f"bytes {decision.start}-{decision.stop - 1}/{content.size}"
            plan = _one(206, decision, told | {hdrs.CONTENT_RANGE: shown})
        case ranges.Several():
            plan = _byteranges(decision, content, told)
    return await _send(request, content, plan, write_timeout)


@dataclass(frozen=True, slots=True)
class _Plan:
    """A head, then pieces in order: bytes of ours, or ranges of the content."""

    status: int
    headers: dict[str, str]
    length: int
    pieces: tuple[bytes | ranges.Partial, ...]


def described(content: Content, name: str, *, download: bool) -> dict[str, str]:
    """The headers that say what the content is, and what a browser may do with it."""
    media_type = content.media_type.lower()
    shows = media_type.startswith(("video/", "audio/")) or media_type in HARMLESS
    headers: dict[str, str] = {
        hdrs.CONTENT_TYPE: content.media_type,
        hdrs.ACCEPT_RANGES: "bytes",
        hdrs.ETAG: content.etag,
        hdrs.CACHE_CONTROL: "private, no-transform",
    }
    if content.modified is not None:
        headers[hdrs.LAST_MODIFIED] = http_date(content.modified)
    if name or download or not shows:
        kind: Literal["inline", "attachment"] = "inline" if shows and not download else "attachment"
        headers[hdrs.CONTENT_DISPOSITION] = content_disposition(kind, name or "download")
    if not shows:
        headers["Content-Security-Policy"] = SANDBOX
    return headers


def _for_304(headers: dict[str, str]) -> dict[str, str]:
    # Section 15.4.5: what a cache needs to find and renew its copy, nothing that describes a body.
    kept = (hdrs.ETAG, hdrs.LAST_MODIFIED, hdrs.CACHE_CONTROL, hdrs.VARY, hdrs.EXPIRES)
    return {name: value for name, value in headers.items() if name in kept}


def _one(status: int, span: ranges.Partial, headers: dict[str, str]) -> _Plan:
    return _Plan(status, headers, span.stop - span.start, (span,))


def _byteranges(several: ranges.Several, content: Content, headers: dict[str, str]) -> _Plan:
    boundary = secrets.token_hex(16)
    pieces: list[bytes | ranges.Partial] = []
    length = 0
    for part in several.parts:
        lead = (
            f"\r\n--{boundary}\r\n"
            f"Content-Type: {content.media_type}\r\n"
            f"Content-Range: bytes {part.start}-{part.stop - 1}/{content.size}\r\n\r\n"
        ).encode()
        pieces += [lead, part]
        length += len(lead) + part.stop - part.start
    end = f"\r\n--{boundary}--\r\n".encode()
    typed = headers | {hdrs.CONTENT_TYPE: f"multipart/byteranges; boundary={boundary}"}
    return _Plan(206, typed, length + len(end), (*pieces, end))


async def _send(
    request: web.Request, content: Content, plan: _Plan, write_timeout: float
) -> web.StreamResponse:
    response = web.StreamResponse(status=plan.status, headers=plan.headers)
    response.content_length = plan.length
    if request.method == "HEAD" or not plan.length:
        await response.prepare(request)
        await response.write_eof()
        return response
    if (small := await _small(content, plan)) is not None:
        plan = replace(plan, pieces=(small,))
    async with _opened(content if small is None else None) as file:
        await response.prepare(request)
        wire = _Wire(request, response, write_timeout)
        try:
            for piece in plan.pieces:
                await wire.send(piece, content, file)
            await wire.end()
        except ClientGone:
            reset(request)
    return response


async def _small(content: Content, plan: _Plan) -> bytes | None:
    """The one small range that was asked for, read in one go: many of them come when one seeks."""
    path, (first, *more) = content.local_path, plan.pieces
    if path is None or more or isinstance(first, bytes) or first.stop - first.start > SMALL:
        return None
    loop = asyncio.get_running_loop()
    try:
        return await loop.run_in_executor(_disks, _read, path, content.size, first)
    except OSError as error:
        raise Unavailable("the content cannot be read at the moment") from error


def _read(path: Path, size: int, span: ranges.Partial) -> bytes:
    with _open(path, size) as file:
        data = os.pread(file.fileno(), span.stop - span.start, span.start)
    if len(data) != span.stop - span.start:
        raise OSError(f"{len(data)} bytes at {span.start}")
    return data


@asynccontextmanager
async def _opened(content: Content | None) -> AsyncIterator[BinaryIO | None]:
    """The content's file; opened before the head is sent, so that a missing one is an error."""
    path = content.local_path if content else None
    if content is None or path is None:
        yield None
        return
    loop = asyncio.get_running_loop()
    try:
        file = await loop.run_in_executor(_disks, _open, path, content.size)
    except OSError as error:
        raise Unavailable("the content cannot be read at the moment") from error
    try:
        yield file
    finally:
        await asyncio.shield(loop.run_in_executor(_disks, file.close))


def _open(path: Path, size: int) -> BinaryIO:
    file = path.open("rb", buffering=0)
    found = os.fstat(file.fileno()).st_size
    if found != size:
        file.close()
        raise OSError(f"{found} bytes instead of {size}")
    return file


@dataclass(frozen=True, slots=True)
class _Wire:
    """The way to one client, with a deadline for every portion."""

    request: web.Request
    response: web.StreamResponse
    write_timeout: float

    async def send(
        self, piece: bytes | ranges.Partial, content: Content, file: BinaryIO | None
    ) -> None:
        if isinstance(piece, bytes):
            await self._write(piece)
        elif file is None:
            await self._copy(content.read(piece.start, piece.stop), piece.stop - piece.start)
        else:
            for start in range(piece.start, piece.stop, PORTION):
                await self._sendfile(file, start, min(PORTION, piece.stop - start))

    async def end(self) -> None:
        with _telling_who_left():
            await self.response.write_eof()

    async def _write(self, data: bytes | memoryview) -> None:
        with _telling_who_left():
            async with asyncio.timeout(self.write_timeout):
                await self.response.write(data)

    async def _sendfile(self, file: BinaryIO, start: int, count: int) -> None:
        transport = self.request.transport
        if transport is None or transport.is_closing():
            raise ClientGone
        loop = asyncio.get_running_loop()
        with _telling_who_left():
            async with asyncio.timeout(self.write_timeout):
                sent = await loop.sendfile(transport, file, start, count)
        if sent != count:
            raise Unavailable(f"the content ends at {start + sent}")

    async def _copy(self, source: AsyncIterator[bytes], count: int) -> None:
        try:
            async for chunk in source:
                count -= len(chunk)
                for start in range(0, len(chunk), PORTION):
                    await self._write(memoryview(chunk)[start : start + PORTION])
        finally:
            if isinstance(source, AsyncGenerator):
                await source.aclose()
        if count:
            raise Unavailable(f"the content is {abs(count)} bytes away from its size")


@contextmanager
def _telling_who_left() -> Iterator[None]:
    """Trouble while sending is the client's, unlike the same trouble while reading the content."""
    try:
        yield
    except TimeoutError as error:
        raise Stalled from error
    except ConnectionError as error:
        raise ClientGone from error
