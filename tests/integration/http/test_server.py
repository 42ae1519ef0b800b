"""Listening, and what the small applications around it answer."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiohttp import web

from shared.errors import TooLarge, Unavailable
from shared.health import Health
from shared.http.assets import Assets, web_assets
from shared.http.client import fetch, open_session
from shared.http.probes import Probes, probe_app
from shared.http.server import CannotListen, edge_app, listening


async def test_taken_port_is_one_line_that_names_port_and_setting() -> None:
    async with listening(edge_app(lambda *_: None), "127.0.0.1", 0) as port:
        other = listening(
            edge_app(lambda *_: None), "127.0.0.1", port, setting="REELWAY_GATEWAY_PORT"
        )
        with pytest.raises(CannotListen) as caught:
            async with other:
                pass
    detail = caught.value.detail
    assert f"port {port}" in detail
    assert "REELWAY_GATEWAY_PORT" in detail
    assert "in use" in detail
    assert "\n" not in detail


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70000), ("203.0.113.1", 0)])
async def test_address_that_cannot_be_had_is_said_in_the_same_way(host: str, port: int) -> None:
    with pytest.raises(CannotListen, match="cannot listen on"):
        async with listening(edge_app(lambda *_: None), host, port):
            pass


async def test_running_request_is_finished_at_shutdown(serve: Any, route: Any) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        started.set()
        await go.wait()
        return web.Response(text="done")

    app = edge_app(lambda *_: None)
    app.router.add_get("/", slow)
    async with listening(app, "127.0.0.1", 0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await started.wait()
        asyncio.get_running_loop().call_later(0.1, go.set)
    assert (await reader.read()).endswith(b"done")
    writer.close()


async def test_request_that_never_ends_is_cancelled_at_shutdown() -> None:
    seen: list[int] = []
    started = asyncio.Event()

    async def stuck(_: web.Request) -> web.Response:
        started.set()
        await asyncio.Event().wait()
        return web.Response()

    app = edge_app(lambda *what: seen.append(what[2]))
    app.router.add_get("/", stuck)
    async with listening(app, "127.0.0.1", 0, shutdown_seconds=0.1) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await started.wait()
        began = time.monotonic()
    assert time.monotonic() - began < 30  # it would never end
    assert seen == [499]
    writer.close()


async def test_idle_connections_do_not_delay_shutdown() -> None:
    app = edge_app(lambda *_: None)
    async with listening(app, "127.0.0.1", 0, shutdown_seconds=60) as port:
        _, silent = await asyncio.open_connection("127.0.0.1", port)
        began = time.monotonic()
    assert time.monotonic() - began < 30
    silent.close()


class Clinic:
    """Health whose checks can be broken."""

    def __init__(self) -> None:
        self.well = True
        self.health = Health({"redis": self.ping})

    async def ping(self) -> None:
        if not self.well:
            raise ConnectionRefusedError("redis at 10.0.0.7")


@pytest.fixture
def clinic() -> Clinic:
    return Clinic()


@pytest.fixture
async def probes(serve: Any, clinic: Clinic) -> Any:
    answers = Probes(clinic.health, lambda: b"# HELP up Up.\nup 1\n", "1.2.3", "both")
    return await serve(app=probe_app(answers, lambda *_: None))


async def test_process_is_alive_whatever_is_broken(probes: Any, clinic: Clinic) -> None:
    clinic.well = False
    clinic.health.draining = True
    async with probes.get("/livez") as response:
        assert (response.status, await response.json()) == (200, {"status": "ok"})


async def test_process_is_ready_until_a_check_fails_or_it_drains(
    probes: Any, clinic: Clinic
) -> None:
    async with probes.get("/readyz") as response:
        assert (response.status, response.headers["Cache-Control"]) == (200, "no-store")
    clinic.well = False
    async with probes.get("/readyz") as response:
        body = await response.json(content_type=None)
        assert (response.status, body["code"]) == (503, "not_ready")
        assert body["detail"] == "redis: ConnectionRefusedError"
        assert response.headers["Retry-After"] == "5"
    clinic.health.draining = True
    async with probes.get("/readyz") as response:
        body = await response.json(content_type=None)
        assert (response.status, body["code"], body["detail"]) == (503, "draining", "draining")


async def test_vitals_name_version_role_and_checks(probes: Any, clinic: Clinic) -> None:
    async with probes.get("/health") as response:
        body = await response.json()
    assert (body["status"], body["version"], body["worker_role"]) == ("ok", "1.2.3", "both")
    assert body["uptime"] >= 0
    assert body["checks"]["redis"]["ok"] is True
    assert body["checks"]["redis"]["latency_ms"] >= 0
    clinic.well = False
    async with probes.get("/health") as response:
        body = await response.json()
    assert (response.status, body["status"]) == (200, "degraded")
    assert body["checks"]["redis"]["error"] == "ConnectionRefusedError"


async def test_metrics_are_prometheus_text(probes: Any) -> None:
    async with probes.get("/metrics") as response:
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert await response.read() == b"# HELP up Up.\nup 1\n"


class Moody:
    """Answers with the given statuses, then with 200."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.slept: list[float] = []

    async def answer(self, _: web.Request) -> web.Response:
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, body=b"x" * 100)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.mark.parametrize(
    ("statuses", "final", "tries"), [((), 200, 0), ((503, 502, 429), 200, 3), ((404,), 404, 0)]
)
async def test_get_is_tried_again_where_that_can_help(
    serve: Any, route: Any, statuses: tuple[int, ...], final: int, tries: int
) -> None:
    moody = Moody(*statuses)
    door = await serve(route("/", moody.answer))
    async with open_session() as session:
        status, _ = await fetch(session, door.url("/"), sleep=moody.sleep)
    assert (status, len(moody.slept)) == (final, tries)
    assert moody.slept == sorted(moody.slept)


async def test_server_that_stays_away_is_unavailable(serve: Any, route: Any) -> None:
    moody = Moody(*[503] * 10)
    door = await serve(route("/", moody.answer))
    async with open_session() as session:
        with pytest.raises(Unavailable, match="503"):
            await fetch(session, door.url("/"), sleep=moody.sleep)
        with pytest.raises(Unavailable, match="does not answer"):
            await fetch(session, "http://127.0.0.1:1/", sleep=moody.sleep)
    assert len(moody.slept) == 6


async def test_answer_larger_than_wanted_is_cut(serve: Any, route: Any) -> None:
    door = await serve(route("/", Moody().answer))
    async with open_session() as session:
        with pytest.raises(TooLarge):
            await fetch(session, door.url("/"), limit=99)


@pytest.fixture
async def pages(serve: Any, route: Any) -> Any:
    assets = web_assets("services.gateway", "web")
    return await serve(
        route("/docs", assets.page("docs.html")), route("/web/{path:.+}", assets.serve)
    )


async def test_page_has_charset_policy_and_etag(pages: Any) -> None:
    async with pages.get("/docs") as response:
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "script-src 'self';" in response.headers["Content-Security-Policy"]
        assert "unsafe" not in response.headers["Content-Security-Policy"]
        etag = response.headers["ETag"]
    async with pages.get("/docs", If_None_Match=etag) as response:
        assert (response.status, response.headers["ETag"]) == (304, etag)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("docs.js", "text/javascript; charset=utf-8"),
        ("vendor/swagger-ui/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("vendor/swagger-ui/swagger-ui.css", "text/css; charset=utf-8"),
        ("vendor/swagger-ui/LICENSE", "text/plain; charset=utf-8"),
        ("vendor/tus-js-client/tus.min.js", "text/javascript; charset=utf-8"),
    ],
)
async def test_files_have_their_types(pages: Any, path: str, kind: str) -> None:
    async with pages.get(f"/web/{path}") as response:
        assert (response.status, response.headers["Content-Type"]) == (200, kind)


@pytest.mark.parametrize(
    "path", ["../app.py", "%2e%2e/app.py", "vendor", "vendor/", "nothing", "..%2f..%2fpyproject"]
)
async def test_nothing_else_can_be_named(pages: Any, path: str) -> None:
    answer = await pages.raw(f"GET /web/{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")


def test_page_has_no_inline_script_or_style() -> None:
    page = web_assets("services.gateway", "web").files["docs.html"].body.decode()
    assert "<style" not in page
    assert page.count("<script") == page.count("<script src=")
    assert "://" not in page
    assert Assets({}).files == {}
