"""What is decided about many jobs at once: whether more is taken on, the rules of pools and
tenants, what is forgotten; and what can be said about where a job stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from shared.contracts.jobs import PoolStatus
from shared.store.records import REFUSALS
from shared.store.redis import Store
from shared.store.scripts import Scripts
from shared.tenancy import TenantId, ledger_key
from shared.work.jobs import job_key

PLACE_SECONDS = 3600
"""How long a place in line is kept for a job that is yet to be submitted."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job stands, as the ledger sees it; times in milliseconds."""

    state: str
    pool: str
    now: int
    waiting_since: int
    effective: int
    ahead: int
    ahead_is_least: bool
    needs: str
    tenant_paused: bool
    tenant_limit: int
    tenant_running: int
    pool_paused: bool
    pool_limit: int
    pool_running: int
    workers: int
    average_ms: int
    due_at: int
    pending: int
    held_by: str | None = None


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a place is kept, and the figures that decided."""

    kept: bool
    queued: int
    wait_ms: int
    average_ms: int


class Governor:
    """Changes the rules under which the ledger works."""

    def __init__(self, store: Store) -> None:
        self._redis = store.commands
        self._scripts = Scripts(store, "shared.work", "lua", REFUSALS)

    async def admit(
        self,
        tenant: TenantId,
        job_id: str,
        *,
        most: int,
        base: int,
        pool: str,
        longest_seconds: float,
    ) -> Place:
        """Keep a place for a job unless ``most`` of its tenant wait already, or those ahead of it
        in ``pool`` would keep it waiting longer than that. The same job again has its place.
        """
        args = (tenant, job_id, most, base, pool, int(longest_seconds * 1000), PLACE_SECONDS * 1000)
        answer = await self._scripts.call("admit", [job_key(tenant, job_id)], args)
        kept, queued, wait, average = (int(part) for part in answer)
        return Place(kept=bool(kept), queued=queued, wait_ms=wait, average_ms=average)

    async def stands(self, tenant: TenantId, job_id: str) -> Standing:
        """Where a job stands; :class:`NotFound` when there is none."""
        raw = await self._scripts.call("explain", [job_key(tenant, job_id)])
        return msgspec.json.decode(raw, type=Standing)

    async def set_pool(self, pool: str, *, limit: int | None, paused: bool | None) -> None:
        """Change a pool's rules; what is None stays."""
        await self._govern("pool", pool, {"limit": limit or 0} if limit is not None else {}, paused)

    async def set_tenant(self, tenant: TenantId, *, paused: bool | None) -> Mapping[str, str]:
        """Change a tenant's rules, and give them all: ``limit``, ``weight``, ``paused``."""
        return await self._govern("tenant", tenant, {}, paused)

    async def queued(self, tenant: TenantId) -> int:
        """How many jobs of a tenant wait for something."""
        counts = await self._redis.hmget(ledger_key("count", tenant), list(_QUEUED))
        return sum(int(count) for count in counts if count)

    async def pool(self, name: str) -> PoolStatus:
        """What a pool is doing."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hgetall(f"rw:jobs:pool:{name}")
        pipeline.scard(f"rw:jobs:busy:{name}")
        pipeline.hvals(f"rw:jobs:depth:{name}")
        pipeline.zrange(f"rw:jobs:workers:{name}", 0, -1)
        pipeline.smembers(f"rw:jobs:classes:{name}")
        pipeline.time()
        rules, running, depth, workers, classes, (seconds, micros) = await pipeline.execute()
        oldest = await self._oldest(name, [each.decode() for each in classes])
        now = int(seconds) * 1000 + int(micros) // 1000
        return PoolStatus(
            pool=name,
            paused=b"paused" in rules,
            limit=int(rules.get(b"limit", 0)),
            running=running,
            waiting=sum(int(n) for n in depth),
            oldest_wait_ms=max(0, now - oldest) if oldest else 0,
            average_ms=int(rules.get(b"average_ms", 0)),
            workers=tuple(each.decode() for each in workers),
        )

    async def forget(self, before: int, limit: int = 100) -> int:
        """Remove what is known of jobs that ended before a time; answers how many."""
        return int(await self._scripts.call("forget", (), [before, limit]))

    async def _oldest(self, pool: str, classes: list[str]) -> int:
        """Since when the one waits that has waited longest; 0 when nobody does."""
        pipeline = self._redis.pipeline(transaction=False)
        for each in classes:
            pipeline.zrange(f"rw:jobs:class:{pool}:{each}", 0, 0, withscores=True)
        heads = cast("list[list[tuple[bytes, float]]]", await pipeline.execute())
        return min((int(head[0][1]) for head in heads if head), default=0)

    async def _govern(
        self, sort: str, name: str, fields: Mapping[str, Any], paused: bool | None
    ) -> Mapping[str, str]:
        changed = dict(fields)
        if paused is not None:
            changed["paused"] = "1" if paused else ""
        flat = [str(part) for pair in changed.items() for part in pair]
        rules = await self._scripts.call("govern", (), [sort, name, *flat])
        words = [word.decode() for word in rules]
        return dict(zip(words[::2], words[1::2], strict=True))


_QUEUED = ("accepted", "scheduled", "ready", "blocked", "retrying", "paused")
