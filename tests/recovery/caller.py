"""Makes requests with an idempotency key, again and again and several at a time, as clients do
that get no answer, and carries them out as the gateway does.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import nullcontext

from shared.errors import Conflict
from shared.store.idempotency import Claim, Finished, Idempotency
from shared.store.keys import idempotency_key
from shared.store.records import Change, Records
from shared.store.redis import Store
from shared.tenancy import record_key
from tests.recovery.parcels import TENANTS
from tests.support.replies import HEARD, MADE
from tests.support.rights import REQUEST_MS

_TENANT = TENANTS[0]
_NEW_EVERY = 0.7
"""Seconds between two requests that are not the same."""
_LONGEST = REQUEST_MS / 1000 * 0.6
"""How long it may take to carry one out: long enough for its lease to be renewed."""
_TOO_LONG = REQUEST_MS / 1000 * 1.3
"""For so long some stand still and renew nothing: meanwhile another goes on with their request."""


class Caller:
    """One who asks until there is an answer."""

    def __init__(self, store: Store) -> None:
        self._records = Records(store, "test")
        self._idempotency = Idempotency(store, lease_seconds=REQUEST_MS / 1000)

    async def round(self) -> None:
        """Make a request that others make as well, this one or the one before it."""
        number = int(time.time() / _NEW_EVERY) - random.randrange(3)
        request = idempotency_key(_TENANT, str(number))
        found = await self._idempotency.begin(request, "the same for all")
        if isinstance(found, Finished):
            await self._note(HEARD, request, found.answer.decode())
        elif found.is_first and not random.randrange(4):
            await found.forget()  # it was refused before anything was made
        else:
            await self._carry_out(request, found)

    async def _carry_out(self, request: str, claim: Claim) -> None:
        thing = claim.receipt.decode() or claim.id("thing")
        stands_still = not random.randrange(4)
        async with nullcontext() if stands_still else claim.held():
            if not claim.receipt:
                await self._make(request, thing)
                await claim.keep(thing.encode())
            await asyncio.sleep(_TOO_LONG if stands_still else random.uniform(0, _LONGEST))
        if not random.randrange(3):
            await claim.release()
        elif await claim.finish(thing.encode()):
            await self._note(HEARD, request, thing)

    async def _make(self, request: str, thing: str) -> None:
        """Make what the request asks for, unless somebody who had begun it has made it."""
        mark = record_key(_TENANT, "made", thing)
        change = Change(_TENANT).absent(mark).mark(mark, 3600)
        try:
            await self._records.commit(change.append(MADE, 1_000_000, request=request, what=thing))
        except Conflict:
            return

    async def _note(self, where: str, request: str, what: str) -> None:
        await self._records.commit(
            Change(_TENANT).append(where, 1_000_000, request=request, what=what)
        )
