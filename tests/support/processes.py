"""Private servers as child processes: loopback only, free ports, everything in a temporary folder.

Only what was started here is ever stopped here.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

RABBIT_HOMES = (
    "/usr/lib/rabbitmq/bin",
    "/usr/lib/rabbitmq/lib/*/sbin",
    "/opt/rabbitmq/sbin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
)
ERLANG_HOMES = ("/usr/bin", "/usr/local/bin", "/usr/lib/erlang/bin", "/usr/lib/erlang/erts-*/bin")
START_SECONDS = 90.0
STOP_SECONDS = 30.0

_PORTS = range(12_000, 32_000)
"""Below those of outgoing connections (Linux: from 32768, macOS: from 49152), one of which could
else take a server's port between its end and its next start."""
_given: set[int] = set()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on at the moment, and that this process
    was not given before: a server takes several, and binds them later.
    """
    while True:
        port = random.SystemRandom().choice(_PORTS)  # other processes must not draw the same
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def _temporary_folder(prefix: str) -> Iterator[str]:
    # No TemporaryDirectory: when Python ends, that removes itself under the running server.
    folder = tempfile.mkdtemp(prefix=prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def find_program(name: str, homes: tuple[str, ...] = ()) -> str | None:
    """The program in one of the homes (which may be patterns) or on the path."""
    for home in homes:
        for folder in sorted(Path("/").glob(home.lstrip("/"))):
            if os.access(folder / name, os.X_OK):
                return str(folder / name)
    return shutil.which(name)


def amqp_answers(host: str, port: int) -> bool:
    """Whether somebody speaks AMQP 0-9-1 there."""
    try:
        with socket.create_connection((host, port), timeout=2) as connection:
            connection.settimeout(5)
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"
    except OSError:
        return False


def redis_answers(host: str, port: int) -> bool:
    """Whether a Redis that asks for no password is there."""
    try:
        with socket.create_connection((host, port), timeout=2) as connection:
            connection.settimeout(2)
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"
    except OSError:
        return False


class Process:
    """A server process in a group of its own."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=environment,
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def until(self, is_ready: Callable[[], bool]) -> None:
        """Wait until the server answers; its log is in the error when it does not."""
        end = time.monotonic() + START_SECONDS
        while not is_ready():
            if self._process.poll() is not None or time.monotonic() > end:
                self.end(signal.SIGKILL)
                tail = self._log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self._process.args!r} did not start:\n{tail}")
            time.sleep(0.1)

    def tell(self, number: int) -> None:
        """Send a signal to the whole group, such as SIGSTOP and SIGCONT."""
        os.killpg(self._process.pid, number)

    def end(self, number: int = signal.SIGTERM) -> None:
        """Stop the whole group and wait for its leader."""
        for attempt in (number, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, attempt)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            return


class RabbitProcess:
    """A private RabbitMQ node, with its own port mapper, cookie and data."""

    def __init__(self, program: str, folder: Path) -> None:
        self.port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        self._program = program
        self._folder = folder
        self._environment = self._prepare()
        self._mapper = self._start_mapper()
        self._node: Process | None = None

    def start(self) -> None:
        """Start the node with whatever data it has, and wait until it answers."""
        self._node = Process([self._program], self._environment, self._folder / "rabbit.log")
        self._node.until(lambda: amqp_answers("127.0.0.1", self.port))

    def stop(self) -> None:
        """Stop it in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """``kill -9``."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it answer nothing any more, with all connections open."""
        if self._node is not None:
            self._node.tell(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after :meth:`freeze`."""
        if self._node is not None:
            self._node.tell(signal.SIGCONT)

    def restart(self) -> None:
        """Stop and start again."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop it and its port mapper."""
        self.kill()
        self._mapper.end()

    def _end(self, number: int) -> None:
        node, self._node = self._node, None
        if node is not None:
            node.end(number)

    def _start_mapper(self) -> Process:
        program = find_program("epmd", ERLANG_HOMES)
        if program is None:
            raise RuntimeError("epmd, a part of Erlang, was not found beside rabbitmq-server")
        port = self._environment["ERL_EPMD_PORT"]
        command = [program, "-port", port, "-address", "127.0.0.1"]
        return Process(command, self._environment, self._folder / "epmd.log")

    def _prepare(self) -> dict[str, str]:
        folder, distribution = self._folder, free_port()
        (folder / "plugins").write_text("[].\n")
        (folder / "rabbit.conf").write_text(
            f"listeners.tcp.local = 127.0.0.1:{self.port}\n"
            "disk_free_limit.absolute = 20MB\n"
            "vm_memory_high_watermark.relative = 0.5\n"
            "log.file.level = warning\n"
        )
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbit.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_NODENAME": f"rw{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none"
            ),
        }


@contextmanager
def private_rabbitmq(program: str) -> Iterator[RabbitProcess]:
    """A running private node, gone with the block."""
    with _temporary_folder("rw-rabbit-") as folder:
        node = RabbitProcess(program, Path(folder))
        try:
            node.start()
            yield node
        finally:
            node.close()


class RedisProcess:
    """A private Redis. With ``appendonly`` it keeps every write it has acknowledged in order, in
    one file that is never rewritten, and starts again with it.
    """

    def __init__(self, program: str, folder: Path, *, appendonly: bool = False) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/1"
        self.folder = folder
        self._server: Process | None = None
        settings = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(folder), "save": ""}
        if appendonly:
            settings |= {"appendonly": "yes", "appendfsync": "everysec"}
            settings |= {"auto-aof-rewrite-percentage": "0"}
        self._command = [program]
        for key, value in settings.items():
            self._command += [f"--{key}", value]

    def start(self) -> None:
        """Start it with whatever data it has, and wait until it answers."""
        self._server = Process(self._command, dict(os.environ), self.folder / "redis.log")
        self._server.until(lambda: redis_answers("127.0.0.1", self.port))

    def kill(self) -> None:
        """``kill -9``."""
        server, self._server = self._server, None
        if server is not None:
            server.end(signal.SIGKILL)


@contextmanager
def own_redis(program: str, *, appendonly: bool = False) -> Iterator[RedisProcess]:
    """A running private Redis that may be killed and started, gone with the block."""
    with _temporary_folder("rw-redis-") as folder:
        server = RedisProcess(program, Path(folder), appendonly=appendonly)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def private_redis(program: str) -> Iterator[str]:
    """The URL of a running private Redis, gone with the block."""
    with own_redis(program) as server:
        yield server.url
