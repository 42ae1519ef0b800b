"""Every failure as ``application/problem+json`` (RFC 9457), whoever raised it.

``type`` is ``/problems/<code>``, a reference relative to the server that answered: Reelway is
self-hosted, so there is no address on the internet that its problems could truthfully name, and
clients compare ``code``. ``pointer`` is a JSON pointer in fragment form, as in RFC 9457 section 3.

A :class:`msgspec.ValidationError` that gets this far is a bug and answers 500: what clients send is
decoded in ``bodies``, which turns it into :class:`~shared.errors.Invalid`. A stored record that no
longer decodes must not be blamed on the caller.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import hdrs, web

from shared.errors import (
    IdempotencyInProgress,
    Invalid,
    Later,
    RangeUnsatisfiable,
    ReelwayError,
    Rejected,
    TooMany,
    Unauthorized,
    Unavailable,
)
from shared.http.context import Handler, Truncated, leave_unread, request_id

PROBLEM_JSON: Final = "application/problem+json"

_logger = logging.getLogger(__name__)
_CODES = {413: "too_large", 415: "unsupported_media", 416: "range_not_satisfiable"}
_DETAILS = {
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
    413: "The body is larger than allowed.",
    417: "Only Expect: 100-continue is understood.",
    500: "Something went wrong inside Reelway; the request id finds it in the log.",
}
_AGAIN_SECONDS = 5


class PreconditionFailed(Rejected):
    """The resource is not in the state that the request requires."""

    status = 412
    default_code = "precondition_failed"


class PreconditionRequired(Rejected):
    """A change here needs an If-Match header."""

    status = 428
    default_code = "precondition_required"


class BeyondEnd(RangeUnsatisfiable):
    """The requested range lies outside the content."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"the content has {size} bytes")


class ClientGone(Rejected):
    """The client left before it had sent everything."""

    default_code = "client_gone"


class Stalled(ClientGone):
    """The client stopped sending or reading."""

    status = 408
    default_code = "request_timeout"


class FieldError(msgspec.Struct, frozen=True):
    """One thing that is wrong with a request body, and where."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong, as RFC 9457 describes it."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    hint: str = ""
    errors: tuple[FieldError, ...] = ()


def problem_type(code: str) -> str:
    """The ``type`` of a code: what stays the same wherever this goes wrong."""
    return f"/problems/{code}"


def describe(error: ReelwayError, instance: str, request: str) -> Problem:
    """The problem that an error of ours is, without internals where the fault is ours."""
    errors = error.errors if isinstance(error, Invalid) else ()
    hidden = error.status == HTTPStatus.INTERNAL_SERVER_ERROR
    return Problem(
        type=problem_type(error.code),
        title=(type(error).__doc__ or HTTPStatus(error.status).phrase).split("\n", 1)[0],
        status=error.status,
        detail=_DETAILS[500] if hidden else error.detail,
        instance=instance,
        code=error.code,
        request_id=request,
        hint=error.hint,
        errors=tuple(FieldError(_fragment(pointer), detail) for pointer, detail in errors),
    )


def describe_status(status: int, instance: str, request: str, detail: str = "") -> Problem:
    """The problem behind a bare status, such as aiohttp's own 404 and 405."""
    phrase = HTTPStatus(status).phrase
    code = "internal" if status == HTTPStatus.INTERNAL_SERVER_ERROR else _CODES.get(status, "")
    code = code or phrase.lower().replace(" ", "_").replace("-", "_")
    return Problem(
        type=problem_type(code),
        title=phrase,
        status=status,
        detail=detail or _DETAILS.get(status, phrase),
        instance=instance,
        code=code,
        request_id=request,
    )


def headers_of(error: ReelwayError) -> dict[str, str]:
    """The headers that RFC 9110 and RFC 6750 ask for beside an error."""
    match error:
        case Unauthorized():
            return {hdrs.WWW_AUTHENTICATE: "Bearer"}
        case TooMany():
            return {hdrs.RETRY_AFTER: _seconds(error.retry_after)}
        case Later():
            return {hdrs.RETRY_AFTER: _seconds(error.delay)}
        case Unavailable() | IdempotencyInProgress():
            return {hdrs.RETRY_AFTER: _seconds(_AGAIN_SECONDS)}
        case BeyondEnd():
            # RFC 9110 section 15.5.17: the size lets the client ask again for what exists.
            return {hdrs.CONTENT_RANGE: f"bytes */{error.size}"}
    return {}


def reply(problem: Problem, headers: Mapping[str, str]) -> web.Response:
    """A problem as a response."""
    return web.Response(
        body=msgspec.json.encode(problem),
        status=problem.status,
        content_type=PROBLEM_JSON,
        headers={hdrs.CACHE_CONTROL: "no-store", **headers},
    )


def problem_reply(request: web.Request, error: ReelwayError) -> web.Response:
    """What :func:`problems` answers to this error."""
    return reply(describe(error, request.path, request_id(request)), headers_of(error))


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure of the handlers below with a problem."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        if refusal.status < HTTPStatus.BAD_REQUEST:
            raise
        problem = describe_status(refusal.status, request.path, request_id(request))
        return _finish(request, reply(problem, _kept(refusal)), refusal)
    except ReelwayError as error:
        return _finish(request, problem_reply(request, error), error)
    except Exception as bug:  # the door must answer whatever a handler did wrong, and say nothing
        if isinstance(bug, ConnectionError) and has_left(request):
            raise
        problem = describe_status(500, request.path, request_id(request))
        return _finish(request, reply(problem, {}), bug)


def has_left(request: web.Request) -> bool:
    """Whether the client's connection is closed already."""
    return request.transport is None or request.transport.is_closing()


def _finish(request: web.Request, response: web.Response, error: Exception) -> web.Response:
    begun = request.writer.output_size > 0
    if begun or response.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        what = "reply broke off" if begun else "request failed"
        _logger.error(what, exc_info=error, extra={"request_id": request_id(request)})
    if begun:
        # RFC 9112 section 8: a reply that cannot be completed ends with its connection.
        if request.transport is not None:
            request.transport.abort()
        raise Truncated("the reply broke off") from error
    leave_unread(request, response)
    return response


def _kept(refusal: web.HTTPException) -> dict[str, str]:
    dropped = (hdrs.CONTENT_TYPE, hdrs.CONTENT_LENGTH)
    return {name: value for name, value in refusal.headers.items() if name not in dropped}


def _fragment(pointer: str) -> str:
    if pointer.startswith("#"):
        return pointer
    return "#" + pointer if pointer.startswith("/") or not pointer else f"#/{pointer}"


def _seconds(delay: float) -> str:
    return str(max(1, math.ceil(delay)))
