"""What a browser asks of a gateway on behalf of a page of another origin, and is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from services.gateway.settings import Settings
from shared.ids import derived_id, new_id
from shared.store.redis import Store
from tests.integration.http.doors import Answer, Doors, doors

PAGE = "https://videos.example"
FOREIGN = "https://evil.example"
TUS = {"Tus-Resumable": "1.0.0"}
ASK = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}
ALLOW = "Access-Control-Allow-Origin"
EMBEDDING = "Cross-Origin-Resource-Policy"
SENDABLE = (
    "authorization content-type idempotency-key if-match if-none-match if-range range "
    "last-event-id tus-resumable upload-offset upload-length upload-defer-length upload-metadata "
    "upload-checksum upload-concat x-http-method-override x-request-id traceparent tracestate"
)
READABLE = (
    "upload-offset location upload-length tus-version tus-resumable tus-max-size tus-extension "
    "tus-checksum-algorithm upload-metadata upload-defer-length upload-concat upload-expires "
    "etag content-range accept-ranges content-disposition retry-after x-request-id "
    "idempotency-replayed"
)
NOBODY: Mapping[str, str] = {"Authorization": ""}


@pytest.fixture
async def house(store: Store, tmp_path: Path) -> AsyncIterator[Doors]:
    async with doors(store, tmp_path, 1, settings=Settings(port=0, cors_origins=(PAGE,))) as made:
        yield made


@pytest.fixture
async def open_house(store: Store, tmp_path: Path) -> AsyncIterator[Doors]:
    async with doors(store, tmp_path, 1, settings=Settings(port=0, cors_origins=("*",))) as made:
        yield made


@pytest.fixture
async def closed_house(store: Store, tmp_path: Path) -> AsyncIterator[Doors]:
    async with doors(store, tmp_path, 1) as made:
        yield made


def said(answer: Answer) -> dict[str, str]:
    """The headers of CORS in an answer."""
    return {
        name: text for name, text in answer.headers.items() if name.startswith("Access-Control-")
    }


def listed(answer: Answer, name: str) -> set[str]:
    return {word.strip().lower() for word in answer.headers[name].split(",")}


async def asked(house: Doors, path: str, origin: str = PAGE) -> Answer:
    """What a browser is told that asks, without a key, whether it may send a PATCH."""
    return await house.call("OPTIONS", path, {**NOBODY, **ASK, "Origin": origin})


async def test_a_page_may_send_what_the_address_takes(house: Doors) -> None:
    answer = await asked(house, f"/v1/uploads/{new_id()}")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers[ALLOW] == PAGE
    methods = {"get", "head", "patch", "post", "delete"}
    assert listed(answer, "Access-Control-Allow-Methods") == methods
    assert int(answer.headers["Access-Control-Max-Age"]) > 60
    assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_a_page_may_send_the_headers_of_the_interface(house: Doors) -> None:
    answer = await asked(house, "/v1/uploads/")
    assert set(SENDABLE.split()) <= listed(answer, "Access-Control-Allow-Headers")


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/uploads/", {"options", "post"}),
        ("/v1/videos", {"get", "head", "post"}),
        ("/v1/events", {"get"}),
        ("/openapi.json", {"get", "head"}),
    ],
)
async def test_each_address_names_its_own_methods(
    house: Doors, path: str, methods: set[str]
) -> None:
    answer = await asked(house, path)
    assert answer.status == 204
    assert listed(answer, "Access-Control-Allow-Methods") == methods


async def test_what_is_spoken_is_still_told_to_a_page(house: Doors) -> None:
    answer = await house.call("OPTIONS", "/v1/uploads/", {**NOBODY, "Origin": PAGE})
    assert (answer.status, answer.headers["Tus-Version"]) == (204, "1.0.0")
    assert answer.headers[ALLOW] == PAGE
    assert "Access-Control-Allow-Methods" not in answer.headers


async def test_a_page_of_another_origin_may_not(house: Doors) -> None:
    for origin in (FOREIGN, "null", PAGE.replace("https", "http"), f"{PAGE}.evil.example"):
        answer = await asked(house, "/v1/uploads/", origin)
        assert (answer.status, answer.code) == (403, "origin_refused")
        assert b"REELWAY_GATEWAY_CORS_ORIGINS" in answer.body
        assert said(answer) == {}
        reply = await house.call("GET", "/v1/videos", {"Origin": origin})
        assert (reply.status, said(reply)) == (200, {})
        assert reply.headers[EMBEDDING] == "same-origin"


async def test_a_page_may_ask_for_what_is_not_there_and_read_so(house: Doors) -> None:
    answer = await asked(house, "/v1/nothing")
    assert (answer.status, answer.headers[ALLOW]) == (204, PAGE)
    assert "patch" in listed(answer, "Access-Control-Allow-Methods")
    reply = await house.call("PATCH", "/v1/nothing", {"Origin": PAGE})
    assert (reply.status, reply.code, reply.headers[ALLOW]) == (404, "not_found", PAGE)


async def test_a_method_that_is_none_is_refused_as_before(house: Doors) -> None:
    answer = await house.call("PUT", "/v1/videos", {"Origin": PAGE})
    assert (answer.status, answer.headers[ALLOW]) == (405, PAGE)
    plain = await house.call("OPTIONS", "/v1/videos", {"Origin": PAGE})
    assert plain.status == 405


async def test_a_page_may_read_what_answers_say(house: Doors) -> None:
    answer = await house.call("GET", "/v1/videos", {"Origin": PAGE})
    assert set(READABLE.split()) <= listed(answer, "Access-Control-Expose-Headers")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/v1/videos", NOBODY, 401),
        ("GET", "/v1/admin/tenants", {}, 403),
        ("GET", f"/v1/videos/{derived_id('nobody')}", {}, 404),
        ("GET", "/v1/nothing", {}, 404),
        ("DELETE", "/v1/videos", {}, 405),
        ("POST", "/v1/uploads/", {**TUS, "Upload-Length": str(1 << 50)}, 413),
        ("POST", "/v1/uploads/", {"Upload-Length": "5"}, 412),
        ("GET", "/v1/videos", {"Expect": "a miracle"}, 417),
        ("GET", "/v1/videos?limit=none", {}, 400),
    ],
)
async def test_a_page_may_read_refusals(
    house: Doors, method: str, path: str, headers: Mapping[str, str], status: int
) -> None:
    answer = await house.call(method, path, {**headers, "Origin": PAGE})
    assert (answer.status, answer.headers[ALLOW]) == (status, PAGE)
    assert "x-request-id" in listed(answer, "Access-Control-Expose-Headers")


async def test_a_page_may_read_a_stream_of_events(house: Doors) -> None:
    headers = {"Origin": PAGE, "Authorization": f"Bearer {next(iter(house.keys.values()))}"}
    async with house.session.get(f"{house.urls[0]}/v1/events", headers=headers) as reply:
        assert (reply.status, reply.content_type) == (200, "text/event-stream")
        assert (reply.headers[ALLOW], reply.headers["Vary"]) == (PAGE, "Origin")


async def test_an_answer_says_that_it_depends_on_who_asks(house: Doors) -> None:
    for headers in ({}, {"Origin": PAGE}, {"Origin": FOREIGN}, NOBODY):
        answer = await house.call("GET", "/v1/videos", headers)
        assert answer.headers["Vary"] == "Origin"


async def test_pictures_may_be_shown_by_pages_that_are_allowed(house: Doors) -> None:
    """An <img> without crossorigin names no origin; its page is in Referer."""
    for headers, policy in (
        ({"Origin": PAGE}, "cross-origin"),
        ({"Referer": f"{PAGE}/gallery"}, "cross-origin"),
        ({"Referer": f"{FOREIGN}/?{PAGE}"}, "same-origin"),
        ({"Origin": FOREIGN, "Referer": f"{PAGE}/"}, "same-origin"),
        ({}, "same-origin"),
    ):
        answer = await house.call("GET", "/v1/videos", headers)
        assert answer.headers[EMBEDDING] == policy, headers
        assert (ALLOW in answer.headers) == (headers.get("Origin") == PAGE)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/metrics"])
async def test_no_page_may_read_probes(open_house: Doors, path: str) -> None:
    answer = await open_house.call("GET", path, {"Origin": PAGE})
    assert answer.status in {200, 503}
    assert said(answer) == {}
    assert said(await asked(open_house, path)) == {}


async def test_any_page_may_where_anybody_may(open_house: Doors) -> None:
    answer = await asked(open_house, "/v1/uploads/", FOREIGN)
    assert (answer.status, answer.headers[ALLOW]) == (204, "*")
    reply = await open_house.call("GET", "/v1/videos", {"Origin": "null"})
    assert (reply.status, reply.headers[ALLOW], reply.headers["Vary"]) == (200, "*", "Origin")
    assert "Access-Control-Allow-Credentials" not in reply.headers


async def test_without_the_setting_nothing_is_said(closed_house: Doors) -> None:
    answer = await asked(closed_house, "/v1/videos")
    assert (answer.status, said(answer), "Vary" in answer.headers) == (405, {}, False)
    spoken = await asked(closed_house, "/v1/uploads/")
    assert (spoken.status, spoken.headers["Tus-Version"]) == (204, "1.0.0")
    reply = await closed_house.call("GET", "/v1/videos", {"Origin": PAGE})
    assert (reply.status, said(reply), "Vary" in reply.headers) == (200, {}, False)
