"""The document of a route table, held against the parts of OpenAPI 3.1 that it uses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import pytest
from aiohttp import web

from shared.errors import Conflict
from shared.http.errors import PreconditionFailed
from shared.http.openapi import document
from shared.http.routes import BINARY, Route, path_parameters, register
from shared.http.sse import EVENT_STREAM


class Video(msgspec.Struct):
    """A video and what is known of it."""

    id: str
    title: str = ""


class NewVideo(msgspec.Struct, forbid_unknown_fields=True):
    """What a new video starts with."""

    title: Annotated[str, msgspec.Meta(min_length=1, description="Shown to people.")]


class Search(msgspec.Struct):
    """What to look for."""

    q: Annotated[str, msgspec.Meta(description="Words.")]
    size: Annotated[int, msgspec.Meta(ge=1)] = 20


async def serve(request: web.Request) -> web.StreamResponse:
    """Do it.

    Slowly.
    """
    return web.Response()


ROUTES = (
    Route(
        method="GET", path="/v1/videos", handler=serve, summary="Find", query=Search,
        reply=list[Video], tags=("videos",), name="find_videos",
    ),
    Route(
        method="POST", path="/v1/videos", handler=serve, summary="Make", body=NewVideo,
        reply=Video, status=201, errors=(Conflict,), scope="videos:write",
        headers={"Idempotency-Key": "Makes it once."},
    ),
    Route(
        method="PUT", path="/v1/videos/{video:[0-9a-f-]{36}}/file", handler=serve, summary="Send",
        body=BINARY, body_media=("application/octet-stream", "multipart/form-data"), status=204,
        errors=(PreconditionFailed,),
    ),
    Route(
        method="GET", path="/v1/videos/{video}/pages/{page}", handler=serve, summary="Page",
        reply=BINARY, media=("video/mp4",), params={"page": int},
    ),
    Route(
        method="GET", path="/v1/events", handler=serve, summary="Watch", media=(EVENT_STREAM,),
        scope=None,
    ),
)  # fmt: skip


@pytest.fixture
def made() -> dict[str, Any]:
    return document(ROUTES, "Reelway", "1.2.3")


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from references(inner)


def check_structure(made: dict[str, Any]) -> None:
    """What a validator of OpenAPI 3.1 would insist on."""
    assert set(made) <= {"openapi", "info", "servers", "paths", "tags", "components"}
    assert {"title", "version"} <= set(made["info"])
    for reference in references(made):
        assert reference.removeprefix("#/components/schemas/") in made["components"]["schemas"]
    ids = []
    for path, item in made["paths"].items():
        assert path.startswith("/")
        for method, operation in item.items():
            assert method in {"get", "put", "post", "delete", "patch", "head", "options"}
            ids.append(operation["operationId"])
            check_operation(path, operation)
    assert len(set(ids)) == len(ids)


def check_operation(path: str, operation: dict[str, Any]) -> None:
    parameters = operation.get("parameters", [])
    names = [(entry["name"], entry["in"]) for entry in parameters]
    assert len(set(names)) == len(names)
    in_path = {name for name, where in names if where == "path"}
    assert in_path == set(re.findall(r"{(\w+)}", path))
    assert all("schema" in entry for entry in parameters)
    assert all(entry["required"] for entry in parameters if entry["in"] == "path")
    assert operation["responses"]
    for status, response in operation["responses"].items():
        assert re.fullmatch(r"[1-5][0-9]{2}", status)
        assert response["description"]
        for media in response.get("content", {}):
            assert "/" in media
    assert operation.get("requestBody", {"content": True})["content"]


def test_document_has_the_structure_of_openapi(made: dict[str, Any]) -> None:
    check_structure(made)


def test_document_is_plain_json_and_always_the_same(made: dict[str, Any]) -> None:
    text = msgspec.json.encode(made)
    assert msgspec.json.decode(text) == made
    assert msgspec.json.encode(document(ROUTES, "Reelway", "1.2.3")) == text


def test_docstrings_become_descriptions(made: dict[str, Any]) -> None:
    schemas = made["components"]["schemas"]
    assert schemas["NewVideo"]["description"] == "What a new video starts with."
    assert schemas["NewVideo"]["additionalProperties"] is False
    assert made["paths"]["/v1/videos"]["get"]["description"] == "Do it.\n\nSlowly."


def test_query_fields_become_parameters(made: dict[str, Any]) -> None:
    assert "Search" not in made["components"]["schemas"]
    assert made["paths"]["/v1/videos"]["get"]["parameters"] == [
        {
            "name": "q",
            "in": "query",
            "required": True,
            "description": "Words.",
            "schema": {"type": "string"},
        },
        {
            "name": "size",
            "in": "query",
            "required": False,
            "schema": {"type": "integer", "minimum": 1, "default": 20},
        },
    ]


def test_path_parameters_have_types_and_patterns(made: dict[str, Any]) -> None:
    (video,) = made["paths"]["/v1/videos/{video}/file"]["put"]["parameters"]
    assert video["schema"] == {"type": "string", "pattern": "^(?:[0-9a-f-]{36})$"}
    _, page = made["paths"]["/v1/videos/{video}/pages/{page}"]["get"]["parameters"]
    assert page["schema"] == {"type": "integer"}


def test_errors_are_problems_by_status(made: dict[str, Any]) -> None:
    responses = made["paths"]["/v1/videos"]["post"]["responses"]
    assert list(responses) == ["201", "400", "401", "403", "409", "413", "415", "429", "500", "503"]
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    assert responses["409"]["content"] == {"application/problem+json": schema}
    assert "Retry-After" in responses["429"]["headers"]
    assert "WWW-Authenticate" in responses["401"]["headers"]


def test_streams_and_bytes_have_their_media_types(made: dict[str, Any]) -> None:
    events = made["paths"]["/v1/events"]["get"]
    assert events["responses"]["200"]["content"] == {EVENT_STREAM: {"schema": {"type": "string"}}}
    assert events["security"] == []
    body = made["paths"]["/v1/videos/{video}/file"]["put"]["requestBody"]["content"]
    assert body["application/octet-stream"] == {}
    page = made["paths"]["/v1/videos/{video}/pages/{page}"]["get"]["responses"]["200"]
    assert page["content"] == {"video/mp4": {}}


def test_name_stands_for_one_route_only() -> None:
    with pytest.raises(ValueError, match="find_videos"):
        document((ROUTES[0], ROUTES[0]), "Reelway", "1")


@pytest.mark.parametrize(
    ("path", "plain", "patterns"),
    [
        ("/v1/a", "/v1/a", {}),
        ("/{a}/{b:.+}", "/{a}/{b}", {"a": "", "b": ".+"}),
        ("/{a:[0-9]{2}{3}}/x", "/{a}/x", {"a": "[0-9]{2}{3}"}),
    ],
)
def test_path_is_told_from_its_patterns(path: str, plain: str, patterns: dict[str, str]) -> None:
    assert path_parameters(path) == (plain, patterns)


def test_get_answers_head_but_a_stream_does_not() -> None:
    app = web.Application()
    register(app, ROUTES)
    known = {
        (route.method, resource.canonical)
        for resource in app.router.resources()
        for route in resource
    }
    assert ("HEAD", "/v1/videos") in known
    assert ("HEAD", "/v1/events") not in known
