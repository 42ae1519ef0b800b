"""What operators and schedulers ask: alive, ready, how it goes, and the metrics.

These belong on a port of their own (OWASP ASVS 5.0, 13.4.5), so they ask for no key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
from aiohttp import hdrs, web

from shared.errors import Unavailable
from shared.health import Check, Health
from shared.http.bodies import json_reply
from shared.http.context import Observe
from shared.http.server import edge_app

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_FRESH: Final[dict[str, str]] = {hdrs.CACHE_CONTROL: "no-store"}


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """How this process is."""

    status: Literal["ok", "degraded", "draining"]
    version: str
    uptime: float
    worker_role: str
    checks: dict[str, Check]


@dataclass(frozen=True, slots=True)
class Probes:
    """The four answers."""

    health: Health
    render: Callable[[], bytes]
    version: str
    worker_role: str

    def routes(self) -> tuple[web.RouteDef, ...]:
        """The probes as routes for any application."""
        return (
            web.get("/livez", self.live),
            web.get("/readyz", self.ready),
            web.get("/health", self.vitals),
            web.get("/metrics", self.metrics),
        )

    async def live(self, _: web.Request) -> web.Response:
        """The event loop turns; nothing else is asked, or a lost Redis would restart everyone."""
        return json_reply({"status": "ok"}, headers=_FRESH)

    async def ready(self, _: web.Request) -> web.Response:
        """Whether work may be sent here; 503 with the reason otherwise."""
        if trouble := await self.health.trouble():
            raise Unavailable(trouble, code="draining" if self.health.draining else "not_ready")
        return json_reply({"status": "ok"}, headers=_FRESH)

    async def vitals(self, _: web.Request) -> web.Response:
        """Everything at a glance; 200 also when it goes badly, for it is an answer."""
        checks = {check.name: check for check in await self.health.check()}
        well = all(check.ok for check in checks.values())
        vitals = Vitals(
            status="draining" if self.health.draining else "ok" if well else "degraded",
            version=self.version,
            uptime=round(self.health.uptime, 3),
            worker_role=self.worker_role,
            checks=checks,
        )
        return json_reply(vitals, headers=_FRESH)

    async def metrics(self, _: web.Request) -> web.Response:
        """Prometheus text."""
        headers = {hdrs.CONTENT_TYPE: METRICS_TYPE, **_FRESH}
        return web.Response(body=self.render(), headers=headers)


def probe_app(probes: Probes, observe: Observe) -> web.Application:
    """The probes as an application for a port of their own."""
    app = edge_app(observe)
    app.add_routes(probes.routes())
    return app
