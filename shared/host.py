"""Runs any set of services in one process: opens what they share, and closes it in reverse.

A service is a name, a settings type and an async context manager: up while open, down when left.
Whether one process hosts one service or all of them, it is this code.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

from shared.blobs.opening import check_url, reached
from shared.blobs.roots import Root, roots_of
from shared.bus.connect import connect
from shared.bus.transport import Transport
from shared.clock import Clock, now_ms
from shared.errors import ReelwayError, Unavailable
from shared.health import Health
from shared.http.probes import Probes, probe_app
from shared.http.server import listening
from shared.ids import new_id
from shared.lifetime import Lifetime
from shared.settings import (
    SERVICES,
    HostSettings,
    Settings,
    SettingsError,
    load,
    prefix_of,
    redact,
    split,
)
from shared.store.data_folder import data_folder
from shared.store.embedded import embedded
from shared.store.redis import Store, open_redis
from shared.telemetry.logs import logging_to
from shared.telemetry.metrics import Metrics, new_metrics
from shared.telemetry.names import Action
from shared.telemetry.traces import Tracer, new_tracer

Role = Literal["both", "api", "worker"]
Opened = TypeVar("Opened")

REACH_SECONDS = 30.0
"""How long a process waits for the servers it needs before it gives up."""

_TRY_SECONDS = 5.0
_REST_SECONDS = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Runtime:
    """What the services of one process share. ``stopping`` is set when the process shall end:
    loops take no new work then, and the services are left, the last one first.
    """

    settings: HostSettings
    transport: Transport
    store: Store
    blobs_url: str
    data_dir: Path
    health: Health
    metrics: Metrics
    tracer: Tracer
    instance: str
    stopping: asyncio.Event
    roots: tuple[Root, ...] = ()
    clock: Clock = now_ms
    failures: list[str] = field(default_factory=list)

    @property
    def role(self) -> Role:
        """Whether this process has doors and handlers (``api``), loops and steps (``worker``)."""
        return self.settings.worker_role

    @asynccontextmanager
    async def supervise(self, name: str, loop: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
        """Run a loop beside the block and cancel it at its end. A loop that ends earlier, while
        the process is not stopping, or that fails, ends the process: it is never quietly missing.
        """
        self.metrics.began(task=name)
        task = asyncio.create_task(loop, name=name)
        task.add_done_callback(self._ended)
        try:
            yield
        finally:
            task.remove_done_callback(self._ended)
            while not task.done():  # a library may lose a cancellation
                task.cancel()
                await asyncio.wait((task,), timeout=_REST_SECONDS)

    def _ended(self, task: asyncio.Task[object]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is None and self.stopping.is_set():
            return
        name = task.get_name()
        extra = {"action": Action.TASK_ENDED, "task": name}
        _log.error("%s has ended unexpectedly: stopping", name, exc_info=error, extra=extra)
        self.metrics.task_failures.add(1, {"task": name})
        self.failures.append(name)
        self.stopping.set()


@dataclass(frozen=True)
class Service:
    """A service. ``run(runtime, settings)`` may yield the address under which it is reached."""

    name: str
    settings: type[Settings]
    run: Callable[[Runtime, Any], AbstractAsyncContextManager[str | None]]


@dataclass(frozen=True)
class _Plan:
    """What a process will do, valid in every setting."""

    settings: HostSettings
    services: tuple[tuple[Service, Settings], ...]
    tracer: Tracer
    instance: str
    roots: tuple[Root, ...] = ()


def main(*services: Service) -> NoReturn:
    """Host the services until a signal comes. The process ends with 0, with 1 when it failed, or
    with 2 when a setting is not valid.
    """
    sys.exit(asyncio.run(host(services, os.environ)))


async def host(services: Sequence[Service], environ: MutableMapping[str, str]) -> int:
    """Host the services until a signal comes, and return the exit code. All settings are read
    first, and leave ``environ``: one that is not valid ends it with one line before anything opens.
    """
    try:
        plan = read_plan(services, environ)
    except SettingsError as error:
        sys.stderr.write(f"reelway: {error}\n")
        return 2
    try:
        with logging_to(plan.settings.log_level, plan.settings.log_format):
            return await _run(plan)
    finally:
        plan.tracer.close()


def read_plan(services: Sequence[Service], environ: MutableMapping[str, str]) -> _Plan:
    """What these services and these variables make a process do; raises ``SettingsError``."""
    names = {service.name for service in services}
    given = split(environ, {*SERVICES, *names})
    settings = load(HostSettings, given[""], prefix_of(""))
    if settings.bus_url.startswith("memory:") and not names.issuperset(SERVICES):
        raise SettingsError(
            f"REELWAY_BUS_URL={settings.bus_url!r} reaches this process only: host "
            f"{', '.join(SERVICES)} together, or set amqp://… (here: {', '.join(sorted(names))})"
        )
    check_url(settings.blobs_url)
    loaded = tuple(
        (service, load(service.settings, given[service.name], prefix_of(service.name)))
        for service in sorted(services, key=_place)
    )
    roots, instance = roots_of(settings), _instance()
    return _Plan(settings, loaded, new_tracer(settings.traces, instance=instance), instance, roots)


def _place(service: Service) -> int:
    """The known services in their order; others stay in the order given, before them."""
    return SERVICES.index(service.name) if service.name in SERVICES else -1


def _instance() -> str:
    """The name of this process among all: readable, unique, and fit for keys and queue names."""
    machine = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().lower()).strip("-")[:40]
    return f"{machine or 'host'}-{new_id()[-8:]}"


async def _run(plan: _Plan) -> int:
    lifetime = Lifetime(plan.settings.shutdown_seconds)
    failures: list[str] = []
    with lifetime.watching():
        try:
            async with AsyncExitStack() as stack:
                runtime = await _open(plan, lifetime, stack)
                failures = runtime.failures
                await _enter(plan, runtime, stack)
                await lifetime.until_stopping()
                runtime.health.draining = True
        except ReelwayError as error:
            extra = {"action": Action.START_FAILED}
            _log.error("%s", error, exc_info=lifetime.stopping.is_set(), extra=extra)
            return 1
        except asyncio.CancelledError:
            if not lifetime.signals and not lifetime.was_cut:
                raise
    _log.info("stopped", extra={"action": Action.STOPPED})
    return 1 if failures or lifetime.was_cut else 0


async def _enter(plan: _Plan, runtime: Runtime, stack: AsyncExitStack) -> None:
    for service, settings in plan.services:
        address = await stack.enter_async_context(service.run(runtime, settings))
        where = f" at {address}" if address else ""
        extra = {"action": Action.STARTED, "service": service.name}
        _log.info("%s is up%s", service.name, where, extra=extra)


async def _open(plan: _Plan, lifetime: Lifetime, stack: AsyncExitStack) -> Runtime:
    """What all services need, opened in the order in which it is needed."""
    settings, metrics = plan.settings, new_metrics()
    stack.callback(metrics.close)
    folder = data_folder(settings.data_dir)
    store = await _open_store(settings, folder, metrics, stack)
    transport = await _reached(
        stack, settings.bus_url, lambda: _connected(settings.bus_url, plan.instance)
    )
    blobs_url = settings.blobs_url or (folder / "blobs").as_uri()
    await _reached(stack, blobs_url.split("?")[0], lambda: reached(blobs_url))
    health = Health({"services": lifetime.check, "store": store.ping, "bus": transport.ping})
    runtime = Runtime(
        settings=settings,
        transport=transport,
        store=store,
        blobs_url=blobs_url,
        data_dir=folder,
        health=health,
        metrics=metrics,
        tracer=plan.tracer,
        instance=plan.instance,
        stopping=lifetime.stopping,
        roots=plan.roots,
    )
    if settings.admin_port:
        await _open_admin(runtime, stack)
    return runtime


@asynccontextmanager
async def _connected(url: str, name: str) -> AsyncIterator[Transport]:
    """A transport whose carrier has answered."""
    async with connect(url, name=name) as transport:
        await transport.ping()
        yield transport


async def _open_store(
    settings: HostSettings, folder: Path, metrics: Metrics, stack: AsyncExitStack
) -> Store:
    url = settings.store_url
    if url == "embedded:":
        url = await stack.enter_async_context(embedded(folder))
    return await _reached(stack, url, lambda: open_redis(url, observe=metrics.store_called))


async def _open_admin(runtime: Runtime, stack: AsyncExitStack) -> None:
    """Probes and metrics for processes without a gateway, and for operators."""
    probes = Probes(runtime.health, runtime.metrics.render, product_version(), runtime.role)
    app = probe_app(probes, lambda *_: None)
    host_name, port = runtime.settings.admin_host, runtime.settings.admin_port
    await stack.enter_async_context(listening(app, host_name, port, setting="REELWAY_ADMIN_PORT"))
    extra = {"action": Action.STARTED, "service": "admin"}
    _log.info("probes and metrics are up at http://%s:%d", host_name, port, extra=extra)


async def _reached(
    stack: AsyncExitStack, url: str, opening: Callable[[], AbstractAsyncContextManager[Opened]]
) -> Opened:
    """Open something that may not be there yet, as when everything is started at once."""
    deadline = time.monotonic() + REACH_SECONDS
    while True:
        try:
            async with asyncio.timeout(min(_TRY_SECONDS, REACH_SECONDS)):
                return await stack.enter_async_context(opening())
        except (Unavailable, TimeoutError) as error:
            hint = getattr(error, "hint", "")
            reason = f"{error}; {hint}" if hint else str(error) or "no answer"
        if time.monotonic() >= deadline:
            raise Unavailable(f"{redact(url)} cannot be reached: {reason}")
        extra = {"action": Action.START_WAITING}
        _log.warning("waiting for %s: %s", redact(url), reason, extra=extra)
        await asyncio.sleep(_REST_SECONDS)


def product_version() -> str:
    """The version of Reelway, or ``0`` where it runs without being installed."""
    try:
        return version("reelway")
    except PackageNotFoundError:
        return "0"
