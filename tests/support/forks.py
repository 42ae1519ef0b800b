"""Processes on demand: forked in milliseconds from one that has everything imported already.

Starting Python and importing Reelway takes most of a second; a test that kills hundreds of
processes forks them instead. ``python -m tests.support.forks <module> <folder>`` imports the module
and then forks one process for each line it reads. A process is an async function of that module,
called with keyword arguments. When the starter goes, so do they all.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0
_DIE_WITH_PARENT = 1
"""``PR_SET_PDEATHSIG`` of prctl(2)."""


class Forks:
    """The starter's end. Log files of processes are ``<role>-<pid>.log`` in the folder."""

    def __init__(self, module: str, folder: Path) -> None:
        self.folder = folder
        self._origin = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forks", module, str(folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._said = threading.Condition()
        self._born: list[int] = []
        self._ended: dict[int, int] = {}
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self, role: str, **options: Any) -> int:
        """Fork a process that runs a function of the module; its process id."""
        assert self._origin.stdin
        with self._said:
            self._origin.stdin.write(json.dumps({"role": role, "options": options}) + "\n")
            self._origin.stdin.flush()
            if not self._said.wait_for(lambda: self._born, START_SECONDS):
                raise RuntimeError(f"{role} was not started")
            return self._born.pop()

    def has_ended(self, pid: int) -> bool:
        """Whether a process is gone."""
        return pid in self._ended

    def status(self, pid: int, seconds: float = 40.0) -> int:
        """How a process ended, once it has: an exit code, or the negative number of a signal."""
        with self._said:
            if not self._said.wait_for(lambda: pid in self._ended, seconds):
                raise RuntimeError(self._why_not(pid))
            return self._ended[pid]

    def _why_not(self, pid: int) -> str:
        os.kill(pid, signal.SIGUSR1)
        time.sleep(0.5)
        said = "".join(file.read_text() for file in self.folder.glob(f"*-{pid}.log"))
        return f"process {pid} does not end: {said[-8000:]}"

    def close(self) -> None:
        """End all that still run, at once."""
        assert self._origin.stdin
        with suppress(BrokenPipeError):
            self._origin.stdin.close()
        self._origin.wait(timeout=START_SECONDS)

    def _listen(self) -> None:
        assert self._origin.stdout
        with self._origin.stdout as lines:
            for line in lines:
                said = json.loads(line)
                with self._said:
                    if "born" in said:
                        self._born.append(said["born"])
                    else:
                        self._ended[said["ended"]] = said["status"]
                    self._said.notify_all()


@contextmanager
def forking(module: str, folder: Path) -> Iterator[Forks]:
    """Processes of a module's functions, all of them gone with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    forks = Forks(module, folder)
    try:
        yield forks
    finally:
        forks.close()


class _Origin:
    """The process that is forked: one thread, no loop, everything imported."""

    def __init__(self, module: str, folder: Path) -> None:
        self._module = importlib.import_module(module)
        self._folder = folder
        self._living: set[int] = set()
        self._wake, self._alarm = os.pipe()
        os.set_blocking(self._alarm, False)
        signal.set_wakeup_fd(self._alarm, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the starter's, who closes us

    def serve(self) -> None:
        """Fork for each order, tell of each end, until there are no more orders."""
        rest = b""
        while True:
            readable, _, _ = select.select([0, self._wake], [], [])
            if self._wake in readable:
                os.read(self._wake, 4096)
                self._bury()
            if 0 in readable:
                piece = os.read(0, 65536)
                if not piece:
                    return self._end_all()
                *orders, rest = (rest + piece).split(b"\n")
                for order in orders:
                    self._obey(json.loads(order))

    def _obey(self, order: dict[str, Any]) -> None:
        pid = os.fork()
        if not pid:
            self._live(order["role"], order["options"])
        self._living.add(pid)
        _tell(born=pid)

    def _live(self, role: str, options: dict[str, Any]) -> NoReturn:
        """Be the process that was ordered."""
        code = 1
        try:
            _die_with_parent()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            self._take_own_files(role)
            code = asyncio.run(_confessing(getattr(self._module, role)(**options))) or 0
        except BaseException:  # noqa: BLE001 - whatever it was, it ends this process alone
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _take_own_files(self, role: str) -> None:
        os.close(self._wake)
        os.close(self._alarm)
        log = os.open(self._folder / f"{role}-{os.getpid()}.log", os.O_CREAT | os.O_WRONLY)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)

    def _bury(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                self._living.discard(pid)
                _tell(ended=pid, status=os.waitstatus_to_exitcode(status))

    def _end_all(self) -> None:
        for pid in self._living:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in self._living:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


async def _confessing(life: Coroutine[Any, Any, int | None]) -> int | None:
    """Live; by SIGUSR1, say in the log what every task waits for."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, _confess)
    return await life


def _confess() -> None:
    for task in asyncio.all_tasks():
        sys.stderr.write(f"{task.get_name()} (asked to end {task.cancelling()} times):\n")
        for place in _places(task.get_coro()):
            sys.stderr.write(f"    {place}\n")
    sys.stderr.flush()


def _places(waiting: Any) -> Iterator[str]:
    """Where a coroutine waits, from the outside in."""
    while waiting is not None:
        frame = getattr(waiting, "cr_frame", None)
        yield f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else repr(waiting)
        waiting = getattr(waiting, "cr_await", None)


def _die_with_parent() -> None:
    """Linux can promise it; elsewhere a forker that is killed with -9 leaves its processes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def _tell(**words: int) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def until(is_so: Any, seconds: float, what: str) -> None:
    """Wait for something that other processes do."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come in {seconds:g} s")
        time.sleep(0.01)


if __name__ == "__main__":
    _Origin(sys.argv[1], Path(sys.argv[2])).serve()
