"""The append-only file of a private Redis: every write there ever was, in order.

What a script writes is one group, between ``MULTI`` and ``EXEC``: it happened all at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

Command = tuple[str, ...]
Group = tuple[Command, ...]


def groups(folder: Path) -> Iterator[Group]:
    """All writes of a Redis with this folder. One that was cut off by its death is left out, and
    so does Redis when it starts again.
    """
    files = sorted(folder.glob("appendonlydir/*.incr.aof")) or [folder / "appendonly.aof"]
    for file in files:
        yield from grouped(commands(file.read_bytes()))


def grouped(writes: Iterator[Command]) -> Iterator[Group]:
    """Transactions whole, other commands alone."""
    together: list[Command] | None = None
    for write in writes:
        match write[0].upper():
            case "MULTI":
                together = []
            case "EXEC":
                yield tuple(together or ())
                together = None
            case _ if together is None:
                yield (write,)
            case _:
                together.append(write)


def commands(raw: bytes) -> Iterator[Command]:
    """The commands in the bytes of a file; comments of Redis (``#TS:…``) are none."""
    at = 0
    while at < len(raw):
        head, at = _line(raw, at)
        if head.startswith("#"):
            continue
        words: list[str] = []
        for _ in range(int(head.removeprefix("*") or "0")):
            size, at = _line(raw, at)
            length = int(size.removeprefix("$") or "0")
            words.append(raw[at : at + length].decode(errors="replace"))
            at += length + 2
        if at > len(raw) or not words:
            return
        yield tuple(words)


def _line(raw: bytes, at: int) -> tuple[str, int]:
    end = raw.find(b"\r\n", at)
    return ("", len(raw) + 1) if end < 0 else (raw[at:end].decode(), end + 2)
