"""Every point at which a fault can strike, as the code says: nobody keeps a list by hand."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = "script:"
"""How the points of Lua scripts begin; the product names them by an f-string."""


def product() -> dict[str, str]:
    """Every Python source of the product by its path."""
    return {
        file.relative_to(ROOT).as_posix(): file.read_text("utf-8")
        for folder in ("shared", "services")
        for file in sorted((ROOT / folder).rglob("*.py"))
    }


def scripts() -> list[str]:
    """The names of all Lua scripts; parts in ``include`` folders are none."""
    folders = [folder for top in ("shared", "services") for folder in (ROOT / top).rglob("lua")]
    return sorted({file.stem for folder in folders for file in folder.glob("*.lua")})


def points(sources: Mapping[str, str], script_names: Iterable[str]) -> list[str]:
    """The points in these sources; ``ValueError`` for a name that cannot be read from the code."""
    found: set[str] = set()
    for path, text in sources.items():
        for name in _named(ast.parse(text, path), path):
            found |= {f"{SCRIPT}{each}" for each in script_names} if name == SCRIPT else {name}
    return sorted(found)


def all_points() -> list[str]:
    """The points of the product."""
    return points(product(), scripts())


def _named(tree: ast.AST, path: str) -> Iterator[str]:
    """The first argument of each call of ``through``: a literal, or an f-string for scripts."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or _name_of(node.func) != "through":
            continue
        match node.args[0]:
            case ast.Constant(value=str(name)):
                yield name
            case ast.JoinedStr(values=[ast.Constant(value=str(name)), _]) if name == SCRIPT:
                yield name
            case other:
                raise ValueError(f"{path}:{node.lineno}: {ast.unparse(other)} names no point")


def _name_of(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""
