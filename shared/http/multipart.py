"""``multipart/form-data`` (RFC 7578) as a stream: one file, of any size, is never held in memory.

Small fields are collected, with caps on their number and size; the file is handed over in pieces as
they arrive. A second file is refused, since its bytes would have nowhere to go.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.message import Message

from aiohttp import hdrs, web

from shared.errors import Invalid, TooLarge, UnsupportedMedia
from shared.http.bodies import READ_TIMEOUT, stream_body
from shared.http.fields import safe_name

_PARAMETER = re.compile(
    r';[ \t]*(?P<name>[\w*-]+)=(?:"(?P<quoted>(?:\\"|[^"])*)"|(?P<bare>[^;\s]*))'
)
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046
_LONGEST_LINE = 4096
_MOST_HEADERS = 16


@dataclass(frozen=True, slots=True)
class FormLimits:
    """How much a form may hold beside its file."""

    fields: int = 16
    field_bytes: int = 4096

    @property
    def overhead(self) -> int:
        """The bytes that all fields, headers and boundaries may take together."""
        return (self.fields + 1) * (self.field_bytes + 2 * _LONGEST_LINE)


@dataclass(frozen=True, slots=True)
class FilePart:
    """The file of a form.

    ``fields`` holds what came before it, and once ``chunks`` are read also what came after it.
    """

    filename: str
    media_type: str
    chunks: AsyncIterator[bytes]
    fields: dict[str, str]


async def first_file(
    request: web.Request,
    *,
    limit: int,
    limits: FormLimits | None = None,
    read_timeout: float = READ_TIMEOUT,
) -> FilePart:
    """The file of a form, ready to be read once; :class:`Invalid` where there is none."""
    limits = limits or FormLimits()
    boundary = _boundary(request)
    body = stream_body(request, limit=limit + limits.overhead, read_timeout=read_timeout)
    form = _Form(_Lookahead(body), b"\r\n--" + boundary, limits, limit)
    return await form.file()


def _boundary(request: web.Request) -> bytes:
    if request.content_type != "multipart/form-data":
        raise UnsupportedMedia(hint="send Content-Type: multipart/form-data")
    header = Message()
    header["Content-Type"] = request.headers[hdrs.CONTENT_TYPE]
    boundary = str(header.get_boundary() or "")
    if not _BOUNDARY.fullmatch(boundary):
        raise Invalid("the form's boundary is missing or malformed", code="malformed_body")
    return boundary.encode()


class _Lookahead:
    """Bytes of a body, read up to a mark that may lie across two pieces."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body = body
        self._held = b"\r\n"  # the first delimiter needs no line before it

    async def until(self, mark: bytes) -> AsyncIterator[bytes]:
        """What comes before the mark; the mark is consumed."""
        while (found := self._held.find(mark)) < 0:
            # Everything but a possible beginning of the mark is certainly before it.
            certain = len(self._held) - len(mark) + 1
            if certain > 0:
                before, self._held = self._held[:certain], self._held[certain:]
                yield before
            self._held += await self._more()
        before, self._held = self._held[:found], self._held[found + len(mark) :]
        if before:
            yield before

    async def short(self, mark: bytes, limit: int) -> bytes:
        """What comes before the mark, which must come soon."""
        taken = bytearray()
        async for piece in self.until(mark):
            taken += piece
            if len(taken) > limit:
                raise TooLarge(f"a part of the form is larger than {limit} bytes")
        return bytes(taken)

    async def starts_with(self, mark: bytes) -> bool:
        """Whether the mark comes next."""
        while len(self._held) < len(mark):
            self._held += await self._more()
        return self._held.startswith(mark)

    async def drain(self, limit: int) -> None:
        """Read the epilogue, so that the connection can go on."""
        taken = 0
        async for piece in self._body:
            taken += len(piece)
            if taken > limit:
                raise TooLarge("the form goes on after its end")

    async def _more(self) -> bytes:
        try:
            return await anext(self._body)
        except StopAsyncIteration:
            raise Invalid("the form breaks off", code="malformed_body") from None


@dataclass(slots=True)
class _Part:
    headers: dict[str, str]
    parameters: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        disposition = self.headers.get("content-disposition", "")
        if not disposition.lower().startswith("form-data"):
            raise Invalid("a part of the form has no name", code="malformed_body")
        self.parameters = {}
        for found in _PARAMETER.finditer(disposition):
            value = found["bare"] if found["quoted"] is None else found["quoted"]
            # Browsers escape these three; some programs use a backslash for the quote.
            value = value.replace('\\"', '"').replace("%22", '"').replace("%0D%0A", " ")
            self.parameters.setdefault(found["name"].lower(), value)

    @property
    def filename(self) -> str | None:
        given = self.parameters.get("filename")
        # An empty name is a form whose file was not chosen; old browsers send the whole path that
        # the file has on the user's own machine.
        return safe_name(re.split(r"[/\\]", given)[-1]) if given else None


@dataclass(slots=True)
class _Form:
    source: _Lookahead
    delimiter: bytes
    limits: FormLimits
    limit: int
    fields: dict[str, str] = field(default_factory=dict)

    async def file(self) -> FilePart:
        await self.source.short(self.delimiter, _LONGEST_LINE)
        while (part := await self._part()) is not None:
            name = part.filename
            if name is None:
                await self._keep(part)
                continue
            media_type = part.headers.get("content-type", "application/octet-stream")
            return FilePart(name, media_type, self._bytes(), self.fields)
        raise Invalid("the form has no file", hint="send a part with a filename")

    async def _part(self) -> _Part | None:
        """The next part's headers; None after the last part."""
        if await self.source.starts_with(b"--"):
            return None
        line = await self.source.short(b"\r\n", _LONGEST_LINE)
        if line.strip(b" \t"):
            raise Invalid("the form's boundary is malformed", code="malformed_body")
        headers: dict[str, str] = {}
        while line := await self.source.short(b"\r\n", _LONGEST_LINE):
            name, _, value = line.decode("utf-8", "replace").partition(":")
            headers.setdefault(name.strip().lower(), value.strip())
            if len(headers) > _MOST_HEADERS:
                raise TooLarge("a part of the form has too many headers")
        return _Part(headers)

    async def _keep(self, part: _Part) -> None:
        name = part.parameters.get("name", "")
        if len(self.fields) >= self.limits.fields:
            raise TooLarge(f"the form has more than {self.limits.fields} fields")
        if name in self.fields:
            raise Invalid(f"form field `{name[:80]}` is given more than once")
        value = await self.source.short(self.delimiter, self.limits.field_bytes)
        self.fields[name] = value.decode("utf-8", "replace")

    async def _bytes(self) -> AsyncIterator[bytes]:
        taken = 0
        async for piece in self.source.until(self.delimiter):
            taken += len(piece)
            if taken > self.limit:
                raise TooLarge(f"more than the {self.limit} bytes allowed")
            yield piece
        while (part := await self._part()) is not None:
            if part.filename is not None:
                raise Invalid("the form has more than one file", hint="send one file a request")
            await self._keep(part)
        await self.source.drain(_LONGEST_LINE)
