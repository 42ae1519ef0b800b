"""The OpenAPI 3.1 document of a route table; schemas come from msgspec, words from docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from itertools import chain
from typing import Any, Final

import msgspec

from shared.errors import (
    Forbidden,
    IdempotencyInProgress,
    Invalid,
    NotFound,
    RangeUnsatisfiable,
    ReelwayError,
    TooLarge,
    TooMany,
    Unauthorized,
    Unavailable,
    UnsupportedMedia,
)
from shared.http.context import SIGNED_BY
from shared.http.errors import PROBLEM_JSON, Problem
from shared.http.routes import BINARY, Route, path_parameters

OPENAPI: Final = "3.1.0"
_REF: Final = "#/components/schemas/{name}"
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "signed": {
        "type": "apiKey",
        "in": "query",
        "name": SIGNED_BY,
        "description": "The token of a signed address, for clients that cannot send a header.",
    },
}
_LATER: Final = {"Retry-After": "Seconds to wait before the next attempt."}
_HEADERS: Final[Mapping[type[ReelwayError], Mapping[str, str]]] = {
    Unauthorized: {"WWW-Authenticate": "The scheme that is wanted: Bearer."},
    IdempotencyInProgress: _LATER,
    RangeUnsatisfiable: {"Content-Range": "The size of the content: bytes */N."},
    TooMany: _LATER,
    Unavailable: _LATER,
}


def document(routes: Sequence[Route], title: str, version: str) -> dict[str, Any]:
    """The document; the same routes give the same document."""
    schemas = _Schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    names: set[str] = set()
    for route in routes:
        if route.operation in names:
            raise ValueError(f"two routes are named {route.operation!r}")
        names.add(route.operation)
        path, _ = path_parameters(route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, schemas)
    made = {
        "openapi": OPENAPI,
        "info": {"title": title, "version": version},
        "servers": [{"url": "/"}],
        "paths": paths,
        "tags": [{"name": tag} for tag in dict.fromkeys(chain(*(route.tags for route in routes)))],
        "components": {"schemas": schemas.components, "securitySchemes": _SECURITY},
    }
    # Once through JSON: what is compared in tests is then what is served.
    plain: dict[str, Any] = _cleaned(msgspec.json.decode(msgspec.json.encode(made)))
    return plain


def _cleaned(node: Any) -> Any:
    """The same with every description freed of its indentation, which some Pythons keep."""
    if isinstance(node, list):
        return [_cleaned(each) for each in node]
    if not isinstance(node, dict):
        return node
    cleaned = {name: _cleaned(each) for name, each in node.items()}
    if isinstance(cleaned.get("description"), str):
        cleaned["description"] = inspect.cleandoc(cleaned["description"])
    return cleaned


class _Schemas:
    """The schemas of all types of a route table, made together so that names agree."""

    def __init__(self, routes: Iterable[Route]) -> None:
        kinds: list[Any] = [Problem]
        for route in routes:
            kinds += [kind for kind in (route.body, route.reply) if kind not in (None, BINARY)]
            kinds += route.params.values()
            kinds += [kind for kind in route.headers.values() if not isinstance(kind, str)]
        made, self.components = msgspec.json.schema_components(kinds, ref_template=_REF)
        self._made = list(zip(kinds, made, strict=True))

    def of(self, kind: Any) -> dict[str, Any]:
        """The schema of one of the types."""
        return next(schema for known, schema in self._made if known is kind or known == kind)

    def fields(self, struct: type[msgspec.Struct]) -> list[tuple[str, bool, dict[str, Any]]]:
        """The fields of a query: name, whether it must be given, schema."""
        _, own = msgspec.json.schema_components([struct], ref_template=_REF)
        shape = own.pop(struct.__name__)
        self.components.update(own)
        required = shape.get("required", ())
        return [(name, name in required, schema) for name, schema in shape["properties"].items()]


def _operation(route: Route, schemas: _Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": route.operation, "summary": route.summary}
    if text := inspect.getdoc(route.handler):
        operation["description"] = text
    if route.tags:
        operation["tags"] = list(route.tags)
    if parameters := _parameters(route, schemas):
        operation["parameters"] = parameters
    if route.body is not None:
        content = {media: _media(route.body, media, schemas) for media in route.body_media}
        operation["requestBody"] = {"required": not route.is_body_optional, "content": content}
    operation["responses"] = {str(route.status): _success(route, schemas), **_problems(route)}
    operation["security"] = [] if route.scope is None else [{"bearer": []}]
    if route.opened_by:
        operation["security"].append({"signed": []})
    if route.scope:
        operation["x-required-scope"] = route.scope
    return operation


def _parameters(route: Route, schemas: _Schemas) -> list[dict[str, Any]]:
    _, patterns = path_parameters(route.path)
    found: list[dict[str, Any]] = []
    for name, pattern in patterns.items():
        kind = route.params.get(name)
        schema = dict(schemas.of(kind)) if kind is not None else {"type": "string"}
        if pattern:
            schema["pattern"] = f"^(?:{pattern})$"
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    if route.query is not None:
        found += [_query_parameter(*field) for field in schemas.fields(route.query)]
    return found + [_header_parameter(name, kind, schemas) for name, kind in route.headers.items()]


def _header_parameter(name: str, kind: Any, schemas: _Schemas) -> dict[str, Any]:
    schema = {"type": "string"} if isinstance(kind, str) else dict(schemas.of(kind))
    text = kind if isinstance(kind, str) else schema.pop("description")
    return {"name": name, "in": "header", "description": text, "schema": schema}


def _query_parameter(name: str, required: bool, schema: dict[str, Any]) -> dict[str, Any]:
    parameter: dict[str, Any] = {"name": name, "in": "query", "required": required}
    if text := schema.pop("description", ""):
        parameter["description"] = text
    return parameter | {"schema": schema}


def _media(kind: Any, media: str, schemas: _Schemas) -> dict[str, Any]:
    if kind is BINARY:
        # OpenAPI 3.1, "considerations for file uploads": raw bytes have no schema.
        return {} if media != "multipart/form-data" else {"schema": _FORM}
    return {"schema": schemas.of(kind)}


_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
}


def _success(route: Route, schemas: _Schemas) -> dict[str, Any]:
    response: dict[str, Any] = {"description": HTTPStatus(route.status).phrase}
    if route.is_stream:
        response["content"] = {route.media[0]: {"schema": {"type": "string"}}}
    elif route.reply is not None:
        content = {media: _media(route.reply, media, schemas) for media in route.media}
        response["content"] = content
    return response


def _problems(route: Route) -> dict[str, Any]:
    by_status: dict[int, list[type[ReelwayError]]] = {}
    for error in dict.fromkeys((*_implied(route), *route.errors)):
        by_status.setdefault(error.status, []).append(error)
    return {str(status): _problem(by_status[status]) for status in sorted(by_status)}


def _implied(route: Route) -> Iterable[type[ReelwayError]]:
    if route.body is not None or route.query is not None:
        yield Invalid
    if route.body is not None:
        yield from (TooLarge, UnsupportedMedia)
    if "{" in route.path:
        yield NotFound
    if route.scope is not None:
        yield from (Unauthorized, Forbidden, TooMany)
    yield from (ReelwayError, Unavailable)


def _problem(errors: Sequence[type[ReelwayError]]) -> dict[str, Any]:
    lines = [f"`{error.default_code}`: {_first_line(error)}" for error in errors]
    response: dict[str, Any] = {
        "description": "\n\n".join(lines),
        "content": {PROBLEM_JSON: {"schema": {"$ref": _REF.format(name="Problem")}}},
    }
    if headers := {
        name: text for error in errors for name, text in _HEADERS.get(error, {}).items()
    }:
        response["headers"] = {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in headers.items()
        }
    return response


def _first_line(kind: type) -> str:
    return re.split(r"\n", kind.__doc__ or kind.__name__, maxsplit=1)[0]
