"""What a reader of one job is sent, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from services.gateway.door import Door
from services.gateway.entries import Position
from services.gateway.follow import JobReader
from services.gateway.watch import LOOK_EVERY, Watchers
from shared.contracts.jobs import JobChange
from shared.contracts.records import Job, JobState
from shared.errors import NotFound
from shared.http.sse import EventStream
from shared.ids import new_id
from shared.tenancy import TenantId, tenant_id
from shared.work.jobs import JobEvent, Jobs
from shared.work.tenant_events import TenantEvents

ACME = tenant_id("acme")
JOB = new_id()


class FakeJobs:
    """One job and its events, of which the last are kept."""

    def __init__(self, *states: JobState, running: int = 0) -> None:
        self.record: Job | None = None
        self.kept: list[JobEvent] = []
        for state in states:
            self.add(state)
        for _ in range(running):
            self.add("running")

    def add(self, state: JobState, kind: str = "") -> None:
        kind = kind or ("end" if state in {"succeeded", "failed"} else "state")
        epoch, seq = (self.record.epoch, self.record.seq + 1) if self.record else (1, 1)
        if self.record and self.record.state == "failed":
            epoch += 1
        self.kept.append(JobEvent(epoch=epoch, seq=seq, type=kind, data={"state": state}))
        plain: dict[str, Any] = dict.fromkeys(("created_at", "updated_at", "waiting_since"), 1)
        self.record = Job(
            id=JOB,
            tenant=ACME,
            flow="f",
            subject="v",
            pool="p",
            state=state,
            base=50,
            epoch=epoch,
            seq=seq,
            **plain,
        )

    async def get(self, tenant: TenantId, job_id: str) -> Job | None:
        return self.record

    async def events(
        self, tenant: TenantId, job_id: str, after: Position, limit: int = 1000
    ) -> list[JobEvent]:
        await asyncio.sleep(0)
        return [each for each in self.kept if (each.epoch, each.seq) > after][:limit]


class FakeStream:
    """A client; what it was sent. While it is slow, sending waits."""

    def __init__(self) -> None:
        self.bell = asyncio.Event()
        self.is_over = False
        self.reads = asyncio.Event()
        self.reads.set()
        self.sent: list[str] = []

    async def write(self, frames: bytes) -> None:
        await self.reads.wait()
        for block in frames.decode().removesuffix("\n\n").split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            state = msgspec.json.decode(fields["data"])["state"]
            self.sent.append(f"{fields['id']} {fields['event']} {state}")

    async def comment(self) -> None:
        self.sent.append(":")


class Reading:
    """A reader at work."""

    def __init__(self, jobs: FakeJobs) -> None:
        self.jobs = jobs
        self.stream = FakeStream()
        self.resets = 0
        self.watchers = Watchers(cast("Jobs", jobs), cast("TenantEvents", None))
        metrics = SimpleNamespace(sse_resets=self)
        records = SimpleNamespace(get=self._accepted)
        made = {"metrics": metrics, "records": records, "jobs": jobs, "clock": lambda: 0}
        self.door = cast("Door", SimpleNamespace(watchers=self.watchers, **made))
        self.is_done = False

    def add(self, number: int) -> None:
        self.resets += number

    async def _accepted(self, *_: object) -> None:
        """Nothing was accepted."""

    @asynccontextmanager
    async def running(self, seen: Position | None = None) -> AsyncIterator[Reading]:
        stream = cast("EventStream", self.stream)
        with self.watchers.watching_job(ACME, JOB, self.stream.bell) as feed:
            reader = JobReader(stream, self.door, ACME, feed, JOB)
            await reader.prepare(seen)
            self.is_told = reader.is_told(seen)
            task = asyncio.create_task(reader.follow())
            await asyncio.sleep(0.001)
            try:
                yield self
                self.is_done = task.done()
            finally:
                self.stream.is_over = True
                self.stream.bell.set()
                self.stream.reads.set()
                await task

    async def happens(self, state: JobState, kind: str = "") -> None:
        self.jobs.add(state, kind)
        self.ring()
        await asyncio.sleep(0.001)

    def ring(self) -> None:
        last = self.jobs.kept[-1]
        place: dict[str, Any] = {"epoch": last.epoch, "seq": last.seq, "type": last.type}
        self.watchers.hear(JobChange(tenant=ACME, job_id=JOB, data={}, **place))


async def test_a_job_is_shown_and_followed_to_its_end() -> None:
    async with Reading(FakeJobs("ready")).running() as reading:
        await reading.happens("running")
        await reading.happens("running", "progress")
        await reading.happens("succeeded")
    assert reading.stream.sent == [
        "1-1 snapshot ready",
        "1-2 state running",
        "1-3 progress running",
        "1-4 end succeeded",
    ]
    assert reading.is_done


async def test_a_job_that_has_ended_is_shown_with_its_end() -> None:
    async with Reading(FakeJobs("ready", "running", "failed")).running() as reading:
        await asyncio.sleep(1)
    assert reading.stream.sent == ["1-3 snapshot failed", "1-3 end failed"]
    assert reading.is_done
    assert not reading.is_told


async def test_who_has_seen_the_end_is_told_nothing_more() -> None:
    async with Reading(FakeJobs("ready", "running", "failed")).running((1, 3)) as reading:
        await asyncio.sleep(1)
    assert reading.is_told
    assert reading.stream.sent == []
    assert reading.is_done


async def test_who_has_seen_the_end_of_an_epoch_is_told_of_the_next() -> None:
    jobs = FakeJobs("ready", "failed", "ready", "running")
    async with Reading(jobs).running((1, 2)) as reading:
        assert not reading.is_told
    assert reading.stream.sent == ["2-3 state ready", "2-4 state running"]


async def test_a_reader_that_comes_back_gets_what_it_missed() -> None:
    async with Reading(FakeJobs("ready", running=200)).running((1, 150)) as reading:
        await reading.happens("succeeded")
    assert reading.stream.sent == [
        *(f"1-{seq} state running" for seq in range(151, 202)),
        "1-202 end succeeded",
    ]


@pytest.mark.parametrize("seen", [(1, 1), (1, 9), (7, 1)])
async def test_what_is_no_longer_kept_and_what_never_was_begin_anew(seen: Position) -> None:
    jobs = FakeJobs("ready", running=5)
    del jobs.kept[:3]
    async with Reading(jobs).running(seen) as reading:
        await reading.happens("succeeded")
    assert reading.stream.sent == ["1-6 reset running", "1-7 end succeeded"]


async def test_a_slow_reader_whose_next_event_is_gone_begins_anew() -> None:
    async with Reading(FakeJobs("ready")).running() as reading:
        reading.stream.reads.clear()
        await reading.happens("running")
        for _ in range(300):
            reading.jobs.add("running")
        del reading.jobs.kept[:200]
        reading.ring()
        reading.stream.reads.set()
        await asyncio.sleep(0.01)
        await reading.happens("failed")
    assert reading.stream.sent == [
        "1-1 snapshot ready",
        "1-2 state running",
        "1-302 reset running",
        "1-303 end failed",
    ]
    assert reading.resets == 1


async def test_a_slow_reader_of_a_job_that_ended_and_whose_events_are_gone_gets_the_end() -> None:
    async with Reading(FakeJobs("ready")).running() as reading:
        reading.stream.reads.clear()
        await reading.happens("running")
        reading.jobs.add("running")
        reading.jobs.add("succeeded")
        del reading.jobs.kept[:3]
        reading.ring()
        reading.stream.reads.set()
        await asyncio.sleep(0.01)
    assert reading.stream.sent[2:] == ["1-4 reset succeeded", "1-4 end succeeded"]
    assert reading.is_done


async def test_a_job_that_was_forgotten_meanwhile_ends_the_stream() -> None:
    async with Reading(FakeJobs("ready")).running() as reading:
        await reading.happens("running")
        reading.jobs.record = None
        reading.jobs.kept[:] = [JobEvent(epoch=1, seq=9, type="state", data={"state": "running"})]
        reading.ring()
        await asyncio.sleep(0.01)
    assert reading.stream.sent == ["1-1 snapshot ready", "1-2 state running"]
    assert reading.is_done


async def test_a_job_that_there_is_not_is_said_before_the_stream_begins() -> None:
    with pytest.raises(NotFound):
        async with Reading(FakeJobs()).running():
            pass


async def test_silence_is_broken_by_comments() -> None:
    async with Reading(FakeJobs("ready")).running() as reading:
        await asyncio.sleep(2.5 * LOOK_EVERY)
    assert reading.stream.sent == ["1-1 snapshot ready", ":", ":"]
