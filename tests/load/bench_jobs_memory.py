"""What takes Redis' memory while jobs wait, for ``make bench-jobs``: keys by their pattern."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import msgspec

from shared.store.redis import Store

SAMPLES = 200
_PATTERNS = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"(?<=:)t\d+(?=:|$)"), "<tenant>"),
    (re.compile(r"\d+:\d+/\d+/\d+(:[^:]*)?(?=:|$)"), "<class>"),
)


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """Keys of one pattern: how many there are, and how many bytes each job has of them."""

    pattern: str
    keys: int
    bytes_per_job: float


async def kinds(store: Store, queued: int) -> list[Kind]:
    """Every pattern of key there is, the largest first; each measured on some of its keys."""
    counts: Counter[str] = Counter()
    samples: defaultdict[str, list[bytes]] = defaultdict(list)
    async for key in store.commands.scan_iter("*", count=1000):
        pattern = pattern_of(key.decode())
        counts[pattern] += 1
        if len(samples[pattern]) < SAMPLES:
            samples[pattern].append(key)
    found = [
        Kind(
            pattern=pattern,
            keys=count,
            bytes_per_job=await _mean(store, samples[pattern]) * count / queued,
        )
        for pattern, count in counts.items()
    ]
    return sorted(found, key=lambda kind: -kind.bytes_per_job)


def pattern_of(key: str) -> str:
    """The key without what differs from job to job."""
    for expression, name in _PATTERNS:
        key = expression.sub(name, key)
    return key


async def _mean(store: Store, keys: Sequence[bytes]) -> float:
    """Bytes of one of these keys with its value, every element counted."""
    pipeline = store.commands.pipeline(transaction=False)
    for key in keys:
        pipeline.execute_command("MEMORY", "USAGE", key, "SAMPLES", "0")
    return sum(size or 0 for size in await pipeline.execute()) / len(keys)
