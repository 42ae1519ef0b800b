"""The simulation refuses what the ledger would refuse."""

from __future__ import annotations

import random

from services.jobs.priority import Share
from services.jobs.simulation import Backlog, is_too_much
from shared.ids import new_id
from shared.tenancy import ledger_key
from shared.work.governor import Governor
from tests.integration.work.bench import ACME, Bench, clear

BASES = (50, 70, 90)
chance = random.Random(11)


async def test_the_simulation_refuses_as_the_ledger_does(bench: Bench) -> None:
    answers = set()
    for _ in range(300):
        share = Share(base=chance.choice(BASES), running=1, queued=chance.choice([1, 5, 10_000]))
        depth = {base: chance.choice([0, 1, 7, 600]) for base in BASES}
        longest = chance.choice([60, 3600, 24 * 3600])
        ahead = sum(count for base, count in depth.items() if base >= share.base)
        queued, average, busy = chance.randrange(9), chance.randrange(600_000), chance.randrange(4)
        oldest = chance.choice([0, 0, 1_800_000, 100_000_000])
        backlog = Backlog(queued, ahead, average, busy, oldest)
        await make_so(bench, backlog, depth)
        place = await Governor(bench.store).admit(
            ACME,
            new_id(),
            most=share.queued,
            base=share.base,
            pool="media",
            longest_seconds=longest,
        )
        refused = is_too_much(backlog, share, longest)
        assert place.kept is not refused, (share, backlog, longest)
        answers.add((refused, queued >= share.queued))
    assert answers == {(False, False), (True, False), (True, True)}


async def make_so(bench: Bench, backlog: Backlog, depth: dict[int, int]) -> None:
    """Leave a backlog in the store as the scripts keep it."""
    await clear(bench.store)
    redis = bench.store.commands
    await redis.hset("rw:jobs:pool:media", "average_ms", str(backlog.average_ms))
    await redis.hset(ledger_key("count", ACME), "ready", str(backlog.queued))
    await redis.hset("rw:jobs:depth:media", mapping={str(b): str(n) for b, n in depth.items()})
    if backlog.oldest_ms:
        since = await bench.now() - backlog.oldest_ms
        await redis.sadd(ledger_key("lines", ACME), "media 50:1/3600/20:")
        await redis.zadd("rw:jobs:line:media:50:1/3600/20::acme", {"one": since})
    if backlog.busy:
        await redis.sadd("rw:jobs:busy:media", *(str(n) for n in range(backlog.busy)))
