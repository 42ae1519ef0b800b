"""Lets go of files that parcels were made of, and with them of all results of their bytes."""

from __future__ import annotations

import random
from typing import cast

from shared.store.keys import source_key
from shared.store.redis import Store
from shared.work.results import Results
from tests.recovery.parcels import SOURCES, TENANTS


class Librarian:
    """One who makes room."""

    def __init__(self, store: Store) -> None:
        self._redis = store.commands
        self._results = Results(store)

    async def round(self) -> None:
        """Let all files go that have the bytes of one source."""
        tenant, source = random.choice(TENANTS), random.choice(SOURCES)
        files = cast("list[bytes]", await self._redis.zrange(source_key(tenant, source), 0, -1))
        for file in files:
            await self._results.drop(tenant, source, file.decode())
