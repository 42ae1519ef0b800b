from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from shared.bus.router import Context, Router, reply_type
from shared.contracts.base import Command, Event, Query


class Paint(Command, frozen=True, kw_only=True, tag="demo.paint.v1"):
    colour: str


class Painted(Event, frozen=True, kw_only=True, tag="demo.painted.v1"):
    colour: str


class Ask(Query[list[int]], frozen=True, kw_only=True, tag="demo.ask.v1"):
    pass


class Handlers:
    async def paint(self, message: Paint, context: Context) -> None: ...

    async def painted(self, message: Painted, context: Context) -> None: ...

    async def ask(self, message: Ask, context: Context) -> list[int]:
        return [1]


def test_commands_and_events_are_kept_apart_from_queries() -> None:
    handlers = Handlers()
    router = (
        Router("demo")
        .on(Paint, handlers.paint)
        .on(Painted, handlers.painted)
        .answer(Ask, handlers.ask)
    )
    assert router.kinds == ("demo.paint.v1", "demo.painted.v1")
    assert router.queries == ("demo.ask.v1",)


def test_a_kind_has_one_handler() -> None:
    router = Router("demo").on(Paint, Handlers().paint)
    with pytest.raises(ValueError, match=r"demo has a handler for demo\.paint\.v1 already"):
        router.on(Paint, Handlers().paint)


def test_a_route_decodes_its_message_and_ignores_what_is_newer() -> None:
    route = Router("demo").on(Paint, Handlers().paint).find("demo.paint.v1")
    assert route is not None
    assert route.decode(msgspec.Raw(b'{"colour":"red","since":2}')) == Paint(colour="red")


def test_other_kinds_are_not_found() -> None:
    assert Router("demo").on(Paint, Handlers().paint).find("demo.paint.v2") is None


def test_the_reply_of_a_query_is_known() -> None:
    assert reply_type(Ask) == list[int]
    with pytest.raises(TypeError, match="directly"):
        reply_type(Query)


def test_the_wrong_message_type_is_a_mypy_error(tmp_path: Path) -> None:
    source = Path(__file__).read_text() + (
        "\nRouter('a').on(Paint, Handlers().painted)"
        "\nRouter('b').on(Painted, Handlers().painted).answer(Ask, Handlers().ask)\n"
    )
    (tmp_path / "wrong.py").write_text(source)
    root = Path(__file__).parents[3]
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", root / "pyproject.toml", "wrong.py"],
        cwd=tmp_path,
        env={"MYPYPATH": str(root), "MYPY_CACHE_DIR": str(root / ".mypy_cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line for line in found.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 1, found.stdout
    assert 'Argument 2 to "on" of "Router"' in errors[0]
