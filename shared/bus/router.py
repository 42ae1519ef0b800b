"""A service's table of contents: which handler answers which message."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self, TypeVar, get_args, get_origin

import msgspec

from shared.contracts.base import Message, Query, kind_of
from shared.tenancy import TenantId

MessageT = TypeVar("MessageT", bound=Message)
QueryT = TypeVar("QueryT", bound=Query[Any])


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler may know about the message besides its own words.

    ``message_id`` is the id on which to deduplicate and the causation of whatever follows from
    the message. There is no way to publish from here: what a handler wants to say goes into the
    service's outbox, in the same script as the change it tells of.
    """

    tenant: TenantId
    message_id: str
    correlation: str
    causation: str = ""
    attempt: int = 1
    redelivered: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """How one kind of message is decoded and handled."""

    decode: Callable[[msgspec.Raw], Message]
    handle: Callable[[Any, Context], Awaitable[object]]
    is_query: bool


class Router:
    """The handlers of one service; each kind has exactly one."""

    def __init__(self, service: str) -> None:
        self.service = service
        self._routes: dict[str, Route] = {}

    def on(
        self, message: type[MessageT], handler: Callable[[MessageT, Context], Awaitable[None]]
    ) -> Self:
        """Let ``handler`` take commands or events of this type."""
        return self._add(message, Route(_decoder(message), handler, is_query=False))

    def answer(
        self, query: type[QueryT], handler: Callable[[QueryT, Context], Awaitable[object]]
    ) -> Self:
        """Let ``handler`` answer queries of this type: it returns the query's ``Reply``."""
        return self._add(query, Route(_decoder(query), handler, is_query=True))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The wire names of the commands and events taken here."""
        return tuple(kind for kind, route in self._routes.items() if not route.is_query)

    @property
    def queries(self) -> tuple[str, ...]:
        """The wire names of the queries answered here."""
        return tuple(kind for kind, route in self._routes.items() if route.is_query)

    def find(self, kind: str) -> Route | None:
        """The route of a kind, if this service has one."""
        return self._routes.get(kind)

    def _add(self, message: type[Message], route: Route) -> Self:
        kind = kind_of(message)
        if kind in self._routes:
            raise ValueError(f"{self.service} has a handler for {kind} already")
        self._routes[kind] = route
        return self


def reply_type(query: type[Query[Any]]) -> Any:
    """What the answer to such a query is decoded as."""
    for base in getattr(query, "__orig_bases__", ()):
        if get_origin(base) is Query:
            return get_args(base)[0]
    raise TypeError(f"{query.__name__} must derive from Query[…] directly")


def _decoder(message: type[Message]) -> Callable[[msgspec.Raw], Message]:
    return msgspec.json.Decoder(message).decode
