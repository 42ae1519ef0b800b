"""The order of claims, checked against the law of priority and turns as an oracle."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shared.ids import new_id
from shared.tenancy import tenant_id
from shared.work.jobs import job_key
from shared.work.ledger import Claim, NewJob
from shared.work.priority import Boost, Head, Turns, choose
from tests.integration.work.bench import DONE, Bench, any_redis, clean_store, new_job

# Thousands of calls to a server: on a busy machine they take minutes.
pytestmark = pytest.mark.timeout(600)

HOUR = 3_600_000
TENANTS = tuple(f"t{number}" for number in range(7))
claims_checked = Counter[str]()


@dataclass(frozen=True)
class Waiting:
    base: int
    tenant: str
    waited: int
    boost: Boost

    def job(self, rules: Rules) -> NewJob:
        return new_job(
            "media",
            base=self.base,
            tenant=tenant_id(self.tenant),
            boost=self.boost,
            running=rules.limit,
            weight=rules.weights.get(self.tenant, 1),
        )


@dataclass(frozen=True)
class Rules:
    limit: int
    weights: dict[str, int]


@dataclass
class Oracle:
    """Who is to be served next, by the definition."""

    rules: Rules
    now: int
    left: dict[str, tuple[Waiting, int]]
    served: int
    turns: Turns
    running: Counter[str] = field(default_factory=Counter)

    def expected(self) -> Head | None:
        return choose(self._heads(), self.turns, self.now, self.served)

    def _heads(self) -> list[Head]:
        oldest: dict[tuple[str, str], Head] = {}
        for each, since in self.left.values():
            line = f"{each.base}:{each.boost}:"
            known = oldest.get((each.tenant, line))
            is_full = 0 < self.rules.limit <= self.running[each.tenant]
            if not is_full and (known is None or since < known.since):
                oldest[each.tenant, line] = Head(
                    tenant=each.tenant, base=each.base, since=since, boost=each.boost, line=line
                )
        return list(oldest.values())

    def take(self, job_id: str) -> tuple[str, str, int]:
        """What was taken, as the definition sees it."""
        each, since = self.left.pop(job_id)
        self.served += 1
        self.turns.charge(each.tenant)
        self.running[each.tenant] += 1
        return each.tenant, f"{each.base}:{each.boost}:", since


waits = st.builds(
    # Away from the whole hours, so that the test's own seconds make no difference.
    lambda hours, minute: hours * HOUR + minute * 60_000,
    st.integers(0, 30),
    st.sampled_from([2, 17, 41]),
)
boosts = st.sampled_from([Boost(), Boost(), Boost(rate=0), Boost(cap=3), Boost(rate=4, cap=40)])
bases = st.sampled_from([0, 50, 55, 70, 90, 110])
jobs = st.lists(
    st.builds(Waiting, bases, st.sampled_from(TENANTS), waits, boosts), min_size=20, max_size=60
)
every_rule = st.builds(
    Rules,
    limit=st.sampled_from([0, 0, 1, 3]),
    weights=st.dictionaries(st.sampled_from(TENANTS), st.integers(1, 4)),
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with any_redis() as address:
        yield address


@given(line=jobs, rules=every_rule, chance=st.randoms(use_true_random=False))
@settings(
    max_examples=130,
    deadline=None,
    phases=[Phase.generate],  # shrinking asks the server thousands of times
    suppress_health_check=list(HealthCheck),
)
def _check(url: str, line: list[Waiting], rules: Rules, chance: random.Random) -> None:
    asyncio.run(_claim_all(url, line, rules, chance))


def test_thousands_of_claims_follow_the_law_of_priority_and_turns(url: str) -> None:
    claims_checked.clear()
    _check(url)
    assert claims_checked["right"] > 2_000


async def _claim_all(url: str, line: list[Waiting], rules: Rules, chance: random.Random) -> None:
    async with clean_store(url) as store:
        bench = Bench(store, lease_ms=60_000)
        oracle = await _stand_in_line(bench, line, rules)
        held: list[Claim] = []
        while oracle.left:
            due = oracle.expected()
            claim = await bench.ledger.claim("media", "w", new_id())
            if claim is None:
                assert due is None
            else:
                assert due is not None
                assert oracle.take(claim.job.id) == (due.tenant, due.line, due.since)
                claims_checked["right"] += 1
                held.append(claim)
            if held and (claim is None or chance.random() < 0.5):
                done = held.pop(chance.randrange(len(held)))
                await bench.ledger.advance(done, "s0", DONE, 1.0)
                oracle.running[done.job.tenant] -= 1


async def _stand_in_line(bench: Bench, line: list[Waiting], rules: Rules) -> Oracle:
    """Every job in its line since when it shall have waited."""
    redis, news = bench.store.commands, [(each.job(rules), each) for each in line]
    now = await bench.now()
    for new, each in news:
        await bench.ledger.submit(new)
        key = job_key(new.tenant, new.id)
        # Out of its line and in again: a paused job comes back with the wait it had.
        await bench.ledger.pause(new.tenant, new.id)
        await redis.hset(key, "waited", str(each.waited))
        await bench.ledger.resume(new.tenant, new.id)
    left = {new.id: (each, (await bench.job(new)).waiting_since) for new, each in news}
    turns = Turns(weights=rules.weights)
    return Oracle(rules=rules, now=now, left=left, served=0, turns=turns)
