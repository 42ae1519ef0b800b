"""What is generated is up to date, and the interface's description tells the truth."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from services.gateway import openapi
from services.settings_example import EXAMPLE, README, every_type, example, with_table
from shared.http.routes import path_parameters, register
from shared.settings import PREFIX, SERVICES, fields_of, prefix_of

ROOT = Path(__file__).parents[2]
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
UNDESCRIBED = {"/", "/docs", "/openapi.json", "/web/{path}", "/livez", "/readyz", "/health"} | {
    "/metrics"
}
"""Pages for people and probes for machines: no part of the interface that is versioned."""


@cache
def document() -> dict[str, Any]:
    described: dict[str, Any] = msgspec.json.decode(openapi.FILE.read_bytes())
    return described


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def every(node: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, dict | list):
            yield from every(child)


def resolve(reference: str) -> Any:
    found: Any = document()
    for step in reference.removeprefix("#/").split("/"):
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found


def test_the_openapi_document_is_up_to_date() -> None:
    assert openapi.FILE.read_bytes() == openapi.rendered(), "run `make openapi`"


def test_the_example_of_the_environment_is_up_to_date() -> None:
    assert (ROOT / EXAMPLE).read_text("utf-8") == example(), "run `make examples`"


def test_the_table_of_settings_in_the_readme_is_up_to_date() -> None:
    readme = (ROOT / README).read_text("utf-8")
    assert readme == with_table(readme), "run `make examples`"


def test_a_readme_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="settings"):
        with_table("# Reelway\n")


def test_every_variable_is_in_the_example_once() -> None:
    named = re.findall(rf"^# ({PREFIX}\w+)=", example(), re.MULTILINE)
    expected = [
        prefix + field.name.upper()
        for prefix, kind in every_type().items()
        for field in fields_of(kind)
    ]
    assert named == expected
    assert len(set(named)) == len(named)


def test_every_service_has_its_settings_in_the_example() -> None:
    assert set(every_type()) == {prefix_of(""), *(prefix_of(name) for name in SERVICES)}


def test_every_route_is_described_and_everything_described_is_a_route() -> None:
    described = {(method.upper(), path) for method, path, _ in operations()}
    routed = {(route.method, path_parameters(route.path)[0]) for route in openapi.ROUTES}
    assert described == routed


def test_aiohttp_knows_exactly_the_routes_of_the_table() -> None:
    app = web.Application()
    register(app, openapi.ROUTES)
    known = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert known == {(route.method, path_parameters(route.path)[0]) for route in openapi.ROUTES}


def test_what_the_gateway_adds_beside_the_table_is_known() -> None:
    source = (ROOT / "services/gateway/app.py").read_text("utf-8")
    probes = (ROOT / "shared/http/probes.py").read_text("utf-8")
    added = re.findall(r"add_get\(\"([^\"]+)\"", source) + re.findall(r"web.get\(\"(.+?)\"", probes)
    assert {path_parameters(path)[0] for path in added} == UNDESCRIBED


def test_every_reference_resolves() -> None:
    references = [node["$ref"] for node in every(document()) if "$ref" in node]
    assert references
    assert all(isinstance(resolve(reference), dict) for reference in references)


def test_every_schema_is_used() -> None:
    used = {node["$ref"].rsplit("/", 1)[1] for node in every(document()) if "$ref" in node}
    assert set(document()["components"]["schemas"]) == used


def test_every_operation_says_who_may_what_it_does_and_what_it_answers() -> None:
    for method, path, operation in operations():
        where = f"{method} {path}"
        assert method in METHODS, where
        assert operation["summary"], where
        assert operation["operationId"], where
        assert operation["security"] is not None, where
        statuses = operation["responses"]
        assert any(status.startswith("2") for status in statuses), where
        assert all(response["description"] for response in statuses.values()), where


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)


def test_parameters_of_a_path_are_declared_and_nothing_else_is() -> None:
    for _, path, operation in operations():
        declared = [each for each in operation.get("parameters", ()) if each["in"] == "path"]
        assert {each["name"] for each in declared} == set(re.findall(r"{(\w+)}", path))
        assert all(each["required"] for each in declared)


def test_every_failure_is_a_problem() -> None:
    for _, path, operation in operations():
        for status, response in operation["responses"].items():
            if status >= "400":
                assert set(response["content"]) == {"application/problem+json"}, (path, status)


def test_every_tag_that_is_used_is_declared() -> None:
    declared = {tag["name"] for tag in document()["tags"]}
    used = {tag for _, _, operation in operations() for tag in operation["tags"]}
    assert used == declared
