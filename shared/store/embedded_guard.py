"""The process between us and our Redis child: it ends the server when we are gone.

Run as a file, knows nothing of Reelway. Its standard input is a pipe that its owner never writes
to: the pipe ends when the owner ends, in whatever way, and that works on every Unix.

Signals meant for the owner must not reach the server: a service manager sends SIGTERM to every
process of a service at once, while the owner still needs the store to finish properly. Guard and
server block these signals; the server is stopped by command.

Arguments: the descriptor of the server's lock, its socket, its command line.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

STOP_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1


def main(lock: str, address: str, *command: str) -> int:
    """Keep the server until the owner is gone; its exit code when it ends by itself."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    wakeup = _wake_on_child()
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        pass_fds=(int(lock),),  # held until guard and server are both gone
        preexec_fn=_dying_with_us(),  # noqa: PLW1509  there are no threads here
    )
    while server.poll() is None:
        readable, _, _ = select.select([0, wakeup], [], [])
        if 0 in readable:
            _stop(server, address)
            return 0
        os.read(wakeup, 4096)
    return server.returncode


def shutdown(address: str) -> None:
    """Ask the server on this socket to write out its log and end; nobody there is fine."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1.0)
        connection.connect(address)
        connection.sendall(b"SHUTDOWN\r\n")
        connection.recv(4096)


def _wake_on_child() -> int:
    """A descriptor that becomes readable when a child ends."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writable)
    return readable


def _stop(server: subprocess.Popen[bytes], address: str) -> None:
    shutdown(address)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _dying_with_us() -> Callable[[], object] | None:
    """Linux: the server is killed even when this process is. What it has acknowledged is written;
    elsewhere the next owner stops a server that was left behind.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
