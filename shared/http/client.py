"""Asking other servers: deadlines on everything, and retries only of what may be asked twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from aiohttp import hdrs
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from shared.errors import TooLarge, Unavailable

ATTEMPTS: Final = 4
BODY_LIMIT: Final = 8 << 20
TIMEOUT: Final = aiohttp.ClientTimeout(total=60, connect=10, sock_connect=5, sock_read=20)
_PASSING = frozenset({429, 502, 503, 504})


class Passing(Unavailable):
    """The other server cannot answer at the moment."""


@asynccontextmanager
async def open_session(
    *, timeout: aiohttp.ClientTimeout = TIMEOUT, headers: Mapping[str, str] | None = None
) -> AsyncIterator[aiohttp.ClientSession]:
    """A session that keeps no cookies and believes no proxy settings from the environment."""
    async with aiohttp.ClientSession(
        timeout=timeout,
        headers={hdrs.USER_AGENT: "reelway", **(headers or {})},
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    ) as session:
        yield session


async def fetch(
    session: aiohttp.ClientSession,
    url: str,
    *,
    limit: int = BODY_LIMIT,
    attempts: int = ATTEMPTS,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> tuple[int, bytes]:
    """GET with retries (RFC 9110 section 9.2.2: it is idempotent): the status and the body.

    A refusal of the other server, 4xx but 429, is an answer and is not retried. When all attempts
    fail, :class:`shared.errors.Unavailable` says so.
    """
    retrying = AsyncRetrying(
        stop=stop_after_attempt(attempts),
        wait=wait_exponential(multiplier=0.2, max=5) + wait_random(0, 0.2),
        retry=retry_if_exception_type(Passing),
        sleep=sleep,
        reraise=True,
    )
    return await retrying(_once, session, url, limit)


async def _once(session: aiohttp.ClientSession, url: str, limit: int) -> tuple[int, bytes]:
    try:
        async with session.get(url, allow_redirects=False) as response:
            if response.status in _PASSING:
                raise Passing(f"the other server says {response.status}")
            return response.status, await _body(response, limit)
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
        raise Passing(f"the other server does not answer: {type(error).__name__}") from error


async def _body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"the other server sends more than {limit} bytes")
    return bytes(body)
