"""A whole Reelway in processes of its own: all in one, or the four services apart."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

ROOT = Path(__file__).parents[2]
APART = ("catalog", "drive", "jobs", "gateway")
START_SECONDS = 60
_UP = re.compile(r"(\w+) is up(?: at (http://\S+))?")

# Recovery within seconds instead of a quarter of a minute; everything else as shipped.
QUICK = {"REELWAY_LEASE_SECONDS": "3", "REELWAY_RETRY_SECONDS": "0.2"}
# Where nobody is killed: an attempt lives through a machine that stalls.
PATIENT = {"REELWAY_LEASE_SECONDS": "30"}
ADMIN_KEY = "the-admin-key-of-the-tests"
_ALWAYS = {**QUICK, "REELWAY_GATEWAY_ADMIN_KEY": ADMIN_KEY}


class Member:
    """One process of a stack; ``module`` is what it runs."""

    def __init__(
        self, services: Sequence[str], environment: dict[str, str], module: str = "services"
    ) -> None:
        self.services = tuple(services)
        self.environment = environment
        self.program: tuple[str, ...] = ("-m", module)
        self.log: list[str] = []
        self._first = 0
        self.url = ""
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._process
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until every service of its is up."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, *self.program, *self.services],
            env=_environment(self.environment),
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._first = len(self.log)
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    def wait(self) -> None:
        """Wait until every service of its is up."""
        assert self._process
        end = time.monotonic() + START_SECONDS
        wanted = set(self.services or APART)
        while not wanted <= self._up(self._first):
            if self._process.poll() is not None or time.monotonic() > end:
                said = "".join(self.log[self._first :])
                raise RuntimeError(f"{self.services} did not start:\n{said}")
            time.sleep(0.02)

    def kill(self) -> None:
        """``kill -9``."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; answers the exit code."""
        assert self._process
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr
        with process.stderr:
            self.log.extend(process.stderr)

    def _up(self, first: int) -> set[str]:
        found = [match for line in self.log[first:] if (match := _UP.search(line))]
        self.url = next((match[2] for match in found if match[2]), self.url)
        return {match[1] for match in found}


class Stack:
    """Members that together are a Reelway, and the keys of its first tenant."""

    def __init__(self, members: dict[str, Member], store_url: str, blobs: Path) -> None:
        self.members = members
        self.store_url = store_url
        self.blobs = blobs
        self.key = ""

    @property
    def url(self) -> str:
        """Where the door is."""
        return self.urls[0]

    @property
    def urls(self) -> list[str]:
        """Where all doors are."""
        return [member.url for member in self.members.values() if member.url]

    def member(self, service: str) -> Member:
        """The process that hosts a service."""
        return self.members.get(service) or self.members["all"]

    def command(self, *words: str) -> str:
        """Run ``reelway …`` beside the stack; answers what it says."""
        environment = _environment(next(iter(self.members.values())).environment)
        done = subprocess.run(
            [sys.executable, "-m", "services", *words],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return done.stdout.strip()

    def new_tenant(self, name: str, *, tier: str = "free") -> str:
        """Make a tenant and answer a key of its."""
        self.command("tenant", "create", name, "--tier", tier)
        return self.command("key", "create", name)

    def store(self) -> redis.Redis:
        """A client of the stack's store, to look inside."""
        return redis.Redis.from_url(self.store_url)

    def stored_files(self) -> list[Path]:
        """Every file in the blob store."""
        # Not rglob, which fails when a folder goes while it looks.
        return [Path(home, name) for home, _, names in os.walk(self.blobs) for name in names]

    def complaints(self) -> list[str]:
        """Log lines that say that something is wrong with Reelway itself."""
        lines = [line for member in self.members.values() for line in member.log]
        return [line for line in lines if re.match(r"\S+ error ", line)]


@contextmanager
def embedded(folder: Path, **settings: str) -> Iterator[Stack]:
    """All four services in one process, on the embedded default."""
    data = folder / "data"
    environment = {
        **_ALWAYS,
        "REELWAY_DATA_DIR": str(data),
        "REELWAY_GATEWAY_PORT": "0",
        **settings,
    }
    member = Member((), environment)
    stack = Stack({"all": member}, f"unix://{data}/redis.sock", data / "blobs")
    with _running(stack):
        stack.key = (data / "default.key").read_text().strip()
        yield stack


@contextmanager
def apart(folder: Path, amqp: str, store: str, **settings: str) -> Iterator[Stack]:
    """The four services in four processes, over RabbitMQ and Redis."""
    blobs = folder / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    common = {
        **_ALWAYS,
        "REELWAY_BUS_URL": amqp,
        "REELWAY_STORE_URL": store,
        "REELWAY_BLOBS_URL": f"file://{blobs}",
        **settings,
    }
    members = {name: Member((name,), _member_settings(name, common, folder)) for name in APART}
    stack = Stack(members, store, blobs)
    with _running(stack):
        stack.key = stack.new_tenant("default")
        yield stack


@contextmanager
def many_doors(
    folder: Path, amqp: str, store: str, doors: int = 3, settings: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """Several gateways, and a jobs service whose steps do nothing, over RabbitMQ and Redis."""
    common = {
        **QUICK,
        "REELWAY_BUS_URL": amqp,
        "REELWAY_STORE_URL": store,
        "REELWAY_BLOBS_URL": f"file://{folder}",
        **(settings or {}),
    }
    jobs = _member_settings("jobs", common, folder)
    members = {"jobs": Member(("jobs",), jobs, "tests.support.quick_jobs")}
    for number in range(doors):
        own = _member_settings("gateway", common, folder / str(number))
        members[f"gateway {number}"] = Member(("gateway",), own)
    stack = Stack(members, store, folder)
    with _running(stack):
        yield stack


def _member_settings(name: str, common: dict[str, str], folder: Path) -> dict[str, str]:
    own = {"REELWAY_DATA_DIR": str(folder / name)}
    if name == "gateway":
        own["REELWAY_GATEWAY_PORT"] = "0"
    prefixes = tuple(f"REELWAY_{other.upper()}_" for other in APART if other != name)
    return {key: text for key, text in common.items() if not key.startswith(prefixes)} | own


@contextmanager
def _running(stack: Stack) -> Iterator[None]:
    try:
        for member in stack.members.values():
            member.launch()
        for member in stack.members.values():
            member.wait()
        yield
        for member in reversed(stack.members.values()):
            assert member.stop() == 0, "".join(member.log[-20:])
    finally:
        for member in stack.members.values():
            with suppress(AssertionError):
                member.kill()


def _environment(settings: dict[str, str]) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("REELWAY_")}
    return {**kept, **settings}
