"""A real Redis server as our child, on a unix socket in the data folder.

What it has acknowledged survives the end of any process, and the end of the machine but for the
last second. It lives as long as its owner (see :mod:`shared.store.embedded_guard`).
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import unquote

from shared.store import embedded_guard
from shared.store.data_folder import (
    DataFolderInUse,
    StoreNotStarted,
    announce,
    announced,
    data_folder,
    locked,
    server_lock,
    taken,
)
from shared.store.embedded_server import ServerPlan, plan
from shared.telemetry.names import Action

_START_SECONDS = 30.0
_LOADING_SECONDS = 600.0
_ATTACH_SECONDS = 10.0
_POLL_SECONDS = 0.02
_WATCH_SECONDS = 0.25
_RESTART_SECONDS = 2.0
_log = logging.getLogger(__name__)


@asynccontextmanager
async def embedded(data_dir: str | Path) -> AsyncIterator[str]:
    """The ``unix://`` URL of a server that keeps its data in ``data_dir``, while the block is open.

    One process at a time owns a data folder: :class:`DataFolderInUse` names the other one. When
    the server does not start, :class:`StoreNotStarted` says why in its own words. Should it end
    later, it is started again.
    """
    folder = data_folder(data_dir)
    with locked(folder) as lock:
        server = _Server(plan(folder))
        await server.start()
        watch = asyncio.create_task(server.keep(), name="embedded store")
        try:
            announce(lock, server.plan.url)
            yield server.plan.url
        finally:
            announce(lock, "")
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
            await server.stop()


@asynccontextmanager
async def attach_or_start(data_dir: str | Path) -> AsyncIterator[str]:
    """Like :func:`embedded`, but beside a process that owns the folder, use its server."""
    async with AsyncExitStack() as stack:
        yield await _attached_or_started(stack, data_folder(data_dir))


async def _attached_or_started(stack: AsyncExitStack, folder: Path) -> str:
    deadline = time.monotonic() + _ATTACH_SECONDS
    while True:
        try:
            return await stack.enter_async_context(embedded(folder))
        except DataFolderInUse:
            url = announced(folder)
            if url and await _answer(unquote(url.removeprefix("unix://"))) == "PONG":
                return url
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(_POLL_SECONDS)


class _Server:
    """The server and its guard."""

    def __init__(self, server_plan: ServerPlan) -> None:
        self.plan = server_plan
        self._guard: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Return once the server answers."""
        logged = self.plan.log_size()
        with server_lock(self.plan.folder) as lock:
            await self._await_predecessor(lock)
            self._guard = _start_guard(self.plan, lock)
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self.stop)
            await self._await_answer(self._guard, logged)
            undo.pop_all()

    async def stop(self) -> None:
        """Return once the server has written out its log and is gone."""
        guard, self._guard = self._guard, None
        if guard is None or guard.stdin is None:
            return
        guard.stdin.close()
        if not await _ended(guard, embedded_guard.STOP_SECONDS + 2.0):
            guard.kill()
        guard.wait()

    async def keep(self) -> None:
        """Start the server again whenever it has ended."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if self._guard is not None and self._guard.poll() is None:
                continue
            _log.error(
                "the embedded store has ended: starting it again",
                extra={"action": Action.STORE_RESTARTED},
            )
            await self.stop()
            try:
                await self.start()
            except StoreNotStarted as error:
                _log.error("%s", error, extra={"action": Action.STORE_RESTARTED})
                await asyncio.sleep(_RESTART_SECONDS)

    async def _await_predecessor(self, lock: int) -> None:
        """A server left behind must be gone: two on one log would destroy it."""
        deadline = time.monotonic() + _START_SECONDS
        while not taken(lock):
            if time.monotonic() > deadline:
                raise StoreNotStarted(f"an earlier server still uses {self.plan.folder}")
            await asyncio.to_thread(embedded_guard.shutdown, self.plan.socket)
            await asyncio.sleep(_POLL_SECONDS)

    async def _await_answer(self, guard: subprocess.Popen[bytes], logged: int) -> None:
        started = time.monotonic()
        while guard.poll() is None:
            answer = await _answer(self.plan.socket)
            if answer == "PONG":
                return
            patience = _LOADING_SECONDS if answer.startswith("LOADING") else _START_SECONDS
            if time.monotonic() - started > patience:
                raise StoreNotStarted(f"{self.plan.binary} does not answer: {answer or 'silence'}")
            await asyncio.sleep(_POLL_SECONDS)
        raise StoreNotStarted(f"{self.plan.binary} did not start: {self.plan.complaint(logged)}")


def _start_guard(server_plan: ServerPlan, lock: int) -> subprocess.Popen[bytes]:
    """In a session of its own: Ctrl-C is for us, and we end the server when we are done."""
    guard = (sys.executable, "-I", "-S", embedded_guard.__file__, str(lock), server_plan.socket)
    with server_plan.log.open("ab") as log:
        return subprocess.Popen(
            (*guard, *server_plan.command()),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=server_plan.environment(),
            pass_fds=(lock,),
            start_new_session=True,
        )


async def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True


async def _answer(socket_path: str) -> str:
    """What the server on this socket says to ``PING``; ``""`` when there is none."""
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_unix_connection(socket_path)
            try:
                writer.write(b"PING\r\n")
                return (await reader.readline()).decode("utf-8", "replace").strip().lstrip("+-")
            finally:
                writer.close()
                await writer.wait_closed()
    except OSError:
        return ""
