"""What must not be there any more when every job has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import redis

from shared.bus.connect import connect
from tests.support.aof import groups
from tests.support.checks import told_once
from tests.support.processes import RedisProcess
from tests.support.teller import told_by

_GONE = (
    *(f"rw:jobs:{name}" for name in ("leases", "delayed", "expiring")),
    *(f"rw:jobs:{name}:*" for name in ("line", "class", "classes", "lines", "running", "busy")),
    *(f"rw:t:*:{name}:*" for name in ("lock", "blocked")),
    "rw:t:*:job:*:pending",
)
"""Keys of the ledger that are about jobs that wait or run; Redis has none that are empty."""


def is_all_told(server: RedisProcess) -> bool:
    """Whether everything that was to be said has been said and taken in."""
    with redis.Redis.from_url(server.url) as eyes:
        if eyes.xlen("rw:outbox:jobs"):
            return False
    return not told_once(told_by(groups(server.folder)))


def is_at_rest(server: RedisProcess) -> bool:
    """Whether nothing waits or runs, or will be made, and all of it has been told."""
    with redis.Redis.from_url(server.url, decode_responses=True) as eyes:
        if eyes.exists("rw:jobs:schedules") or next(kept(eyes), None):
            return False
    return is_all_told(server)


def kept(eyes: redis.Redis) -> Iterator[str]:
    """What the ledger keeps as if jobs still waited or ran."""
    for pattern in _GONE:
        yield from cast("Iterator[str]", eyes.scan_iter(pattern, count=1000))
    for key in eyes.scan_iter("rw:jobs:depth:*", count=1000):
        depths = cast("dict[str, str]", eyes.hgetall(key))
        yield from (f"{key} {base}: {depth}" for base, depth in depths.items() if depth != "0")


def miscounted(eyes: redis.Redis, held: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """States of which a tenant has another number of jobs than the ledger has counted."""
    are = Counter((fields["tenant"], fields["state"]) for fields in held.values())
    counted = {
        (tenant, state): int(number)
        for tenant in {tenant for tenant, _ in are}
        for state, number in cast("dict[str, str]", eyes.hgetall(f"rw:jobs:count:{tenant}")).items()
    }
    for pair in set(are) | set(counted):
        if are[pair] != counted.get(pair, 0):
            yield f"{pair}: {are[pair]} jobs, {counted.get(pair, 0)} counted"


async def buried(amqp: str, queues: Sequence[str]) -> list[str]:
    """Messages that nobody could handle, with the reason."""
    async with connect(amqp, name="leftovers") as transport:
        return [
            f"{letter.reason}: {letter.raw[:200]!r}"
            for queue in queues
            for letter in await transport.buried(queue)
        ]
