"""The one route table: what is registered, documented and authorised is the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from aiohttp import web

from shared.errors import ReelwayError
from shared.http.bodies import JSON, defer_continue
from shared.http.context import Handler
from shared.http.sse import EVENT_STREAM


class _Binary:
    """Bytes as they are, without a type."""


BINARY: Final = _Binary
"""Stands as ``body`` or ``reply`` where bytes are streamed."""

# As aiohttp reads them: a pattern may hold braces, one level deep.
_PARAMETER = re.compile(r"\{(?P<name>[A-Za-z_]\w*)(?::(?P<pattern>[^{}]*(?:\{[^{}]*\}[^{}]*)*))?\}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One operation of the public interface.

    ``scope`` is what a key must be allowed: None is public, empty is any valid key. ``params``
    types the parts of the path that are more than text, ``headers`` names request headers with
    their meaning, or with a type whose description it is. ``status``, ``reply`` and ``media``
    describe success, ``errors`` what can go wrong besides what every such route can answer. A body
    may be left out if ``is_body_optional``. ``opened_by`` names the part of the path whose thing a
    signed address opens (``?token=``), for clients that cannot send a header.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    name: str = ""
    body: Any = None
    is_body_optional: bool = False
    query: type[msgspec.Struct] | None = None
    reply: Any = None
    status: int = 200
    errors: tuple[type[ReelwayError], ...] = ()
    tags: tuple[str, ...] = ()
    media: tuple[str, ...] = (JSON,)
    body_media: tuple[str, ...] = (JSON,)
    scope: str | None = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)
    opened_by: str = ""

    @property
    def is_stream(self) -> bool:
        """Whether the reply is a stream of events."""
        return self.media == (EVENT_STREAM,)

    @property
    def operation(self) -> str:
        """The operation's name in documents and generated clients."""
        words = re.findall(r"[a-z0-9]+", f"{self.method} {self.path}".lower())
        return self.name or "_".join(words)


ROUTES: Final = web.AppKey("routes", dict[tuple[str, str], Route])


def register(app: web.Application, routes: Sequence[Route]) -> None:
    """Add the routes to an application; GET answers HEAD too (RFC 9110 9.1), except streams."""
    known = app.setdefault(ROUTES, {})
    for route in routes:
        also = route.method == "GET" and not route.is_stream
        for method in (route.method, "HEAD") if also else (route.method,):
            added = app.router.add_route(
                method, route.path, route.handler, expect_handler=defer_continue
            )
            assert added.resource is not None
            known[method, added.resource.canonical] = route


def route_of(request: web.Request) -> Route | None:
    """The table's entry for this request; None where aiohttp itself answers, with 404 or 405."""
    resource = request.match_info.route.resource
    table = request.app.get(ROUTES, {})
    return None if resource is None else table.get((request.method, resource.canonical))


def path_parameters(path: str) -> tuple[str, dict[str, str]]:
    """A path without its patterns, and the pattern of each parameter, empty where it has none.

    >>> path_parameters("/v1/jobs/{job:[0-9]{2}}/events")
    ('/v1/jobs/{job}/events', {'job': '[0-9]{2}'})
    """
    patterns = {found["name"]: found["pattern"] or "" for found in _PARAMETER.finditer(path)}
    return _PARAMETER.sub(r"{\g<name>}", path), patterns
