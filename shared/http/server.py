"""One listening socket for one application, and its orderly end.

The site classes of aiohttp are passed over for one reason: a request that cannot be parsed is
answered below every middleware, by the protocol itself, with the bytes it stumbled over and with
versions of software. :class:`_Protocol` answers it with a problem like any other.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from aiohttp import hdrs, web
from aiohttp.web_request import BaseRequest

from shared.errors import ReelwayError
from shared.http.context import (
    SECURITY_HEADERS,
    SERVER_NAME,
    X_REQUEST_ID,
    Observe,
    Truncated,
    dress,
    observing,
)
from shared.http.errors import PROBLEM_JSON, describe_status, problems
from shared.http.sse import STREAMS, Streams
from shared.ids import new_id

KEEPALIVE_SECONDS: Final = 75.0
"""Longer than a proxy in front keeps its connections, yet short: it also bounds the time that a
client may take for its headers."""
SHUTDOWN_SECONDS: Final = 2.5
"""What running requests get to finish. aiohttp spends it twice: first it waits, then it fails what
they still read of their bodies and waits again, and only then it cancels them."""
LINGERING_SECONDS: Final = 2.0
"""How long an unwanted body is still read, so that the client sees the refusal and not a reset."""
BACKLOG: Final = 1024
BODY_BYTES: Final = 128 * 1024
"""A client is told to wait when twice as many of its bytes are not read yet. aiohttp would take
half a megabyte, which many uploads at once have twice each: here, and on the way to the store."""

_logger = logging.getLogger(__name__)


class CannotListen(ReelwayError):
    """The address to listen on cannot be had."""

    default_code = "cannot_listen"


def edge_app(observe: Observe) -> web.Application:
    """An application with what every door has: ids, problems, safe headers, streams that end.

    A door appends its own middlewares; they run inside these.
    """
    app = web.Application(middlewares=[observing(observe), problems])
    app[STREAMS] = Streams()
    app.on_response_prepare.append(dress)
    return app


@asynccontextmanager
async def listening(
    app: web.Application,
    host: str,
    port: int,
    *,
    setting: str = "the port setting",
    reuse_port: bool = False,
    shutdown_seconds: float = SHUTDOWN_SECONDS,
) -> AsyncIterator[int]:
    """Serve the application; yields the port, the real one where 0 was asked for.

    On leaving, no new connection is taken, streams are told to end, running requests get
    twice ``shutdown_seconds``, and then the application is cleaned up. ``setting`` is named in the
    error when the port is taken.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=shutdown_seconds)
    await runner.setup()
    try:
        server = await _bind(runner, host, port, setting=setting, reuse_port=reuse_port)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            if STREAMS in app:
                await app[STREAMS].end()
    finally:
        await runner.cleanup()


async def _bind(
    runner: web.AppRunner, host: str, port: int, *, setting: str, reuse_port: bool
) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    manager = runner.server
    assert manager is not None
    options: dict[str, Any] = {
        "keepalive_timeout": KEEPALIVE_SECONDS,
        "lingering_time": LINGERING_SECONDS,
        "read_bufsize": BODY_BYTES,
        "access_log": None,
        "auto_decompress": False,
    }

    def protocol() -> _Protocol:
        return _Protocol(manager, loop=loop, **options)

    try:
        # None where it is not wanted: some systems do not even know the option.
        return await loop.create_server(
            protocol, host, port, backlog=BACKLOG, reuse_port=reuse_port or None
        )
    except (OSError, OverflowError, socket.gaierror) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CannotListen(
            f"cannot listen on {host} port {port} ({reason.lower()}): change {setting}"
        ) from error


class _Protocol(web.RequestHandler):
    """Answers what no middleware gets to see."""

    __slots__ = ()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - tells what was received
    ) -> web.StreamResponse:
        """A problem without a word of what was received or of who received it."""
        if status >= 500 and not isinstance(exc, Truncated):
            _logger.error("request failed below the application", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the reply broke off")
        name = new_id()
        detail = "The request is not valid HTTP." if status == 400 else ""
        problem = describe_status(status, "/", name, detail)
        headers = {**SECURITY_HEADERS, hdrs.SERVER: SERVER_NAME, X_REQUEST_ID: name}
        response = web.Response(
            body=msgspec.json.encode(problem),
            status=status,
            content_type=PROBLEM_JSON,
            headers=headers,
        )
        response.force_close()
        return response
