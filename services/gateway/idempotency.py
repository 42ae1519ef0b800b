"""``Idempotency-Key``: one key, one effect, one answer (draft-ietf-httpapi-idempotency-key-header).

Every POST of a tenant takes the header. Operators' routes do not: they belong to no tenant, and the
answer that makes an API key holds a secret, which must not lie in the store for a day.

An answer is kept when it is the operation's verdict: success, or a refusal for what was found (404,
409, 410, 412, 422). Whoever was told that it cannot be done must not have it done by a late copy of
the same request. Nothing is kept of a request that was refused for its form, its size, its speed or
its sender (400, 401, 403, 408, 413, 415, 429): nothing was begun, and mended it may come again with
its key. A 5xx is no verdict either; its repetition goes on where the first one stopped.
"""

from __future__ import annotations

import dataclasses
import logging
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import hdrs, web

from services.gateway.auth import ADMIN, tenant_of
from services.gateway.door import DOOR, Door
from services.gateway.fingerprint import HEADER, fingerprint, given_key
from services.gateway.schemas import IdempotencyKey
from shared.errors import (
    IdempotencyInProgress,
    IdempotencyMismatch,
    Invalid,
    ReelwayError,
)
from shared.http.context import Handler, leave_unread
from shared.http.errors import problem_reply
from shared.http.routes import Route, route_of
from shared.ids import new_id
from shared.store.idempotency import Claim, Finished
from shared.store.keys import idempotency_key
from shared.telemetry.names import Action

REPLAYED: Final = "Idempotency-Replayed"
VERDICTS: Final = frozenset({404, 409, 410, 412, 422})
"""Refusals that are as final as a success."""

_SHOWN = (hdrs.CONTENT_TYPE, hdrs.LOCATION, hdrs.CACHE_CONTROL)
_log = logging.getLogger(__name__)


class Unkeyed:
    """A request without a key: what it makes has fresh ids; nobody will repeat it."""

    receipt = b""

    def id(self, _name: str) -> str:
        """A fresh id."""
        return new_id()

    async def keep(self, receipt: bytes) -> None:
        """Nobody would ask for it."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as it lies in the store."""

    status: int
    headers: dict[str, str]
    body: bytes


CLAIM: Final = web.RequestKey("claim", Claim)


SECRETS: Final = frozenset({"create_share"})
"""Operations whose answer holds a secret, which must not lie in the store for a day."""


def repeatable(route: Route) -> Route:
    """The route, with the header and its errors if it is a POST of a tenant's."""
    is_open = route.scope in {None, ADMIN} or route.operation in SECRETS
    if route.method != "POST" or is_open:
        return route
    return dataclasses.replace(
        route,
        headers={**route.headers, HEADER: IdempotencyKey},
        errors=(*route.errors, Invalid, IdempotencyInProgress, IdempotencyMismatch),
    )


def attempt_of(request: web.Request) -> Claim | Unkeyed:
    """Where a handler gets ids from and leaves receipts, whether or not there is a key."""
    return request.get(CLAIM) or Unkeyed()


@web.middleware
async def once_for_each_key(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The middleware behind authentication: carry a request out once, repeat its answer after."""
    route = route_of(request)
    if route is None or HEADER not in route.headers or HEADER not in request.headers:
        return await handler(request)
    found = await _begin(request, route)
    if isinstance(found, Finished):
        return _replay(request, found)
    request[CLAIM] = found
    return await _carry_out(request, handler, found)


async def _begin(request: web.Request, route: Route) -> Claim | Finished:
    door = request.app[DOOR]
    key = idempotency_key(tenant_of(request), given_key(request))
    try:
        found = await door.idempotency.begin(key, await fingerprint(request, route))
    except IdempotencyInProgress:
        _count(door, "in_progress")
        raise
    except IdempotencyMismatch:
        _count(door, "mismatch")
        raise
    if isinstance(found, Finished):
        _count(door, "replayed")
    else:
        _count(door, "first" if found.is_first else "resumed")
    return found


def _count(door: Door, outcome: str) -> None:
    door.metrics.idempotent_requests.add(1, {"outcome": outcome})


def _replay(request: web.Request, found: Finished) -> web.Response:
    """The answer as it was; a body that was sent again stays unread."""
    kept = msgspec.json.decode(found.answer, type=Kept)
    headers = {**kept.headers, REPLAYED: "true"}
    response = web.Response(status=kept.status, headers=headers, body=kept.body or None)
    leave_unread(request, response)
    return response


async def _carry_out(request: web.Request, handler: Handler, claim: Claim) -> web.StreamResponse:
    try:
        async with claim.held():
            response = await handler(request)
    except ReelwayError as error:
        await _settle(claim, problem_reply(request, error))
        raise
    except BaseException:
        await _let_go(claim)
        raise
    await _settle(claim, response)
    if isinstance(response, web.Response):
        leave_unread(request, response)
    return response


async def _settle(claim: Claim, response: web.StreamResponse) -> None:
    """Keep the answer, or nothing. Whoever is being answered is told the truth even when that
    cannot be written down: without it, the lease runs out and a repetition goes on.
    """
    try:
        if (kept := _kept(response)) is not None:
            await claim.finish(msgspec.json.encode(kept))
        elif HTTPStatus.BAD_REQUEST <= response.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            await claim.forget()
        else:
            await claim.release()
    except ReelwayError as error:
        extra = {"action": Action.ANSWER_NOT_KEPT}
        _log.warning("the answer could not be kept for its key: %s", error, extra=extra)


async def _let_go(claim: Claim) -> None:
    """What broke off may be gone on with at once; if the store is away, when the lease ends."""
    try:
        await claim.release()
    except ReelwayError:
        return


def _kept(response: web.StreamResponse) -> Kept | None:
    if not isinstance(response, web.Response) or not isinstance(response.body, bytes | None):
        return None
    if not (response.status < HTTPStatus.MULTIPLE_CHOICES or response.status in VERDICTS):
        return None
    headers = {str(name): response.headers[name] for name in _SHOWN if name in response.headers}
    return Kept(status=response.status, headers=headers, body=response.body or b"")
