"""Calls something outside that is away every other second, behind its breaker."""

from __future__ import annotations

import asyncio
import random
import time

from shared.errors import Unavailable
from shared.store.breaker import BreakerLaw, Breakers
from shared.store.redis import Store
from tests.recovery.parcels import TENANTS
from tests.support.rights import PROBE_MS

_LAW = BreakerLaw(failures=2, window_seconds=5.0, open_seconds=0.2, probe_seconds=PROBE_MS / 1000)
_LONGEST = PROBE_MS / 1000 * 0.6
"""How long a call may take: long enough for a probe to renew its right."""


class Provider:
    """One who needs it."""

    def __init__(self, store: Store) -> None:
        self._breakers = Breakers(store, _LAW)

    async def round(self) -> None:
        """Call it once."""
        async with self._breakers.around("post", TENANTS[0]):
            await asyncio.sleep(random.uniform(0, _LONGEST))
            if int(time.time()) % 2:
                raise Unavailable("the post office is closed")
