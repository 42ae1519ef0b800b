"""Commands on a terminal of their own."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Said(NamedTuple):
    """What a command said, and its exit code."""

    code: int
    out: str
    errors: str = ""


def reelway(words: list[str], environ: Mapping[str, str], *, data: str = "") -> Said:
    """Run ``reelway …`` into pipes."""
    done = subprocess.run(
        [sys.executable, "-m", "services", *words],
        env=clean(environ),
        cwd=ROOT,
        capture_output=True,
        timeout=90,
        check=False,
        input=data.encode(),
    )
    return Said(done.returncode, done.stdout.decode(), done.stderr.decode())


def on_terminal(words: list[str], environ: Mapping[str, str], columns: int) -> Said:
    """Run ``reelway …`` on a terminal of so many columns; output and errors come together."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-m", "services", *words],
        env=clean({"TERM": "xterm-256color", **environ}),
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        out = b""
        with suppress(OSError):  # Linux says so when the last of them has closed it
            while piece := os.read(ours, 65536):
                out += piece
        os.close(ours)
        code = process.wait(timeout=90)
    return Said(code, out.decode(errors="replace"))


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without anything that decides how things look, and these variables."""
    aside = ("REELWAY_", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_", "TERM")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(aside)}
    return {**kept, **environ}
