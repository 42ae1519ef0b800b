"""Two clients of one Redis: one for commands, one for reads that wait.

Commands are never repeated by the library: a script whose reply got lost may have run, so the
outcome of a command that fails on its way is *unknown*, and says so as :class:`Unavailable`.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import redis.asyncio as aioredis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.errors import ReelwayError, Unavailable
from shared.settings import redact
from shared.store.together import Call, Together
from shared.telemetry.names import Action

OLDEST = (6, 2)
"""The oldest server that has every command in use (and 7, 8 and Valkey are as good)."""

Observe = Callable[[str, float, bool], None]
"""Told after every command or script: its name, the seconds it took, whether it was answered."""

_log = logging.getLogger(__name__)
_POOL = 64
_WAIT_FOR_CONNECTION = 1.0
_ANSWER_SECONDS = 3.0
_HEALTH_SECONDS = 15
# What a server answers while it can do nothing for us, though nothing is wrong with the command:
# as the library's classes, and as the words for which it has none.
_UNABLE = (OutOfMemoryError, ReadOnlyError, ClusterDownError, TryAgainError)
_UNABLE_WORDS = ("BUSY ", "MISCONF ", "NOREPLICAS ")
# Before Redis 7 a script's text stands before the reason; nothing of it was done by then.
_UNABLE_IN_SCRIPT = re.compile(
    r"(?:ERR )?Error running script .*: -(?:MISCONF|NOREPLICAS|OOM|READONLY) ", re.DOTALL
)


class StoreUnavailable(Unavailable):
    """The store cannot be reached; whether the last command took effect is unknown."""

    default_code = "store_unavailable"


class StoreUnfit(ReelwayError):
    """The Redis server cannot be our store."""

    default_code = "store_unfit"


@contextmanager
def store_errors() -> Iterator[None]:
    """Raise :class:`StoreUnavailable` for whatever says that the server is away or not able."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, ConnectionError) as error:
        raise StoreUnavailable(f"the store does not answer: {_words(error)}") from error
    except ResponseError as error:
        if isinstance(error, _UNABLE) or _is_unable(str(error)):
            raise StoreUnavailable(f"the store cannot serve: {_words(error)}") from error
        raise


def _is_unable(text: str) -> bool:
    return text.startswith(_UNABLE_WORDS) or _UNABLE_IN_SCRIPT.match(text) is not None


@contextmanager
def _cancellable() -> Iterator[None]:
    """See to it that a cancellation is not lost. The library sends under ``asyncio.wait_for``,
    which before Python 3.12 forgets one that comes just when the bytes are out.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError


class _Pipeline(Pipeline):
    """A pipeline whose failures read like those of single commands."""

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        with store_errors(), _cancellable():
            return await super().execute(raise_on_error)


class _Client(aioredis.Redis):
    """A client whose connection failures are ours, so that no caller needs to know redis."""

    observe: Observe | None = None

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        started, answered = time.monotonic(), False
        try:
            with store_errors(), _cancellable():
                reply = await self.send(args, options)
            answered = True
        finally:
            if self.observe is not None and not str(args[0]).startswith("EVAL"):
                self.observe(str(args[0]).lower(), time.monotonic() - started, answered)
        return reply

    async def send(self, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
        """One command and its answer."""
        send: Callable[..., Awaitable[Any]] = super().execute_command
        return await send(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _SharingClient(_Client):
    """A client whose commands travel together. None of them may wait in the server."""

    together: Together

    async def send(self, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
        return await self.together.call(args, options)

    async def send_lot(self, lot: Sequence[Call]) -> Sequence[Any]:
        """Commands in one write; answers in their order."""
        pipeline = self.pipeline(transaction=False)
        for call in lot:
            pipeline.execute_command(*call.args, **call.options)
        return await pipeline.execute(raise_on_error=False)


ClientT = TypeVar("ClientT", bound=_Client)


@dataclass(frozen=True)
class Store:
    """An open store.

    ``commands`` answers or fails within seconds. ``blocking`` is for reads that wait (``XREAD
    BLOCK``): it has connections of its own and waits as long as the server does. Both raise
    :class:`StoreUnavailable` when the server is away. Replies are bytes.
    """

    url: str
    commands: aioredis.Redis
    blocking: aioredis.Redis
    observe: Observe | None = None

    async def ping(self) -> None:
        """Raise :class:`StoreUnavailable` when the server does not answer now."""
        await self.commands.ping()

    def __repr__(self) -> str:
        return f"Store({redact(self.url)!r})"


@asynccontextmanager
async def open_redis(url: str, *, observe: Observe | None = None) -> AsyncIterator[Store]:
    """The store at a ``redis://``, ``rediss://`` or ``unix://`` URL, for as long as the block is
    open. (``embedded:`` is turned into such a URL by :mod:`shared.store.embedded`.)

    Raises :class:`StoreUnavailable` when it cannot be reached, :class:`StoreUnfit` when it is too
    old or the URL is none; logs a warning when it may forget what it has acknowledged.
    """
    commands = _client(_SharingClient, url, socket_timeout=_ANSWER_SECONDS)
    commands.together = Together(commands.send_lot)
    blocking = _client(_Client, url, socket_timeout=None)
    commands.observe = observe
    try:
        await _check_version(commands, url)
        await _check_durability(commands, url)
        yield Store(url, commands, blocking, observe)
    finally:
        await commands.together.landed()
        await blocking.aclose()
        await commands.aclose()


def _client(kind: type[ClientT], url: str, *, socket_timeout: float | None) -> ClientT:
    try:
        parsed = parse_url(url)
    except ValueError as error:
        raise StoreUnfit(f"{redact(url)!r} is no store URL: {error}") from error
    options: dict[str, Any] = {"socket_timeout": socket_timeout, **parsed}
    if "path" not in parsed:
        options.update(_keepalive())
    pool = aioredis.BlockingConnectionPool(
        max_connections=_POOL,
        timeout=_WAIT_FOR_CONNECTION,
        retry=Retry(NoBackoff(), 0),  # a repeated script would run twice
        socket_connect_timeout=_ANSWER_SECONDS,
        health_check_interval=_HEALTH_SECONDS,
        decode_responses=False,
        protocol=2,  # scripts answer in these shapes whatever the connection speaks
        **options,
    )
    client = kind(connection_pool=pool)
    client.auto_close_connection_pool = True
    return client


def _keepalive() -> dict[str, Any]:
    """A peer that vanished without a word is noticed within half a minute, also while waiting."""
    wanted = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    options = {getattr(socket, name): value for name, value in wanted if hasattr(socket, name)}
    return {"socket_keepalive": True, "socket_keepalive_options": options}


async def _check_version(client: aioredis.Redis, url: str) -> None:
    info = await client.info("server")
    text = str(info.get("redis_version", "0"))
    version = tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
    if version < OLDEST:
        needed = ".".join(map(str, OLDEST))
        raise StoreUnfit(f"{redact(url)} is Redis {text}; Reelway needs {needed} or newer")


async def _check_durability(client: aioredis.Redis, url: str) -> None:
    """Say what this server may do to our records. Managed servers hide their configuration, but
    ``INFO`` tells both facts everywhere.
    """
    memory, persistence = await client.info("memory"), await client.info("persistence")
    extra = {"action": Action.STORE_NOT_DURABLE}
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        _log.warning(
            "%s evicts records (maxmemory-policy %s): set noeviction",
            redact(url),
            policy,
            extra=extra,
        )
    if not persistence.get("aof_enabled"):
        _log.warning(
            "%s loses acknowledged work when it stops: set appendonly yes", redact(url), extra=extra
        )


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
