"""Where a command's words go: a terminal of any width, a file, a pipe."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_ENDLESS = 10_000
"""Where nobody looks at once, lines are as long as they are: they are for `grep` and `cut`."""

_STYLES: Mapping[str, str] = {
    "running": "cyan",
    "succeeded": "green",
    "done": "green",
    "failed": "red",
    "lost": "red",
    "expired": "red",
    "cancelled": "yellow",
    "paused": "yellow",
    "retrying": "yellow",
}


def plain(text: object) -> str:
    """A text without anything that a terminal would obey."""
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", str(text))


@dataclass(frozen=True, slots=True)
class Screen:
    """Shows documents to people, or to programs when ``is_json``."""

    console: Console
    out: TextIO
    is_json: bool

    @property
    def is_live(self) -> bool:
        """Whether what was written can be drawn over."""
        return self.out.isatty() and not self.console.is_dumb_terminal and not self.is_json

    def document(self, value: Any) -> None:
        """One JSON document, for programs."""
        text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
        self.out.write(f"{text}\n")

    def json_line(self, value: Any) -> None:
        """One JSON document on one line."""
        self.out.write(f"{msgspec.json.encode(value).decode()}\n")
        self.out.flush()

    def line(self, text: str) -> None:
        """One line of words."""
        self.console.print(Text(plain(text)), soft_wrap=True)

    def pairs(self, rows: Iterable[tuple[str, object]]) -> None:
        """Names with what they stand for; what is empty is left out."""
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in rows:
            if value not in {None, ""}:
                table.add_row(Text(name, style="bold"), _cell(value))
        self._print(table)

    def table(self, names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table with a head. Where nobody looks it is plain columns."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for name in names:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*(_cell(value) for value in row))
        self._print(table)

    def _print(self, table: Table) -> None:
        if self.console.is_terminal:
            self.console.print(table)
            return
        with self.console.capture() as captured:
            self.console.print(table)
        self.out.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _cell(value: object) -> Text:
    text = plain("" if value is None else value)
    return Text(text, style=_STYLES.get(text, ""))


def screen(out: TextIO | None = None, *, is_json: bool = False) -> Screen:
    """What standard output is, or another file. ``NO_COLOR`` and ``TERM=dumb`` are respected."""
    out = out or sys.stdout
    is_terminal = out.isatty()
    console = Console(
        file=out,
        force_terminal=is_terminal,
        width=None if is_terminal else _ENDLESS,
        highlight=False,
        markup=False,
        emoji=False,
    )
    return Screen(console, out, is_json)
