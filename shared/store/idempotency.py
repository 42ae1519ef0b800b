"""Requests that carry an idempotency key: who may carry one out, and what it was answered.

Each key has one record, a hash that every change keeps for another 24 hours. While a request runs
its record is leased to it; a lease that nobody renews runs out, and a repetition may go on with the
same ids and with the receipt that the first one left. Only Redis ``TIME`` decides about the lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from shared.errors import IdempotencyInProgress, IdempotencyMismatch, ReelwayError, Unavailable
from shared.ids import derived_id_at, new_id
from shared.store.redis import Store
from shared.store.scripts import Refusal, Scripts

KEPT_SECONDS: Final = 24 * 3600
"""How long a key is remembered after the last that happened to it."""
LEASE_SECONDS: Final = 30.0
"""After so long a request that gives no sign of life may be taken over by its repetition."""

_AGAIN_SECONDS = 1.0


def _mismatch(detail: str) -> ReelwayError:
    return IdempotencyMismatch(detail, hint="use a new key for each new request")


def _in_progress(detail: str) -> ReelwayError:
    return IdempotencyInProgress(detail, hint="repeat it after Retry-After, with the same key")


_REFUSALS: dict[str, Refusal] = {"MISMATCH": _mismatch, "IN_PROGRESS": _in_progress}


@dataclass(frozen=True, slots=True)
class Finished:
    """A request that was carried out before; ``answer`` is what :meth:`Claim.finish` was given."""

    answer: bytes


class Idempotency:
    """The records of all idempotency keys."""

    def __init__(self, store: Store, lease_seconds: float = LEASE_SECONDS) -> None:
        self._scripts = Scripts(store, "shared.store", "lua", _REFUSALS)
        self._lease = lease_seconds

    async def begin(self, key: str, fingerprint: str) -> Claim | Finished:
        """Begin the request of a record (see ``keys.idempotency_key``), or learn how it ended.

        Raises :class:`IdempotencyMismatch` when the key belongs to a request with another
        fingerprint, :class:`IdempotencyInProgress` while another holds it.
        """
        owner, lease = new_id(), int(self._lease * 1000)
        what, *rest = await self._scripts.call(
            "idempotency_begin", [key], [fingerprint, owner, owner, lease, KEPT_SECONDS]
        )
        if what == b"finished":
            return Finished(rest[0])
        seed, since, receipt = rest
        return Claim(self._scripts, key, owner, seed.decode(), int(since), receipt, self._lease)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to carry out one request. ``receipt`` is what an earlier holder left when nothing
    but handing on was left to do; empty where there is none.
    """

    _scripts: Scripts
    _key: str
    _owner: str
    _seed: str
    _since: int
    receipt: bytes
    _lease: float

    @property
    def is_first(self) -> bool:
        """Whether nobody has begun this request before."""
        return self._seed == self._owner

    def id(self, name: str) -> str:
        """An id for something that this request makes: the same for all who carry it out."""
        return derived_id_at(self._since, self._seed, name)

    async def keep(self, receipt: bytes) -> None:
        """Leave a receipt for whoever may have to go on, or take it back with an empty one.

        Raises :class:`IdempotencyInProgress` when another has taken over: then do no more.
        """
        if not await self._hold(receipt):
            raise _in_progress("a repetition has taken this request over")

    async def finish(self, answer: bytes) -> bool:
        """Have every repetition answered so; False when another has taken over."""
        return await self._end("finished", answer)

    async def release(self) -> bool:
        """Let a repetition go on from here; False when another has taken over."""
        return await self._end("released")

    async def forget(self) -> bool:
        """Nothing was begun: free the key, unless there is a receipt. False as in ``release``."""
        return await self._end("forgotten")

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Renew the lease while the block runs. The block is cancelled, and :class:`Unavailable`
        raised, when another has taken over. A store that is away ends nothing: as long as nobody
        can be asked, nobody can take over either, and :meth:`keep` has the last word.
        """
        try:
            async with asyncio.timeout(None) as leash:
                renewing = asyncio.create_task(self._renew(leash))
                try:
                    yield
                finally:
                    renewing.cancel()
                    await asyncio.wait((renewing,))
        except TimeoutError as lost:
            if not leash.expired():
                raise
            raise Unavailable(
                "a repetition has taken this request over", code="idempotency_lost"
            ) from lost

    async def _renew(self, leash: asyncio.Timeout) -> None:
        rest = self._lease / 3
        while True:
            await asyncio.sleep(rest)
            try:
                if not await self._hold():
                    break
                rest = self._lease / 3
            except ReelwayError:
                rest = min(_AGAIN_SECONDS, self._lease / 3)
        leash.reschedule(asyncio.get_running_loop().time())

    async def _hold(self, *receipt: bytes) -> bool:
        args: list[str | bytes | int] = [
            self._owner,
            int(self._lease * 1000),
            KEPT_SECONDS,
            *receipt,
        ]
        return bool(await self._scripts.call("idempotency_hold", [self._key], args))

    async def _end(self, how: str, answer: bytes = b"") -> bool:
        args: list[str | bytes | int] = [self._owner, KEPT_SECONDS, how, answer]
        return bool(await self._scripts.call("idempotency_end", [self._key], args))
