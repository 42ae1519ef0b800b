"""What the simulation decides, held against everybody who waits and not only the heads of lines."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from itertools import accumulate, islice

from hypothesis import given, settings
from hypothesis import strategies as st

from services.jobs.priority import Share
from services.jobs.simulation import MINUTE_MS, Arrival, Rules, replay
from shared.contracts.records import Tier
from shared.work.priority import NO_BOOST, Boost, Turns, effective_priority

HOUR = 60 * MINUTE_MS
TIERS: tuple[Tier, ...] = ("enterprise", "premium", "free")
# Crowded: most come while others wait, so that turns, weights and limits decide.
gaps = st.sampled_from([0, 0, 1, MINUTE_MS, 17 * MINUTE_MS, HOUR, 3 * HOUR])
works = st.sampled_from([1, MINUTE_MS, HOUR, HOUR, 90 * MINUTE_MS, 6 * HOUR])
who = st.tuples(st.sampled_from(TIERS), st.integers(0, 2))
crowds = st.lists(st.tuples(gaps, who, works), min_size=20, max_size=60)
shares = st.builds(
    Share,
    base=st.sampled_from([50, 52, 55]),
    running=st.integers(1, 3),
    queued=st.sampled_from([2, 5, 100]),
    weight=st.integers(1, 3),
)
laws = st.builds(
    Rules,
    guard_every=st.sampled_from([0, 1, 3, 20]),
    has_limits=st.booleans(),
    has_admission=st.booleans(),
    longest_wait_seconds=st.sampled_from([2 * 3600, 24 * 3600]),
    shares=st.fixed_dictionaries(dict.fromkeys(TIERS, shares)),
    boost=st.sampled_from([Boost(), NO_BOOST, Boost(rate=2, step_seconds=600, cap=7)]),
)


def crowd(steps: Iterable[tuple[int, tuple[Tier, int], int]]) -> list[Arrival]:
    news = list(steps)
    times = accumulate(gap for gap, _, _ in news)
    return [
        Arrival(at, tier, f"{tier}-{number}", work)
        for at, (_, (tier, number), work) in zip(times, news, strict=True)
    ]


class Everybody:
    """Serves whoever is due of all who wait, looking at each of them every time."""

    def __init__(self, rules: Rules, slots: int, weights: Mapping[str, int]) -> None:
        self.rules, self.slots, self.turns = rules, slots, Turns(weights)
        self.waiting: list[Arrival] = []
        self.busy: list[tuple[int, Arrival]] = []
        self.served: list[tuple[Arrival, int]] = []

    def run(self, coming: Iterable[Arrival], until: int) -> list[tuple[Arrival, int]]:
        left = deque(coming)
        while moments := [job.at for job in islice(left, 1)] + [end for end, _ in self.busy]:
            now = min(moments)
            if now >= until:
                break
            self.busy = [(end, job) for end, job in self.busy if end > now]
            while left and left[0].at == now:
                self.waiting.append(left.popleft())
            while len(self.busy) < self.slots and (free := self.free()):
                self.begin(self.best(free, now), now)
        return self.served

    def free(self) -> list[Arrival]:
        running = Counter(job.tenant for _, job in self.busy)
        limits = {tier: share.running for tier, share in self.rules.shares.items()}
        return [
            job
            for job in self.waiting
            if not self.rules.has_limits or running[job.tenant] < limits[job.tier]
        ]

    def best(self, free: list[Arrival], now: int) -> Arrival:
        every = self.rules.guard_every
        if every and (len(self.served) + 1) % every == 0:
            return min(free, key=lambda job: (job.at, job.tenant))
        return min(
            free,
            key=lambda job: (-self.level(job, now), self.turns.of(job.tenant), job.at, job.tenant),
        )

    def level(self, job: Arrival, now: int) -> int:
        base = self.rules.shares[job.tier].base
        return effective_priority(base, job.at, now, self.rules.boost)

    def begin(self, job: Arrival, now: int) -> None:
        self.waiting.remove(job)
        self.turns.charge(job.tenant)
        self.busy.append((now + job.work_ms, job))
        self.served.append((job, now))


@given(crowds, laws, st.integers(1, 3), st.integers(HOUR, 100 * HOUR))
@settings(max_examples=150, deadline=None)
def test_every_decision_is_what_looking_at_everybody_would_decide(
    steps: list[tuple[int, tuple[Tier, int], int]], rules: Rules, slots: int, until: int
) -> None:
    coming = [job for job in crowd(steps) if job.at < until]
    outcome = replay(coming, rules, slots, until)
    refused = {id(job) for job in outcome.refused}  # two may be equal, and one refused
    taken_on = [job for job in coming if id(job) not in refused]
    weights = {job.tenant: rules.shares[job.tier].weight for job in coming}
    oracle = Everybody(rules, slots, weights)
    assert outcome.served == oracle.run(taken_on, until)
    assert outcome.waiting == sorted(oracle.waiting)


@given(crowds, laws)
@settings(max_examples=50, deadline=None)
def test_nobody_gets_lost(steps: list[tuple[int, tuple[Tier, int], int]], rules: Rules) -> None:
    coming = crowd(steps)
    outcome = replay(coming, rules, 2, 50 * HOUR)
    begun = [job for job, _ in outcome.served]
    assert sorted(begun + outcome.refused + outcome.waiting) == sorted(coming)
