"""Circuit breakers that all processes share: a provider that keeps failing is left alone.

There is one for each provider and tenant. *Closed*, calls pass; after five failures in a row it is
*open* for a minute and every call is refused at once. Then it is *half open*: exactly one call may
try, whoever comes first in whatever process; if the provider answers, the breaker closes, else it
opens again. A probe holds its right for ten seconds at a time, renewed while the call goes on, so
one that was killed makes room for another.

Redis keeps the state and its ``TIME`` decides. While Redis is away nothing is refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

import msgspec

from shared.errors import Rejected, Unavailable
from shared.ids import new_id
from shared.store.redis import Store, StoreUnavailable
from shared.store.scripts import Scripts
from shared.telemetry.names import Action
from shared.tenancy import TenantId, breaker_key, tenant_id

INDEX = "rw:breakers"
"""The breakers that are not closed, by when they would be forgotten."""

Verdict = Literal["answered", "failed", "unknown"]
Judge = Callable[[BaseException], Verdict]
"""What the end of a call says about the provider."""

_ANSWER_SECONDS = 1.0
"""A breaker that takes longer to ask than this is taken for closed."""

_log = logging.getLogger(__name__)


class BreakerOpen(Unavailable):
    """Calls to a provider are suspended; ask again in ``retry_after`` seconds."""

    default_code = "breaker_open"

    def __init__(self, retry_after: float, detail: str = "") -> None:
        self.retry_after = retry_after
        super().__init__(detail)


class BreakerLaw(msgspec.Struct, frozen=True, kw_only=True):
    """When a breaker opens and for how long. A row of failures is forgotten ``window_seconds``
    after its last: one call may take minutes to fail, with the provider's own repetitions.
    """

    failures: int = 5
    window_seconds: float = 600.0
    open_seconds: float = 60.0
    probe_seconds: float = 10.0


class BreakerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A breaker that is not closed. ``opened_at`` is in milliseconds since the epoch."""

    provider: str
    tenant: str
    state: Literal["open", "half_open"]
    failures: int
    opened_at: int
    retry_after: float


@dataclass(frozen=True)
class _Call:
    """One call on its way. Where nothing had failed before, its success need not be told."""

    provider: str
    tenant: TenantId
    token: str
    is_probe: bool = False
    failures: int = 0


def judged(error: BaseException) -> Verdict:
    """What an exception says about a provider, unless the caller knows better: it has failed when
    it could not be reached in time, and has answered when it rejected the request.
    """
    if isinstance(error, (BreakerOpen, StoreUnavailable)):
        return "unknown"
    if isinstance(error, (Unavailable, TimeoutError, ConnectionError)):
        return "failed"
    return "answered" if isinstance(error, Rejected) else "unknown"


def _nobody(_provider: str, _state: str) -> None:
    """Nobody is told."""


class Breakers:
    """Lets calls to providers pass, or not. ``changed`` hears ``opened`` and ``closed``."""

    def __init__(
        self,
        store: Store,
        law: BreakerLaw | None = None,
        changed: Callable[[str, str], None] = _nobody,
    ) -> None:
        self._redis = store.commands
        self._scripts = Scripts(store, "shared.store", "lua")
        self._law = law or BreakerLaw()
        self._changed = changed

    @asynccontextmanager
    async def around(
        self, provider: str, tenant: TenantId, judge: Judge = judged
    ) -> AsyncIterator[None]:
        """Call a provider inside the block, or get :class:`BreakerOpen` before it. What the block
        raises is raised, after ``judge`` has said what it means for the breaker.
        """
        call = await self._ask(_Call(provider, tenant, new_id()))
        keeping = asyncio.create_task(self._keep(call)) if call.is_probe else None
        try:
            yield
        except BaseException as error:
            await self._tell(call, judge(error))
            raise
        else:
            await self._tell(call, "answered")
        finally:
            if keeping:
                keeping.cancel()
                await asyncio.wait({keeping})

    async def all(self) -> list[BreakerStatus]:
        """Every breaker that is not closed, by provider and tenant."""
        names = cast("list[bytes]", await self._redis.zrange(INDEX, 0, -1))
        pairs = [name.decode().split(" ") for name in sorted(names)]
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.time()
        for provider, tenant in pairs:
            pipeline.hgetall(breaker_key(provider, tenant_id(tenant)))
        (seconds, micros), *hashes = await pipeline.execute()
        now = int(seconds) * 1000 + int(micros) // 1000
        found = zip(pairs, hashes, strict=True)
        return [_status(pair, fields, now) for pair, fields in found if b"open_until" in fields]

    async def _ask(self, call: _Call) -> _Call:
        answer = await self._run("ask", call)
        if answer is None:
            return call
        verdict, wait, failures = answer
        if verdict == b"open":
            detail = f"calls to {call.provider} are suspended because they kept failing"
            raise BreakerOpen(int(wait) / 1000, detail)
        is_probe = verdict == b"probe"
        return _Call(call.provider, call.tenant, call.token, is_probe, int(failures))

    async def _keep(self, call: _Call) -> None:
        """Hold the right to probe for as long as the call goes on."""
        while True:
            await asyncio.sleep(self._law.probe_seconds / 3)
            await self._run("keep", call)

    async def _tell(self, call: _Call, verdict: Verdict) -> None:
        if not call.is_probe and (
            verdict == "unknown" or (verdict == "answered" and not call.failures)
        ):
            return  # it changes nothing
        act = "leave" if verdict == "unknown" else verdict
        state = await self._run(act, call)
        if state:
            self._note(call, state.decode())

    async def _run(self, act: str, call: _Call) -> Any:
        """The script's answer, or None while the store is away."""
        law = self._law
        seconds = (law.window_seconds, law.open_seconds, law.probe_seconds)
        times = [int(each * 1000) for each in seconds]
        name = f"{call.provider} {call.tenant}"
        args: list[str | int] = [act, call.token, name, law.failures, *times]
        keys = (breaker_key(call.provider, call.tenant), INDEX)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await self._scripts.call("breaker", keys, args)
        except (TimeoutError, StoreUnavailable):
            return None

    def _note(self, call: _Call, state: str) -> None:
        self._changed(call.provider, state)
        told = {"provider": call.provider, "tenant": call.tenant}
        if state == "closed":
            extra = {**told, "action": Action.BREAKER_CLOSED}
            _log.info("%s answers again: calls pass", call.provider, extra=extra)
            return
        extra = {**told, "action": Action.BREAKER_OPENED}
        again, rest = " again" if call.is_probe else "", self._law.open_seconds
        _log.warning("%s fails%s: no calls for %g s", call.provider, again, rest, extra=extra)


def _status(pair: list[str], fields: dict[bytes, bytes], now: int) -> BreakerStatus:
    until = max(int(fields[b"open_until"]), int(fields.get(b"probe_until", 0)))
    return BreakerStatus(
        provider=pair[0],
        tenant=pair[1],
        state="open" if int(fields[b"open_until"]) > now else "half_open",
        failures=int(fields.get(b"failures", 0)),
        opened_at=int(fields.get(b"opened_at", 0)),
        retry_after=max(0, until - now) / 1000,
    )
