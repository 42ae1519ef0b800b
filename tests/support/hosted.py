"""A host of small services in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.settings import SERVICES

ROOT = Path(__file__).parents[2]

# Services that say on standard output what happens to them. What they shall do besides stands in
# the environment, as BEHAVE=<service>:<behaviour>.
PROGRAM = """
import asyncio, os, sys
from contextlib import asynccontextmanager
from shared.host import Service, main
from shared.settings import Secret, Settings

class TestSettings(Settings, frozen=True, kw_only=True):
    '''What can be set for a service of this test.'''
    port: int = 1
    key: Secret = Secret('')

WHO, _, HOW = os.environ.get('BEHAVE', '').partition(':')

def say(*words):
    print(*words, flush=True)

async def forever():
    await asyncio.sleep(3600)

async def failing():
    await asyncio.sleep(0.2)
    raise ValueError('boom')

def service(name):
    @asynccontextmanager
    async def run(runtime, settings):
        how = HOW if name == WHO else ''
        if how == 'cannot start':
            from shared.errors import Conflict
            raise Conflict('the port is taken')
        if how == 'starts forever':
            say('starting', name)
            await forever()
        loop = failing if how == 'loop fails' else forever
        try:
            async with runtime.supervise(f'{name} loop', loop()):
                say('up', name)
                yield f'http://{name}:{settings.port}'
                say('leaving', name, 'draining' if runtime.health.draining else 'serving')
                if how == 'leaves forever':
                    await forever()
        finally:
            say('left', name)
    return Service(name, TestSettings, run)

main(*(service(name) for name in sys.argv[1:]))
"""


class Running:
    """A host in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []

    def until(self, word: str) -> None:
        """Wait until it says the word on standard output."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.strip())
            if line.strip() == word:
                return
        raise AssertionError(f"{word!r} was never said: {self.said} {self.errors()}")

    def errors(self) -> str:
        """What it said on standard error, once it has ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def end(self, seconds: float = 90.0) -> tuple[int, list[str], str]:
        """Its exit code, the lines of its standard output, and its standard error."""
        out, errors = self.process.communicate(timeout=seconds)
        self.said.extend(out.splitlines())
        return self.process.returncode, self.said, errors


@contextmanager
def hosting(folder: Path, *services: str, **variables: str) -> Iterator[Running]:
    """Host these services, or all four, with these variables."""
    environ = {"PATH": os.environ["PATH"], "REELWAY_DATA_DIR": str(folder), **variables}
    process = subprocess.Popen(
        (sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM, *(services or SERVICES)),
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Running(process)
        finally:
            process.kill()
