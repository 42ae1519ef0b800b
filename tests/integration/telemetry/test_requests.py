"""What the gateway tells about each request, on a real server on the loopback."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from services.gateway import app as gateway
from shared.errors import Unavailable
from shared.http.context import PRINCIPAL, Principal
from shared.http.routes import BINARY, Route, register
from shared.http.server import edge_app, listening
from shared.http.sse import EventStream
from shared.telemetry.logs import logging_to
from shared.telemetry.metrics import Metrics, new_metrics
from shared.telemetry.traces import inject, new_tracer
from tests.support.bus import until

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01"
log = logging.getLogger("test.handler")


async def known(request: web.Request) -> web.StreamResponse:
    log.info("before")
    request[PRINCIPAL] = Principal(tenant="acme", credential="k")
    log.info("after")
    return web.json_response(inject())


async def broken(request: web.Request) -> web.StreamResponse:
    raise KeyError("secret")


async def away(request: web.Request) -> web.StreamResponse:
    raise Unavailable("the store is away")


async def slow(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(0.05)
    return web.Response()


async def home(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/docs")


async def events(request: web.Request) -> web.StreamResponse:
    async with EventStream(request) as stream:
        await stream.send("state", "1-1", "{}")
    return stream.response


async def probe(request: web.Request) -> web.StreamResponse:
    return web.Response(status=503)


@dataclass
class Told:
    """A running door and what it has told."""

    session: aiohttp.ClientSession
    metrics: Metrics
    spans: InMemorySpanExporter
    log: io.StringIO
    url: str = ""
    started: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self, request: web.Request) -> web.StreamResponse:
        self.started.set()
        await self.go_on.wait()
        return web.Response()

    async def call(
        self, path: str, *headers: tuple[str, str], method: str = "GET"
    ) -> tuple[int, bytes]:
        async with self.session.request(
            method, f"{self.url}{path}", headers=headers, allow_redirects=False
        ) as reply:
            return reply.status, await reply.read()

    async def span(self) -> ReadableSpan:
        """The one span, which ends after the client has its answer."""

        async def has_ended() -> bool:
            return bool(self.spans.get_finished_spans())

        await until(has_ended)
        (one,) = self.spans.get_finished_spans()
        return one

    def lines(self, action: str = "request") -> list[dict[str, str]]:
        said = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in said if line.get("action", "") == action]


@pytest.fixture
async def told(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Told]:
    metrics, tracer, spans, stream = new_metrics(), new_tracer("log"), *kept()
    tracer.provider.add_span_processor(SimpleSpanProcessor(spans))
    app = edge_app(gateway.observing(metrics))
    app.middlewares.insert(0, gateway.following(tracer, metrics))
    routes = [
        Route(method="GET", path="/v1/things/{thing}", handler=known, summary="", reply=dict),
        Route(method="GET", path="/v1/broken", handler=broken, summary=""),
        Route(method="GET", path="/v1/away", handler=away, summary=""),
        Route(method="GET", path="/v1/slow", handler=slow, summary=""),
        Route(method="POST", path="/v1/things", handler=slow, summary="", body=BINARY),
        Route(method="GET", path="/v1/things/{thing}/events", handler=events, summary=""),
        Route(method="GET", path="/home", handler=home, summary=""),
        Route(method="GET", path="/readyz", handler=probe, summary=""),
    ]
    register(app, routes)
    # A machine that stalls is not what is looked at here.
    monkeypatch.setattr(gateway, "SLOW_SECONDS", 60.0)
    with logging_to("info", "json", stream):
        async with aiohttp.ClientSession() as session:
            made = Told(session, metrics, spans, stream)
            app.router.add_get("/v1/things/{thing}/wait", made.wait)
            async with listening(app, "127.0.0.1", 0) as port:
                made.url = f"http://127.0.0.1:{port}"
                yield made
    tracer.close()
    metrics.close()


def kept() -> tuple[InMemorySpanExporter, io.StringIO]:
    return InMemorySpanExporter(), io.StringIO()


async def test_a_request_is_a_server_span_below_its_client_named_by_its_route(told: Told) -> None:
    status, body = await told.call("/v1/things/7?q=1", ("traceparent", VALID))
    span = await told.span()
    assert status == 200
    assert span.name == "request GET /v1/things/{thing}"
    assert span.kind is SpanKind.SERVER
    assert span.parent
    assert f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}" == f"{TRACE}-{SPAN}"
    assert span.attributes == {
        "http.request.method": "GET",
        "http.route": "/v1/things/{thing}",
        "http.response.status_code": 200,
    }
    assert json.loads(body)["traceparent"].startswith(f"00-{TRACE}-")


HOSTILE = [
    [("traceparent", "00-" + "a" * 4000)],
    [("traceparent", VALID.upper())],
    [("traceparent", f"00-{'0' * 32}-{SPAN}-01")],
    [("traceparent", f"ff-{TRACE}-{SPAN}-01")],
    [("traceparent", f"{VALID}; drop")],
    [("traceparent", VALID), ("traceparent", VALID)],
    [("tracestate", "a=b")],
]


@pytest.mark.parametrize("headers", HOSTILE)
async def test_a_hostile_trace_context_is_ignored(
    told: Told, headers: list[tuple[str, str]]
) -> None:
    status, _ = await told.call("/v1/things/7", *headers)
    span = await told.span()
    assert status == 200
    assert span.parent is None
    assert span.context
    assert f"{span.context.trace_id:032x}" != TRACE


async def test_everything_said_on_behalf_of_a_request_names_it(told: Told) -> None:
    await told.call("/v1/things/7", ("X-Request-Id", "r-1"), ("traceparent", VALID))
    await told.span()
    before, after = told.lines(action="")
    (answered,) = told.lines()
    for line in (before, after, answered):
        assert (line["request_id"], line["correlation_id"]) == ("r-1", "r-1")
        assert line["trace_id"] == TRACE
    assert "tenant" not in before
    assert (after["tenant"], answered["tenant"]) == ("acme", "acme")


async def test_a_request_is_one_line_with_what_an_operator_asks_for(told: Told) -> None:
    await told.call("/v1/things/7?secret=1")
    await told.span()
    (line,) = told.lines()
    assert line["message"] == "GET /v1/things/{thing} 200"
    assert (line["level"], line["method"], line["path"]) == ("info", "GET", "/v1/things/7")
    assert line["status_code"] == "200"
    assert float(line["duration_ms"]) < 60_000
    assert "secret" not in told.log.getvalue()


@pytest.mark.parametrize(
    ("path", "status", "level"),
    [("/v1/broken", 500, "error"), ("/v1/away", 503, "warning"), ("/v1/none", 404, "info")],
)
async def test_our_own_faults_are_louder_than_those_of_clients(
    told: Told, path: str, status: int, level: str
) -> None:
    assert (await told.call(path))[0] == status
    span = await told.span()
    (line,) = told.lines()
    assert (line["level"], line["status_code"]) == (level, str(status))
    assert (span.status.status_code is StatusCode.ERROR) is (status >= 500)


async def test_a_fault_of_ours_is_found_by_the_id_that_its_client_was_told(told: Told) -> None:
    _, body = await told.call("/v1/broken")
    (failure,) = [line for line in told.lines(action="") if line["level"] == "error"]
    assert failure["request_id"] == json.loads(body)["request_id"]
    assert "KeyError: 'secret'" in failure["error"]
    assert "secret" not in body.decode()


@pytest.mark.parametrize(
    ("method", "path", "level"), [("GET", "/v1/slow", "warning"), ("POST", "/v1/things", "info")]
)
async def test_what_is_slow_is_a_warning_unless_it_may_take_its_time(
    told: Told, monkeypatch: pytest.MonkeyPatch, method: str, path: str, level: str
) -> None:
    monkeypatch.setattr(gateway, "SLOW_SECONDS", 0.01)
    await told.call(path, method=method)
    await told.span()
    (line,) = told.lines()
    assert line["level"] == level


async def test_a_redirect_is_no_fault(told: Told) -> None:
    async with told.session.get(f"{told.url}/home", allow_redirects=False) as reply:
        assert (reply.status, reply.headers["Location"]) == (302, "/docs")
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
    span = await told.span()
    assert span.status.status_code is StatusCode.UNSET
    assert not span.events


async def test_a_stream_of_events_is_a_span_too_and_no_latency(told: Told) -> None:
    await told.call("/v1/things/7/events")
    span = await told.span()
    assert span.name == "request GET /v1/things/{thing}/events"
    assert span.attributes
    assert span.attributes["http.response.status_code"] == 200
    assert 'http_route="/v1/things/{thing}/events"' not in told.metrics.render().decode()


async def test_probes_are_timed_and_otherwise_passed_over(told: Told) -> None:
    await told.call("/readyz")
    await told.call("/v1/things/7")
    assert (await told.span()).name == "request GET /v1/things/{thing}"
    assert [line["path"] for line in told.lines()] == ["/v1/things/7"]
    assert 'http_route="/readyz"' in told.metrics.render().decode()


async def test_requests_in_hand_come_back_to_none(told: Told) -> None:
    async def are_none() -> bool:
        none = 'http_server_active_requests{http_request_method="GET"} 0.0'
        return none in told.metrics.render().decode()

    waiting = asyncio.create_task(told.call("/v1/things/7/wait"))
    await told.started.wait()
    assert not await are_none()
    told.go_on.set()
    await waiting
    await told.call("/v1/broken")
    await until(are_none)
