"""What an error looks like on the wire, and what it keeps to itself."""

from __future__ import annotations

import json

import msgspec
import pytest

from shared.errors import (
    Conflict,
    IdempotencyInProgress,
    Invalid,
    Later,
    NotFound,
    ReelwayError,
    StorageFull,
    TooMany,
    Unauthorized,
    Unavailable,
)
from shared.http.bodies import invalid_shape
from shared.http.errors import (
    BeyondEnd,
    PreconditionFailed,
    Stalled,
    describe,
    describe_status,
    headers_of,
    reply,
)


def test_problem_has_the_members_of_the_standard_and_ours() -> None:
    problem = describe(NotFound("no video x", hint="look again"), "/v1/videos/x", "r1")
    assert json.loads(msgspec.json.encode(problem)) == {
        "type": "/problems/not_found",
        "title": "There is no such thing.",
        "status": 404,
        "detail": "no video x",
        "instance": "/v1/videos/x",
        "code": "not_found",
        "request_id": "r1",
        "hint": "look again",
    }


def test_narrowed_code_narrows_the_type() -> None:
    problem = describe(Conflict(code="upload_running"), "/", "r1")
    assert (problem.type, problem.code) == ("/problems/upload_running", "upload_running")


def test_our_own_fault_keeps_its_reason_to_itself() -> None:
    assert "secret" not in str(describe(ReelwayError("secret at 10.0.0.7"), "/", "r1"))


@pytest.mark.parametrize(
    ("given", "pointer"),
    [("#/a", "#/a"), ("/a/b", "#/a/b"), ("a", "#/a"), ("", "#")],
)
def test_pointer_is_a_fragment(given: str, pointer: str) -> None:
    problem = describe(Invalid(errors=((given, "wrong"),)), "/", "r1")
    assert [(error.pointer, error.detail) for error in problem.errors] == [(pointer, "wrong")]


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (Unauthorized(), {"WWW-Authenticate": "Bearer"}),
        (TooMany(2.1), {"Retry-After": "3"}),
        (TooMany(0), {"Retry-After": "1"}),
        (Later(7), {"Retry-After": "7"}),
        (Unavailable(), {"Retry-After": "5"}),
        (IdempotencyInProgress(), {"Retry-After": "5"}),
        (BeyondEnd(12), {"Content-Range": "bytes */12"}),
        (StorageFull(), {}),
        (NotFound(), {}),
    ],
)
def test_errors_bring_their_headers(error: ReelwayError, headers: dict[str, str]) -> None:
    assert headers_of(error) == headers


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, "not_found"),
        (405, "method_not_allowed"),
        (413, "too_large"),
        (415, "unsupported_media"),
        (417, "expectation_failed"),
        (500, "internal"),
    ],
)
def test_bare_status_has_the_code_of_our_tree(status: int, code: str) -> None:
    problem = describe_status(status, "/", "r1")
    assert (problem.code, problem.type, problem.status) == (code, f"/problems/{code}", status)


def test_statuses_of_the_edge() -> None:
    assert (PreconditionFailed().status, Stalled().status, BeyondEnd(1).status) == (412, 408, 416)


def test_problem_is_never_cached() -> None:
    response = reply(describe(NotFound(), "/", "r1"), {})
    assert response.headers["Cache-Control"] == "no-store"
    assert response.content_type == "application/problem+json"


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    n: int


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    inner: list[Inner] = []


@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        (b'{"name": 1}', "#/name", "Expected `str`, got `int`"),
        (b"{}", "#/name", "Object missing required field `name`"),
        (b'{"name": "a", "x~/y": 1}', "#/x~0~1y", "Object contains unknown field `x~/y`"),
        (b'{"name": "a", "inner": [{"n": 1}, {"n": "b"}]}', "#/inner/1/n", "Expected `int`"),
        (b'{"name": "a", "inner": [{}]}', "#/inner/0/n", "Object missing required field `n`"),
        (b"[]", "#", "Expected `object`, got `array`"),
    ],
)
def test_wrong_shape_says_where(body: bytes, pointer: str, detail: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(body, type=Outer)
    ((where, what),) = invalid_shape(caught.value).errors
    assert where == pointer
    assert what.startswith(detail)


def test_broken_json_has_a_code_of_its_own() -> None:
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(b"{", type=Outer)
    assert invalid_shape(caught.value).code == "malformed_json"
