"""Which RabbitMQ and which Redis the tests use: decided once a session, never skipped.

In this order: ``TEST_AMQP_URL`` and ``TEST_REDIS_URL`` · what answers on the standard ports of this
machine · containers, where Docker answers · programs on this machine, started privately ·
programs installed with apt-get, as root on Debian and Ubuntu. Else one line says what to install.

``TEST_CONTAINERS=1`` takes containers for the brokers that tests stop and kill as well.

On a server that is not private the tests keep to themselves: RabbitMQ names start with a prefix of
their own, Redis is an empty database other than 0, of which only ``rw:`` keys are removed.
"""

from __future__ import annotations

import asyncio
import atexit
import fcntl
import functools
import os
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import redis

from shared.bus.rabbitmq_topology import DELAYS, Names
from tests.support.processes import (
    RABBIT_HOMES,
    amqp_answers,
    find_program,
    free_port,
    private_rabbitmq,
    private_redis,
    redis_answers,
)

RABBIT_IMAGE = "rabbitmq:4-management"
REDIS_IMAGE = "redis:8"
DATABASES = range(1, 16)

SERVICES = ("jobs", "drive", "catalog")
OWNERS = (*SERVICES, *(f"{service}.queries" for service in SERVICES), "media")
"""Whose queues a whole system has: services, their queries, and the pools of workers."""

_MARK = "rw:tests"
_MARK_SECONDS = 24 * 3600
_session = ExitStack()
atexit.register(_session.close)


class Broker(Protocol):
    """A RabbitMQ of our own, which may be stopped and killed."""

    url: str

    def start(self) -> None:
        """Start it with the data it had."""

    def stop(self) -> None:
        """Stop it in good order."""

    def kill(self) -> None:
        """``kill -9``."""

    def freeze(self) -> None:
        """Let it answer nothing, with connections open."""

    def thaw(self) -> None:
        """Go on after a freeze."""

    def restart(self) -> None:
        """Stop and start."""


@functools.cache
def amqp_url() -> str:
    """The URL of this session's RabbitMQ."""
    if url := os.environ.get("TEST_AMQP_URL"):
        return url
    local = "amqp://guest:guest@127.0.0.1:5672/"
    if amqp_answers("127.0.0.1", 5672) and _can_log_in(local):
        return local
    broker = _container_broker() if _docker_has(RABBIT_IMAGE) else own_broker()
    return _session.enter_context(broker).url


@functools.cache
def redis_url() -> str:
    """The URL of an empty database of this session's Redis, other than 0."""
    return _session.enter_context(redis_database())


@contextmanager
def redis_database() -> Iterator[str]:
    """The URL of an empty database that nobody else has; what is left in it is removed."""
    server = _redis_server()
    parts = urlsplit(server)
    for database in DATABASES:
        url = urlunsplit(parts._replace(path=f"/{database}"))
        with redis.Redis.from_url(url) as client:
            # The mark keeps another session away; a database with anything else is not ours.
            if not client.set(_MARK, os.getpid(), nx=True, ex=_MARK_SECONDS):
                continue
            if client.dbsize() != 1:
                client.delete(_MARK)
                continue
            try:
                yield url
                return
            finally:
                for key in client.scan_iter("rw:*"):
                    client.delete(key)
    raise RuntimeError(f"{server} has no empty database other than 0")


@functools.cache
def _redis_server() -> str:
    if url := os.environ.get("TEST_REDIS_URL"):
        return url
    if redis_answers("127.0.0.1", 6379):
        return "redis://127.0.0.1:6379"
    if _docker_has(REDIS_IMAGE):
        container = _container(REDIS_IMAGE, 6379)
        _session.callback(container.stop)
        port = int(container.get_exposed_port(6379))
        _until(lambda: redis_answers("127.0.0.1", port))
        return f"redis://127.0.0.1:{port}"
    private = _session.enter_context(private_redis(_program("redis-server")))
    return urlunsplit(urlsplit(private)._replace(path=""))


@contextmanager
def own_broker() -> Iterator[Broker]:
    """A RabbitMQ that belongs to whoever enters the block."""
    program = find_program("rabbitmq-server", RABBIT_HOMES)
    if (program is None or os.environ.get("TEST_CONTAINERS")) and _docker_has(RABBIT_IMAGE):
        with _container_broker() as broker:
            yield broker
        return
    with private_rabbitmq(program or _program("rabbitmq-server", RABBIT_HOMES)) as node:
        yield node


@contextmanager
def _container_broker() -> Iterator[Broker]:
    broker = ContainerBroker()
    try:
        broker.begin()
        yield broker
    finally:
        broker.close()


def remove_queues(url: str, prefix: str) -> None:
    """Delete everything on a RabbitMQ whose name starts with a prefix of ours (not in a loop)."""
    asyncio.run(forget(url, prefix, OWNERS))


async def forget(url: str, prefix: str, owners: Iterable[str]) -> None:
    """Delete the exchanges of a prefix, and the queues of these services and pools."""
    names = Names(prefix)
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        for owner in owners:
            owned = [names.durable(owner), names.dead(owner), names.ring(owner)]
            for name in owned + [names.delay(owner, step) for step in DELAYS]:
                await channel.queue_delete(name)
        for exchange in ("cmd", "evt", "ctl", "dlx"):
            await channel.exchange_delete(names.exchange(exchange))


class ContainerBroker:
    """A RabbitMQ in a container with a fixed port."""

    def __init__(self) -> None:
        self._port = free_port()
        self._container: Any = None
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}/"

    def begin(self) -> None:
        """Create the container."""
        self._container = _container(RABBIT_IMAGE, 5672, self._port)
        self._wait()

    def start(self) -> None:
        """Start it with the data it had."""
        self._container.get_wrapped_container().start()
        self._wait()

    def stop(self) -> None:
        """Stop it in good order."""
        self._container.get_wrapped_container().stop()

    def kill(self) -> None:
        """``kill -9``."""
        self._container.get_wrapped_container().kill("SIGKILL")

    def freeze(self) -> None:
        """Let it answer nothing."""
        self._container.get_wrapped_container().pause()

    def thaw(self) -> None:
        """Go on."""
        self._container.get_wrapped_container().unpause()

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Remove it."""
        if self._container is not None:
            self._container.stop()

    def _wait(self) -> None:
        _until(lambda: amqp_answers("127.0.0.1", self._port))


@functools.cache
def _docker_has(image: str) -> bool:
    """Whether Docker answers here and has the image, or can fetch it."""
    if find_program("docker") is None:
        return False
    return any(
        _succeeds(["docker", *words], seconds)
        for words, seconds in ((("image", "inspect", image), 10), (("pull", "-q", image), 180))
    )


def _succeeds(command: list[str], seconds: float) -> bool:
    try:
        answer = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return False
    return answer.returncode == 0


def _container(image: str, port: int, at: int | None = None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations of its own modules
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.container import DockerContainer

        # Its reaper is one image more to fetch; what is started here is stopped at exit.
        testcontainers_config.ryuk_disabled = True
        container = DockerContainer(image)
        bound = container.with_exposed_ports(port) if at is None else container
        if at is not None:
            bound = container.with_bind_ports(port, at)
        return bound.start()


def _until(is_ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 90
    while not is_ready():
        if time.monotonic() > end:
            raise RuntimeError("the server's container does not answer")
        time.sleep(0.2)


def _program(name: str, homes: tuple[str, ...] = ()) -> str:
    program = find_program(name, homes) or _installed(name, homes)
    if program is None:
        raise RuntimeError(
            f"the tests need {name}: install it, start Docker, or set TEST_AMQP_URL, TEST_REDIS_URL"
        )
    return program


def _installed(name: str, homes: tuple[str, ...]) -> str | None:
    """Install Debian's package of the same name; its service is not to be started. One process of
    the tests at a time.
    """
    with (Path(tempfile.gettempdir()) / "reelway-tests-install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return find_program(name, homes) or _install(name, homes)


def _install(name: str, homes: tuple[str, ...]) -> str | None:
    apt_get = find_program("apt-get")
    if apt_get is None or os.getuid() != 0 or not Path("/etc/debian_version").exists():
        return None
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    install = [apt_get, "install", "-y", "--no-install-recommends", name]
    for command in (install, [apt_get, "update"], install):
        subprocess.run(command, env=environment, capture_output=True, check=False)
        if program := find_program(name, homes):
            return program
    return None


def _can_log_in(url: str) -> bool:
    async def log_in() -> bool:
        try:
            connection = await aio_pika.connect(url, timeout=5)
        except (*aio_pika.exceptions.CONNECTION_EXCEPTIONS, TimeoutError):
            return False
        await connection.close()
        return True

    with ThreadPoolExecutor(1) as thread:  # a loop of its own, whatever runs here
        return thread.submit(asyncio.run, log_in()).result()
