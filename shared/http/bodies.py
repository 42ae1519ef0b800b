"""Bodies and queries in, JSON out: sizes, types and times are checked before anything is believed.

Reading is also what answers ``Expect: 100-continue`` (RFC 9110 section 10.1.1): a handler that
refuses before it reads, for want of a key or of quota, refuses before a byte is sent.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, Final, NoReturn, TypeVar

import msgspec
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from shared.errors import Invalid, TooLarge, UnsupportedMedia
from shared.http.context import SIGNED, SIGNED_BY, request_id
from shared.http.errors import ClientGone, Stalled, describe_status, has_left, reply

T = TypeVar("T")
Query = TypeVar("Query", bound=msgspec.Struct)

JSON: Final = "application/json"
JSON_LIMIT: Final = 1 << 20
READ_TIMEOUT: Final = 60.0

_BODY = web.RequestKey("body", bytes)
_WHERE = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?", re.DOTALL)
_NAMED = re.compile(r"Object (?:contains unknown|missing required) field `(?P<name>[^`]*)`")
_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>[^\]]*)\]")


async def read_json(
    request: web.Request,
    type_: type[T],
    *,
    limit: int = JSON_LIMIT,
    media: tuple[str, ...] = (JSON,),
    read_timeout: float = READ_TIMEOUT,
) -> T:
    """The body as a value of this type; whether unknown fields are forbidden is its own say."""
    if request.content_type not in media or (request.charset or "utf-8").lower() != "utf-8":
        raise UnsupportedMedia(hint=f"send Content-Type: {media[0]}")
    body = await read_small(request, limit=limit, read_timeout=read_timeout)
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.DecodeError as error:
        raise invalid_shape(error) from error


async def read_small(
    request: web.Request, *, limit: int = JSON_LIMIT, read_timeout: float = READ_TIMEOUT
) -> bytes:
    """The whole body; it is kept, so that it may be asked for again."""
    if _BODY not in request:
        body = bytearray()
        async with aclosing(stream_body(request, limit=limit, read_timeout=read_timeout)) as chunks:
            async for chunk in chunks:
                body += chunk
        request[_BODY] = bytes(body)
    known = request[_BODY]
    if len(known) > limit:
        raise TooLarge(f"more than the {limit} bytes allowed")
    return known


async def read_json_or(request: web.Request, default: T) -> T:
    """The body as a value of the type of ``default``, which stands for no body at all."""
    return await read_json(request, type(default)) if request.body_exists else default


def read_query(request: web.Request, type_: type[Query]) -> Query:
    """The query string as a struct; unknown parameters are refused by name, and repeated ones
    unless they are lists, whose items may also be separated by commas.
    """
    known = {field.encode_name: _is_list(field) for field in msgspec.structs.fields(type_)}
    given: dict[str, Any] = {}
    for name in request.query:
        if name == SIGNED_BY and request.get(SIGNED):
            continue
        if name not in known:
            allowed = ", ".join(sorted(known)) or "none"
            raise Invalid(f"unknown query parameter `{name[:80]}`", hint=f"known are: {allowed}")
        values = request.query.getall(name)
        if len(values) > 1 and not known[name]:
            raise Invalid(f"query parameter `{name}` is given more than once")
        given[name] = ",".join(values).split(",") if known[name] else values[0]
    try:
        return msgspec.convert(given, type_, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(_about_query(str(error))) from error


def json_reply(
    value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A value as a JSON response (RFC 8259: always UTF-8, so without a charset)."""
    body = msgspec.json.encode(value)
    return web.Response(body=body, status=status, content_type=JSON, headers=headers)


def invalid_shape(error: msgspec.DecodeError) -> Invalid:
    """What a decoder found wrong, with a JSON pointer (RFC 6901) to where it is."""
    if not isinstance(error, msgspec.ValidationError):
        return Invalid(f"the body is not valid JSON: {error}", code="malformed_json")
    what, path = _split(str(error))
    if named := _NAMED.fullmatch(what):
        path += f".{named['name']}"
    steps = (match["name"] or match["index"] for match in _STEP.finditer(path))
    pointer = "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
    return Invalid("the body is not what this address takes", errors=((f"#{pointer}", what),))


async def stream_body(
    request: web.Request, *, limit: int, read_timeout: float = READ_TIMEOUT
) -> AsyncGenerator[bytes, None]:
    """The body in pieces as they arrive.

    Raises :class:`TooLarge` as soon as it is certain, :class:`ClientGone` when the client leaves or
    sends less than it declared, :class:`Stalled` when no piece arrives within ``read_timeout``.
    Whatever was yielded before was really received.
    """
    refuse_coding(request)
    declared = request.content_length
    if declared is not None and declared > limit:
        raise TooLarge(f"{declared} bytes are more than the {limit} allowed")
    await let_continue(request)
    taken = 0
    while chunk := await _piece(request, read_timeout):
        taken += len(chunk)
        if taken > limit:
            raise TooLarge(f"more than the {limit} bytes allowed")
        yield chunk
    if declared is not None and taken < declared:
        raise ClientGone(f"{taken} of {declared} bytes came")


def refuse_coding(request: web.Request) -> None:
    """Refuse ``Content-Encoding``: offsets and limits count the bytes that are sent."""
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise UnsupportedMedia("Content-Encoding is not accepted", hint="send the body as it is")


async def defer_continue(request: web.Request) -> web.StreamResponse | None:
    """The ``expect_handler`` of every route: says nothing until somebody reads the body."""
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        return None
    problem = describe_status(HTTPStatus.EXPECTATION_FAILED, request.path, request_id(request))
    return reply(problem, {})


async def let_continue(request: web.Request) -> None:
    """Tell a client that waits for it to send its body; HTTP/1.0 has no such thing."""
    if hdrs.EXPECT not in request.headers or request.version < (1, 1):
        return
    if request.content.total_bytes or request.content.is_eof():
        return  # it did not wait
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the reply itself has not begun


async def _piece(request: web.Request, read_timeout: float) -> bytes:
    try:
        async with asyncio.timeout(read_timeout):
            return await request.content.readany()
    except TimeoutError as late:
        raise Stalled(f"nothing came for {read_timeout:g} s") from late
    except (ConnectionError, web.RequestPayloadError, HttpProcessingError) as error:
        return _arrived(request) or _broken(request, error)


def _arrived(request: web.Request) -> bytes:
    """What came before it broke off and has not been read: whoever reads late, because it asked
    somebody first, would else get nothing of it, each time anew.
    """
    return request.content._read_nowait(-1)  # noqa: SLF001 - what is public raises what broke off


def _broken(request: web.Request, error: Exception) -> NoReturn:
    if isinstance(error, ConnectionError) or has_left(request):
        raise ClientGone from error
    raise Invalid("the body's transfer coding is broken", code="malformed_body") from error


def _split(message: str) -> tuple[str, str]:
    found = _WHERE.fullmatch(message)
    return (message, "") if found is None else (found["what"], found["path"] or "")


def _is_list(field: msgspec.structs.FieldInfo) -> bool:
    info = msgspec.inspect.type_info(field.type)
    while isinstance(info, msgspec.inspect.Metadata):
        info = info.type
    return isinstance(info, msgspec.inspect.VarTupleType)


def _about_query(message: str) -> str:
    what, path = _split(message)
    if named := _NAMED.fullmatch(what):
        return f"query parameter `{named['name']}` is missing"
    return f"query parameter `{path.lstrip('.')}`: {what}"
