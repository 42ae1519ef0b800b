"""Whether this process can do its work: one named check for each thing it needs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

Ping = Callable[[], Awaitable[object]]
"""Touches one thing that is needed; raises when it is not well."""

CHECK_TIMEOUT: Final = 2.0


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """How one check went; ``error`` names the kind of trouble, never addresses or secrets."""

    name: str
    ok: bool
    latency_ms: float
    error: str = ""


class Health:
    """The checks of a process, and whether it is on its way out."""

    def __init__(
        self, checks: Mapping[str, Ping] | None = None, *, timeout: float = CHECK_TIMEOUT
    ) -> None:
        self.draining = False
        self.started = time.monotonic()
        self._checks = dict(checks or {})
        self._only_told: set[str] = set()
        self._timeout = timeout

    @property
    def uptime(self) -> float:
        """Seconds since this was made."""
        return time.monotonic() - self.started

    def add(self, name: str, ping: Ping, *, needed: bool = True) -> None:
        """Check one thing more. What is not ``needed`` is told, and keeps no work away."""
        if name in self._checks:
            raise ValueError(f"there is a check {name!r} already")
        self._checks[name] = ping
        if not needed:
            self._only_told.add(name)

    async def check(self) -> tuple[Check, ...]:
        """All checks at once, each within its own time."""
        return tuple(
            await asyncio.gather(*(self._one(name, ping) for name, ping in self._checks.items()))
        )

    async def trouble(self) -> str:
        """Why no work should be sent here; empty when it should."""
        if self.draining:
            return "draining"
        failed = [check for check in await self.check() if not check.ok]
        needed = [check for check in failed if check.name not in self._only_told]
        return ", ".join(f"{check.name}: {check.error}" for check in needed)

    async def _one(self, name: str, ping: Ping) -> Check:
        began = time.monotonic()
        # gather() hands an exception over as a value, whatever it is.
        (outcome,) = await asyncio.gather(self._within(ping), return_exceptions=True)
        latency = round((time.monotonic() - began) * 1000, 3)
        if isinstance(outcome, BaseException):
            error = "timeout" if isinstance(outcome, TimeoutError) else type(outcome).__name__
            return Check(name=name, ok=False, latency_ms=latency, error=error)
        return Check(name=name, ok=True, latency_ms=latency)

    async def _within(self, ping: Ping) -> None:
        async with asyncio.timeout(self._timeout):
            await ping()
