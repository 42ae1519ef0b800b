"""What a reader of all events of a tenant is sent, in virtual time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from services.gateway.door import Door
from services.gateway.entries import Position, Wanted
from services.gateway.follow_tenant import PROGRESS_EVERY, TenantReader
from services.gateway.watch import LOOK_EVERY, Watchers
from shared.contracts.jobs import JobChange
from shared.http.sse import EventStream
from shared.tenancy import TenantId, tenant_id
from shared.work.jobs import Jobs
from shared.work.tenant_events import TenantEvent, TenantEvents, Unfinished

ACME = tenant_id("acme")


class FakeEvents:
    """A tenant's stream, of which the last are kept."""

    def __init__(self, latest: int = 0) -> None:
        self.number = latest
        self.kept: list[TenantEvent] = []
        self.jobs: tuple[dict[str, Any], ...] = ()
        self.asked_for: list[tuple[str, ...]] = []

    def add(self, job: str, state: str, at: int, epoch: int = 1) -> None:
        self.number += 1
        kind = "end" if state in {"succeeded", "failed"} else "state"
        plain: dict[str, Any] = {"flow": "f", "subject": f"video of {job}", "at": (epoch, at)}
        event = TenantEvent(seq=self.number, type=kind, job=job, data={"state": state}, **plain)
        self.kept.append(event)

    async def latest(self, tenant: TenantId) -> int:
        return self.number

    async def after(self, tenant: TenantId, seq: int, limit: int) -> list[TenantEvent]:
        await asyncio.sleep(0)
        return [each for each in self.kept if each.seq > seq][:limit]

    async def unfinished(self, tenant: TenantId, most: int, only: Sequence[str] = ()) -> Unfinished:
        self.asked_for.append(tuple(only))
        return Unfinished(seq=self.number, more=False, jobs=self.jobs)


class FakeStream:
    """A client; what it was sent, and when. While it is slow, sending waits."""

    def __init__(self) -> None:
        self.bell = asyncio.Event()
        self.is_over = False
        self.reads = asyncio.Event()
        self.reads.set()
        self.sent: list[tuple[float, str]] = []

    async def write(self, frames: bytes) -> None:
        await self.reads.wait()
        for block in frames.decode().removesuffix("\n\n").split("\n\n"):
            self.sent.append((asyncio.get_running_loop().time(), short(block)))


def short(block: str) -> str:
    """``id event job state at``, as far as there."""
    fields = dict(re.findall(r"^(\w*): ?(.*)$", block, re.MULTILINE))
    data = msgspec.json.decode(fields.get("data", "{}"))
    if "jobs" in data:
        names = ",".join(f"{job['job']} {job['state']}" for job in data["jobs"])
        return f"{fields['id']} {fields['event']} [{names}]"
    about = (data.get("job"), data.get("state"), data.get("seq"))
    words = (fields.get("id"), fields.get("event"), *about)
    return " ".join(str(word) for word in words if word) or ":"


class Reading:
    """A reader at work."""

    def __init__(self, events: FakeEvents, **wanted: tuple[str, ...]) -> None:
        self.events = events
        self.stream = FakeStream()
        self.resets = 0
        self.watchers = Watchers(cast("Jobs", None), cast("TenantEvents", events))
        metrics = SimpleNamespace(sse_resets=self)
        self.door = cast("Door", SimpleNamespace(watchers=self.watchers, metrics=metrics))
        self.wanted = Wanted(**wanted)

    def add(self, number: int) -> None:
        self.resets += number

    @asynccontextmanager
    async def running(self, seen: Position | None = None) -> AsyncIterator[Reading]:
        stream = cast("EventStream", self.stream)
        with self.watchers.watching_tenant(ACME, self.stream.bell) as feed:
            reader = TenantReader(stream, self.door, ACME, feed, self.wanted)
            await reader.prepare(seen)
            task = asyncio.create_task(reader.follow())
            await asyncio.sleep(0.001)
            try:
                yield self
            finally:
                self.stream.is_over = True
                self.stream.bell.set()
                self.stream.reads.set()
                await task

    def told(self, job: str, state: str, at: int, kind: str = "state", epoch: int = 1) -> None:
        change = JobChange(
            tenant=ACME,
            job_id=job,
            epoch=epoch,
            seq=at,
            type=kind,
            data={"state": state},
            flow="f",
            subject=f"video of {job}",
        )
        self.watchers.hear(change)

    async def happens(self, job: str, state: str, at: int) -> None:
        """A state, in the stream and on the bus."""
        self.events.add(job, state, at)
        self.told(job, state, at)
        await asyncio.sleep(0.001)

    async def moves(self, job: str, at: int) -> None:
        """Progress, on the bus."""
        self.told(job, "running", at, "progress")
        await asyncio.sleep(0.001)

    @property
    def sent(self) -> list[str]:
        return [what for _, what in self.stream.sent]


def job(name: str, state: str, at: int) -> dict[str, Any]:
    about = {"job": name, "video": f"video of {name}", "flow": "f", "epoch": 1, "seq": at}
    return {**about, "state": state}


async def test_a_new_reader_gets_what_has_not_ended_and_then_what_comes() -> None:
    events = FakeEvents(latest=7)
    events.jobs = (job("a", "running", 3), job("b", "ready", 1))
    async with Reading(events).running() as reading:
        await reading.happens("a", "succeeded", 4)
        await reading.happens("b", "running", 2)
    assert reading.sent == [
        "1-7 snapshot [a running,b ready]",
        "1-8 end a succeeded 4",
        "1-9 state b running 2",
    ]


async def test_a_reader_that_comes_back_gets_what_it_missed_and_no_snapshot() -> None:
    events = FakeEvents()
    for at in range(1, 300):
        events.add("a", "running", at)
    async with Reading(events).running((1, 10)) as reading:
        await reading.happens("a", "succeeded", 300)
    assert reading.sent == [
        *(f"1-{seq} state a running {seq}" for seq in range(11, 300)),
        "1-300 end a succeeded 300",
    ]


async def test_a_reader_that_missed_nothing_gets_nothing() -> None:
    async with Reading(FakeEvents(latest=7)).running((1, 7)) as reading:
        assert reading.sent == []


async def test_what_is_no_longer_kept_and_what_never_was_begin_anew() -> None:
    for seen in ((1, 3), (1, 99), (2, 1), (0, 0)):
        events = FakeEvents(latest=7)
        events.add("a", "ready", 1)
        async with Reading(events).running(seen) as reading:
            assert reading.sent == ["1-8 reset []"]


async def test_a_slow_reader_whose_next_event_is_gone_begins_anew_where_the_ledger_is() -> None:
    events = FakeEvents()
    async with Reading(events).running() as reading:
        reading.stream.reads.clear()
        await reading.happens("a", "running", 1)
        for at in range(2, 400):
            events.add("a", "running", at)
        del events.kept[:300]
        events.jobs = (job("a", "running", 399),)
        reading.told("a", "running", 399)
        reading.stream.reads.set()
        await asyncio.sleep(0.01)
        await reading.happens("a", "succeeded", 400)
    assert reading.sent == [
        "1-0 snapshot []",
        "1-1 state a running 1",
        "1-399 reset [a running]",
        "1-400 end a succeeded 400",
    ]
    assert reading.resets == 1


async def test_a_slow_reader_gets_all_states_and_the_latest_progress() -> None:
    async with Reading(FakeEvents()).running() as reading:
        await reading.happens("a", "running", 1)
        reading.stream.reads.clear()
        for at in range(2, 9):
            await reading.moves("a", at)
        await reading.happens("b", "running", 1)
        await reading.happens("b", "running", 2)
        await asyncio.sleep(100)
        reading.stream.reads.set()
        await asyncio.sleep(1)
    assert reading.sent == [
        "1-0 snapshot []",
        "1-1 state a running 1",
        "progress a running 2",
        "1-2 state b running 1",
        "1-3 state b running 2",
        "progress a running 8",
    ]


async def test_progress_is_never_sent_after_the_state_that_followed_it() -> None:
    events = FakeEvents()
    async with Reading(events).running() as reading:
        await reading.happens("a", "running", 1)
        events.add("a", "succeeded", 3)
        await reading.moves("a", 2)  # the bell of the end is late
        await asyncio.sleep(LOOK_EVERY + 1)
        await reading.moves("a", 2)  # and the relay says it twice
        await asyncio.sleep(1)
    assert [what for what in reading.sent if what != ":"] == [
        "1-0 snapshot []",
        "1-1 state a running 1",
        "progress a running 2",
        "1-2 end a succeeded 3",
    ]


async def test_progress_waits_for_the_states_before_it() -> None:
    events = FakeEvents()
    async with Reading(events).running() as reading:
        events.add("a", "running", 1)
        reading.told("a", "running", 1)
        reading.told("a", "running", 2, "progress")
        await asyncio.sleep(0.01)
    assert reading.sent[1:] == ["1-1 state a running 1", "progress a running 2"]


async def test_progress_comes_at_most_four_times_a_second_and_the_last_always() -> None:
    async with Reading(FakeEvents()).running() as reading:
        await reading.happens("a", "running", 1)
        for at in range(2, 202):
            await reading.moves("a", at)
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)
    times = [when for when, what in reading.stream.sent if what.startswith("progress")]
    assert len(times) >= 8
    assert all(two - one > PROGRESS_EVERY - 1e-6 for one, two in pairwise(times))
    assert reading.sent[-1] == "progress a running 201"


async def test_progress_of_many_jobs_all_comes_in_the_end() -> None:
    names = [f"j{n}" for n in range(200)]
    async with Reading(FakeEvents()).running() as reading:
        for name in names:
            await reading.happens(name, "running", 1)
        for name in names:
            reading.told(name, "running", 2, "progress")
        await asyncio.sleep(2)
    found = [what for what in reading.sent if what.startswith("progress")]
    assert found == [f"progress {name} running 2" for name in names]


async def test_progress_of_a_job_that_ran_before_a_reader_came_is_sent() -> None:
    events = FakeEvents(latest=5)
    events.jobs = (job("a", "running", 8),)
    async with Reading(events).running((1, 5)) as reading:
        await reading.moves("a", 7)
        assert reading.sent == []
        await reading.moves("a", 9)
        assert reading.sent == ["progress a running 9"]


async def test_filters_hold_for_all_that_is_sent() -> None:
    events = FakeEvents()
    events.jobs = (job("a", "ready", 1), job("b", "ready", 1))
    async with Reading(events, job=("b",)).running() as reading:
        for name in ("a", "b"):
            await reading.happens(name, "running", 2)
            await reading.moves(name, 3)
            await asyncio.sleep(1)
    assert reading.sent == [
        "1-0 snapshot [b ready]",
        "1-2 state b running 2",
        "progress b running 3",
    ]
    assert events.asked_for == [(), ("b",)]


async def test_types_are_told_apart() -> None:
    async with Reading(FakeEvents(), type=("end", "progress")).running() as reading:
        await reading.happens("a", "running", 1)
        await reading.moves("a", 2)
        await reading.happens("a", "succeeded", 3)
    assert reading.sent[1:] == ["progress a running 2", "1-2 end a succeeded 3"]


async def test_a_reader_to_whom_nothing_matters_still_moves_on() -> None:
    async with Reading(FakeEvents(), state=("failed",)).running() as reading:
        for at in range(1, 100):
            await reading.happens("a", "running", at)
            await asyncio.sleep(1)
        await asyncio.sleep(3 * LOOK_EVERY)
    assert len(reading.sent) > 99 / LOOK_EVERY
    ids = [what for what in reading.sent if re.fullmatch(r"1-\d+", what)]
    assert len(ids) == len(set(ids)) >= 99 / LOOK_EVERY - 2
    assert ids[-1] == "1-99"
    assert reading.sent[-1] == ":"


async def test_silence_is_broken_by_comments() -> None:
    async with Reading(FakeEvents()).running() as reading:
        await asyncio.sleep(4.5 * LOOK_EVERY)
    assert reading.sent == ["1-0 snapshot []", *":" * 4]


async def test_nothing_is_left_behind() -> None:
    async with Reading(FakeEvents()).running() as reading:
        await reading.happens("a", "running", 1)
        for at in (2, 3):
            await reading.moves("a", at)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    loop: Any = asyncio.get_running_loop()
    assert [timer for timer in loop._scheduled if not timer.cancelled()] == []
    assert reading.watchers._tenants == {}
