"""The ledger against a small model of it, in any order of calls that chance comes up with."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from shared.errors import Conflict
from shared.ids import new_id
from shared.store.records import IllegalTransition, StaleFence
from shared.work.ledger import Claim, Ledger, NewJob
from tests.integration.work.bench import ACME, BROKEN, DONE, Bench, any_redis, clean_store, new_job

# Thousands of calls to a server: on a busy machine they take minutes.
pytestmark = pytest.mark.timeout(600)

POOLS = ("media", "drive", "media")
VIDEOS = ("v1", "v2")
ENDED = frozenset({"succeeded", "failed", "cancelled"})
Act = Callable[[Ledger, Claim], Awaitable[str]]


@dataclass
class Model:
    """What a job should be."""

    new: NewJob
    state: str = "ready"
    fence: int = 0
    done: int = 0
    attempt: int = 0
    lost: int = 0
    interrupts: int = 0
    epoch: int = 1
    snoozes: int = 0
    is_to_rest: bool = False
    ends: list[int] = field(default_factory=list)

    @property
    def pool(self) -> str:
        return POOLS[min(self.done, len(POOLS) - 1)]

    @property
    def is_held(self) -> bool:
        return self.state in {"running", "cancelling"}

    @property
    def video(self) -> str:
        return self.new.subject

    def end(self, state: str) -> str:
        self.state, self.is_to_rest = state, False
        self.ends.append(self.epoch)
        return state


class LedgerMachine(RuleBasedStateMachine):
    """Every rule does one thing to the ledger and to the model."""

    jobs: Bundle[Model] = Bundle("jobs")
    claims: Bundle[tuple[Model, Claim]] = Bundle("claims")
    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        store = self.runner.run(self.stack.enter_async_context(clean_store(self.url)))
        self.bench = Bench(store, lease_ms=600_000)
        self.models: dict[str, Model] = {}

    def teardown(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()

    @rule(target=jobs, base=st.sampled_from([0, 50, 90]), video=st.sampled_from(VIDEOS))
    def submit(self, base: int, video: str) -> Model:
        model = Model(new_job(*POOLS, base=base, subject=video, lock=None))
        self.models[model.new.id] = model
        assert self.runner.run(self.bench.ledger.submit(model.new))
        return model

    @rule(target=claims, pool=st.sampled_from(["media", "drive"]))
    def claim(self, pool: str) -> Any:
        claim = self.runner.run(self.bench.ledger.claim(pool, "w", new_id()))
        ready = [m for m in self.models.values() if m.state == "ready" and m.pool == pool]
        free = [m for m in ready if not self._holders(m.video)]
        self._note_blocked(ready, free)
        if claim is None:
            assert not free
            return multiple()
        model = self.models[claim.job.id]
        assert model in free
        model.state, model.fence = "running", model.fence + 1
        assert claim.fence == model.fence
        return model, claim

    @rule(held=claims)
    def heartbeat(self, held: tuple[Model, Claim]) -> None:
        self._fenced(held, lambda ledger, claim: ledger.heartbeat(claim), held[0].state)

    @rule(held=claims)
    def progress(self, held: tuple[Model, Claim]) -> None:
        self._fenced(held, lambda ledger, claim: ledger.progress(claim, 0.5, "x"), held[0].state)

    @rule(held=claims)
    def advance(self, held: tuple[Model, Claim]) -> None:
        model, claim = held
        step = f"s{model.done}"
        if self._fenced(held, lambda ledger, _: ledger.advance(claim, step, DONE, 0.5)):
            model.done += 1
            if model.done == len(POOLS):
                assert self.answer == model.end("succeeded")
            elif model.state == "cancelling":
                assert self.answer == model.end("cancelled")
            else:
                assert self.answer == ("paused" if self._let_go(model) == "paused" else "handed")
            self._freed(model.video)

    @rule(held=claims, again=st.booleans())
    def fail(self, held: tuple[Model, Claim], again: bool) -> None:
        model, _ = held
        delay = 1000.0 if again else None
        if self._fenced(held, lambda ledger, claim: ledger.fail(claim, BROKEN, delay)):
            if model.state == "cancelling":
                assert self.answer == model.end("cancelled")
            else:
                model.attempt += 1
                model.state = "retrying" if again else model.end("failed")
                assert self.answer == model.state
            self._freed(model.video)

    @rule(held=claims)
    def snooze(self, held: tuple[Model, Claim]) -> None:
        model, _ = held
        if self._fenced(held, lambda ledger, claim: ledger.snooze(claim, BROKEN, 1000, 3600)):
            if model.state == "cancelling":
                assert self.answer == model.end("cancelled")
            elif model.is_to_rest:
                assert self.answer == self._let_go(model)
            else:
                model.snoozes += 1
                model.state = "retrying"
                assert self.answer == "retrying"
            self._freed(model.video)

    @rule(held=claims)
    def release(self, held: tuple[Model, Claim]) -> None:
        model, _ = held
        if self._fenced(held, lambda ledger, claim: ledger.release(claim)):
            if model.state == "cancelling":
                assert self.answer == model.end("cancelled")
            else:
                model.interrupts += not model.is_to_rest
                assert self.answer == self._let_go(model)
            self._freed(model.video)

    @rule(held=claims)
    def stopped(self, held: tuple[Model, Claim]) -> None:
        model, claim = held
        if model.state == "running" and model.fence == claim.fence:
            with pytest.raises(IllegalTransition):
                self.runner.run(self.bench.ledger.stopped(claim))
        elif self._fenced(held, lambda ledger, _: ledger.stopped(claim)):
            assert self.answer == model.end("cancelled")
            self._freed(model.video)

    @rule(model=jobs)
    def pause(self, model: Model) -> None:
        call = self.bench.ledger.pause(ACME, model.new.id)
        if model.state in ENDED or model.state == "cancelling":
            with pytest.raises(Conflict):
                self.runner.run(call)
            return
        answer = self.runner.run(call)
        if model.state == "running":
            assert answer == "pausing"
            model.is_to_rest = True
            return
        assert answer == "paused"
        model.state = "paused"

    @rule(model=jobs)
    def resume(self, model: Model) -> None:
        call = self.bench.ledger.resume(ACME, model.new.id)
        if model.is_to_rest:
            assert self.runner.run(call) == model.state
            model.is_to_rest = False
        elif model.state != "paused":
            with pytest.raises(Conflict):
                self.runner.run(call)
        else:
            model.state = self.runner.run(call)
            assert model.state in {"ready", "retrying"}

    @rule(model=jobs, base=st.sampled_from([0, 50, 90]))
    def prioritize(self, model: Model, base: int) -> None:
        call = self.bench.ledger.prioritize(ACME, model.new.id, base)
        if model.state in ENDED:
            with pytest.raises(Conflict):
                self.runner.run(call)
        else:
            assert self.runner.run(call) == model.state

    @rule(model=jobs)
    def cancel(self, model: Model) -> None:
        call = self.bench.ledger.cancel(ACME, model.new.id, "")
        if model.state in ENDED:
            with pytest.raises(Conflict):
                self.runner.run(call)
            return
        answer = self.runner.run(call)
        if model.is_held:
            model.state = "cancelling"
        else:
            model.end("cancelled")
        assert answer == model.state

    @rule(model=jobs)
    def retry(self, model: Model) -> None:
        call = self.bench.ledger.retry(ACME, model.new.id)
        if model.state not in {"failed", "cancelled"}:
            with pytest.raises(Conflict):
                self.runner.run(call)
            return
        assert self.runner.run(call) == "ready"
        model.state, model.attempt, model.lost, model.is_to_rest = "ready", 0, 0, False
        model.epoch, model.fence = model.epoch + 1, model.fence + 1

    @rule(held=claims)
    def lose(self, held: tuple[Model, Claim]) -> None:
        model, claim = held
        if not model.is_held:
            return
        self.runner.run(self.bench.lapse(claim))
        assert self.runner.run(self.bench.ledger.reap()) == (1, 0, 0)
        model.fence += 1
        if model.state == "cancelling":
            model.end("cancelled")
        else:
            model.lost += 1
            _ = self._let_go(model) if model.lost < 3 else model.end("failed")
        self._freed(model.video)

    @rule(model=jobs)
    def become_due(self, model: Model) -> None:
        self.runner.run(self.bench.due(model.new))
        due = int(model.state == "retrying")
        assert self.runner.run(self.bench.ledger.reap()) == (0, due, 0)
        if due:
            model.state = "ready"

    @invariant()
    def the_ledger_agrees(self) -> None:
        for model in self.models.values():
            job = self.runner.run(self.bench.job(model.new))
            assert (job.state, job.fence, job.epoch) == (model.state, model.fence, model.epoch)
            assert (job.attempt, job.lost, job.interrupts) == (
                *(model.attempt, model.lost, model.interrupts),
            )
            assert len(job.outputs) == model.done
            events = self.runner.run(self.bench.events(model.new))
            assert [event.seq for event in events] == list(range(1, job.seq + 1))
            assert [event.epoch for event in events if event.type == "end"] == model.ends
            assert bool(job.worker) == model.is_held
            assert (job.snoozes, job.pause_requested) == (model.snoozes, model.is_to_rest)

    @invariant()
    def a_video_is_in_one_hand(self) -> None:
        for video in VIDEOS:
            assert len(self._holders(video)) <= 1

    @invariant()
    def nobody_waits_for_a_free_video(self) -> None:
        for model in self.models.values():
            assert model.state != "blocked" or self._holders(model.video) or self._others(model)

    @invariant()
    def what_is_counted_is_so(self) -> None:
        run: Callable[[Any], Any] = self.runner.run
        redis = self.bench.store.commands
        counted = run(redis.hgetall("rw:jobs:count:acme"))
        states = Counter(model.state.encode() for model in self.models.values())
        assert {state: int(number) for state, number in counted.items()} == dict(states)
        for pool in set(POOLS):
            held = [m for m in self.models.values() if m.is_held and m.pool == pool]
            lined = [m for m in self.models.values() if m.state == "ready" and m.pool == pool]
            assert run(redis.scard(f"rw:jobs:busy:{pool}")) == len(held)
            assert run(redis.scard(f"rw:jobs:running:{pool}:acme")) == len(held)
            depth = run(redis.hvals(f"rw:jobs:depth:{pool}"))
            assert sum(int(number) for number in depth) == len(lined)
        assert run(self.bench.illegal()).keys() <= {b"running>cancelled"}

    def _holders(self, video: str) -> list[Model]:
        return [m for m in self.models.values() if m.is_held and m.video == video]

    def _others(self, model: Model) -> list[Model]:
        """Who was let in before it and has yet to take the video."""
        return [
            m
            for m in self.models.values()
            if m is not model and m.video == model.video and m.state != "blocked"
        ]

    def _note_blocked(self, ready: list[Model], free: list[Model]) -> None:
        """A claim that comes upon jobs of a busy video sets them aside."""
        for model in ready:
            if model not in free and self.runner.run(self.bench.job(model.new)).state == "blocked":
                model.state = "blocked"

    def _let_go(self, model: Model) -> str:
        model.state = "paused" if model.is_to_rest else "ready"
        model.is_to_rest = False
        return model.state

    def _freed(self, video: str) -> None:
        """Of those who wait for the video, one gets back into line."""
        waiting = [m for m in self.models.values() if m.state == "blocked" and m.video == video]
        let_in = [m for m in waiting if self.runner.run(self.bench.job(m.new)).state == "ready"]
        assert len(let_in) == min(1, len(waiting))
        for model in let_in:
            model.state = "ready"

    def _fenced(self, held: tuple[Model, Claim], act: Act, expected: str = "") -> bool:
        """Whether the ledger took what this claim may do; what it may not is refused."""
        model, claim = held
        call = act(self.bench.ledger, claim)
        if not model.is_held or model.fence != claim.fence:
            with pytest.raises(StaleFence):
                self.runner.run(_awaited(call))
            return False
        self.answer = self.runner.run(_awaited(call))
        assert not expected or self.answer == expected
        return True


async def _awaited(call: Awaitable[str]) -> str:
    return await call


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with any_redis() as address:
        yield address


def test_the_ledger_does_what_its_model_does(url: str) -> None:
    LedgerMachine.url = url
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
