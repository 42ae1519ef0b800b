"""Following jobs: bells, what they wake, and what a reader gets, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import msgspec
import pytest

from services.gateway import watch
from services.gateway.entries import Entry, of_job
from services.gateway.tail import Missed
from services.gateway.watch import Watchers, changes, news, without_overtaken
from shared.bus.envelope import Envelope
from shared.bus.memory import MemoryTransport
from shared.contracts.base import kind_of
from shared.contracts.jobs import JobChange, JobsChanged
from shared.errors import Unavailable
from shared.tenancy import TenantId, tenant_id
from shared.work.jobs import JobEvent, Jobs
from shared.work.tenant_events import TenantEvent, TenantEvents, Unfinished

ACME, OTHER = tenant_id("acme"), tenant_id("other")


def event(seq: int, kind: str = "state", epoch: int = 1) -> JobEvent:
    return JobEvent(epoch=epoch, seq=seq, type=kind, data={"state": "running", "seq": seq})


class FakeJobs:
    """A job's event stream in memory."""

    def __init__(self, *events: JobEvent, failures: int = 0) -> None:
        self.kept = list(events)
        self.failures = failures
        self.reads: list[tuple[int, int]] = []

    async def events(
        self, tenant: TenantId, job_id: str, after: tuple[int, int], limit: int = 1000
    ) -> list[JobEvent]:
        assert (tenant, job_id) == (ACME, "j")
        self.reads.append(after)
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise Unavailable
        return [each for each in self.kept if (each.epoch, each.seq) > after][:limit]


class FakeEvents:
    """A tenant's event stream in memory."""

    def __init__(self, *unfinished: dict[str, Any]) -> None:
        self.kept: list[TenantEvent] = []
        self.unfinished_jobs = unfinished
        self.asked = 0

    async def after(self, tenant: TenantId, seq: int, limit: int) -> list[TenantEvent]:
        assert tenant == ACME
        return [each for each in self.kept if each.seq > seq][:limit]

    async def unfinished(self, tenant: TenantId, most: int, only: Sequence[str] = ()) -> Unfinished:
        self.asked += 1
        await asyncio.sleep(1)
        return Unfinished(seq=len(self.kept), more=False, jobs=self.unfinished_jobs)


def watchers(jobs: FakeJobs | None = None, events: FakeEvents | None = None) -> Watchers:
    return Watchers(cast("Jobs", jobs or FakeJobs()), cast("TenantEvents", events or FakeEvents()))


class Following:
    """A reader of one job's changes, step by step."""

    def __init__(self, jobs: FakeJobs, after: tuple[int, int] = (1, 0)) -> None:
        self.jobs = jobs
        self.bell, self.is_over = asyncio.Event(), False
        self.watchers = watchers(jobs)
        self._watching = self.watchers.watching_job(ACME, "j", self.bell)
        feed = self._watching.__enter__()
        self.changes: AsyncIterator[list[Entry] | None] = changes(
            self.bell, feed, after, lambda: self.is_over
        )

    async def all(self) -> list[int]:
        found = [batch async for batch in self.changes]
        return [
            seq for batch in found for seq in ([e.position[1] for e in batch] if batch else [0])
        ]

    async def next(self) -> list[int] | None:
        batch = await anext(self.changes)
        return None if batch is None else [entry.position[1] for entry in batch]

    def happen(self, *events: JobEvent) -> None:
        self.jobs.kept += events
        self.watchers.hear(told(events[-1].seq))

    def end(self) -> None:
        self.is_over = True
        self.bell.set()


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_events_come_in_order_up_to_the_end() -> None:
    jobs = FakeJobs(event(1), event(2, "progress"), event(3, "end"), event(4))
    assert await Following(jobs).all() == [1, 2, 3]
    assert now() == 0


async def test_a_reader_goes_on_after_what_it_has_seen() -> None:
    jobs = FakeJobs(event(1), event(2), event(3, "end"))
    assert await Following(jobs, after=(1, 2)).all() == [3]


async def test_events_of_a_new_epoch_follow_those_of_the_old() -> None:
    jobs = FakeJobs(event(7), event(8, epoch=2), event(9, "end", epoch=2))
    assert await Following(jobs, after=(1, 6)).all() == [7, 8, 9]


async def test_the_bell_wakes_a_reader_at_once() -> None:
    following = Following(FakeJobs())
    waiting = asyncio.create_task(following.next())
    await asyncio.sleep(1)
    following.happen(event(1))
    assert await waiting == [1]
    assert now() == 1


async def test_a_bell_that_was_lost_costs_time_but_no_event() -> None:
    following = Following(FakeJobs())
    waiting = asyncio.create_task(following.next())
    await asyncio.sleep(1)
    following.jobs.kept.append(event(1))
    assert await waiting is None
    assert await following.next() == [1]
    assert now() == watch.LOOK_EVERY


async def test_a_bell_that_rings_twice_shows_nothing_twice() -> None:
    following = Following(FakeJobs(event(1)))
    assert await following.next() == [1]
    following.watchers.hear(told(1))
    following.happen(event(2, "end"))
    assert await following.all() == [2]


async def test_what_happens_while_a_reader_is_slow_is_not_lost() -> None:
    following = Following(FakeJobs(event(1), event(2)))
    assert await following.next() == [1, 2]
    following.happen(event(3))
    await asyncio.sleep(600)
    following.happen(event(4, "end"))
    assert await following.all() == [3, 4]


async def test_a_reader_whose_next_event_is_gone_is_told_so() -> None:
    following = Following(FakeJobs(event(1)))
    assert await following.next() == [1]
    following.jobs.kept.clear()
    following.happen(event(9))
    with pytest.raises(Missed):
        await following.next()


async def test_a_store_that_is_away_is_waited_for() -> None:
    following = Following(FakeJobs(event(1, "end"), failures=2))
    assert await following.all() == [0, 0, 1]
    assert now() == 2 * watch.LOOK_EVERY


async def test_a_stream_that_is_over_ends_a_reader_that_waits() -> None:
    following = Following(FakeJobs())
    waiting = asyncio.create_task(following.all())
    await asyncio.sleep(1)
    following.end()
    assert await waiting == []
    assert now() == 1


async def test_no_task_is_left_behind() -> None:
    following = Following(FakeJobs())
    assert await following.next() is None
    following.end()
    assert await following.all() == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_bell_without_news_says_that_nothing_is_left() -> None:
    bell, door = asyncio.Event(), watchers(FakeJobs(event(1)))
    with door.watching_job(ACME, "j", bell) as feed:
        found = news(bell, feed, (1, 0), lambda: False)
        batch = await anext(found)
        assert batch is not None
        assert [each.position for each in batch] == [(1, 1)]
        assert await anext(found) == []
        waiting = asyncio.ensure_future(anext(found))
        await asyncio.sleep(1)
        feed.wake()
        assert await waiting == []
        assert now() == 1


async def test_a_store_that_is_away_does_not_look_like_nothing_left() -> None:
    bell, door = asyncio.Event(), watchers(FakeJobs(failures=1))
    with door.watching_job(ACME, "j", bell) as feed:
        found = news(bell, feed, (1, 0), lambda: False)
        assert await anext(found) is None
        assert await anext(found) == []


@pytest.mark.parametrize(
    ("kinds", "kept"),
    [
        ("", ""),
        ("p", "p"),
        ("ppp", "p"),
        ("sps", "sps"),
        ("pspp", "psp"),
        ("ss", "ss"),
        ("ppe", "pe"),
        ("ses", "se"),
    ],
)
def test_only_progress_is_overtaken_and_only_by_progress(kinds: str, kept: str) -> None:
    words = {"p": "progress", "s": "state", "e": "end"}
    events = [of_job("j", event(seq, words[kind])) for seq, kind in enumerate(kinds, 1)]
    assert "".join(each.type[0] for each in without_overtaken(events)) == kept


def test_of_progress_the_newest_is_kept() -> None:
    events = [event(1, "progress"), event(2, "progress"), event(3)]
    found = without_overtaken([of_job("j", each) for each in events])
    assert [each.position[1] for each in found] == [2, 3]


def told(seq: int, kind: str = "state", tenant: str = "acme") -> JobChange:
    about: dict[str, Any] = {"tenant": tenant, "job_id": "j", "flow": "f", "subject": "v"}
    return JobChange(epoch=1, seq=seq, type=kind, data={"state": "running"}, **about)


def test_a_bell_rings_for_its_job_and_its_tenant_alone() -> None:
    bells = {name: asyncio.Event() for name in ("mine", "all", "another", "other", "others")}
    door = watchers()
    with (
        door.watching_job(ACME, "j", bells["mine"]),
        door.watching_tenant(ACME, bells["all"]),
        door.watching_job(ACME, "k", bells["another"]),
        door.watching_job(OTHER, "j", bells["other"]),
        door.watching_tenant(OTHER, bells["others"]),
    ):
        door.hear(told(1))
    assert {name for name, bell in bells.items() if bell.is_set()} == {"mine", "all"}


def test_progress_of_another_tenant_is_on_nobodys_board() -> None:
    door, bell = watchers(), asyncio.Event()
    with door.watching_tenant(ACME, bell) as feed:
        feed.board.unfinished([{"job": "j", "state": "running", "epoch": 1, "seq": 1}])
        door.hear(told(2, "progress", "other"))
        assert feed.board.after(0) == []
        assert not bell.is_set()
        door.hear(told(2, "progress"))
        assert len(feed.board.after(0)) == 1
        assert bell.is_set()


def test_everybody_who_watches_a_job_is_woken() -> None:
    door, one, two = watchers(), asyncio.Event(), asyncio.Event()
    with door.watching_job(ACME, "j", one) as first, door.watching_job(ACME, "j", two) as second:
        assert first is second
        door.hear(told(1))
    assert one.is_set()
    assert two.is_set()


def test_nothing_is_kept_of_those_who_left() -> None:
    door = watchers()
    empty = watchers(cast("FakeJobs", door.jobs), cast("FakeEvents", door.events))
    job, everything = asyncio.Event(), asyncio.Event()
    with door.watching_job(ACME, "j", job), door.watching_tenant(ACME, everything):
        assert (door._jobs, door._tenants) != (empty._jobs, empty._tenants)
    door.hear(told(1))
    assert (door._jobs, door._tenants) == (empty._jobs, empty._tenants)


async def test_many_who_begin_to_follow_a_tenant_ask_the_ledger_once() -> None:
    moving = {"job": "j", "state": "running", "epoch": 1, "seq": 5}
    events = FakeEvents(moving)
    door = watchers(events=events)
    with door.watching_tenant(ACME, asyncio.Event()) as feed:
        await asyncio.gather(*(feed.begin(door.events, ACME) for _ in range(10)))
        assert events.asked == 1
        door.hear(told(4, "progress"))
        assert feed.board.after(0) == []
        door.hear(told(6, "progress"))
        assert [entry.at for _, entry in feed.board.after(0)] == [(1, 6)]


async def test_what_the_stream_says_decides_whose_progress_is_shown() -> None:
    events = FakeEvents()
    door, bell = watchers(events=events), asyncio.Event()
    plain: dict[str, Any] = {"job": "j", "flow": "f", "subject": "v"}
    with door.watching_tenant(ACME, bell) as feed:
        await feed.begin(door.events, ACME)
        door.hear(told(1))
        door.hear(told(2, "progress"))
        assert feed.board.after(0) == []
        running = TenantEvent(seq=1, type="state", at=(1, 1), data={"state": "running"}, **plain)
        events.kept.append(running)
        assert len(await feed.tail.after((1, 0))) == 1
        assert len(feed.board.after(0)) == 1
        ended = TenantEvent(seq=2, type="end", at=(1, 3), data={"state": "failed"}, **plain)
        events.kept.append(ended)
        feed.ring()
        assert len(await feed.tail.after((1, 1))) == 1
        door.hear(told(2, "progress"))
        door.hear(told(1))
        assert feed.board.after(0) == []


def carried(body: bytes) -> Envelope:
    return Envelope(
        id="m",
        kind=kind_of(JobsChanged),
        sort="event",
        tenant="acme",
        correlation="c",
        sent_at=0,
        body=msgspec.Raw(body),
    )


async def test_the_bus_rings_and_what_cannot_be_read_is_passed_over() -> None:
    door, transport, bell = watchers(), MemoryTransport(), asyncio.Event()
    listening = asyncio.create_task(door.listen(transport))
    with door.watching_job(ACME, "j", bell):
        await asyncio.sleep(0.1)
        rung = msgspec.json.encode(JobsChanged(changes=(told(1),)))
        for body in [b'{"kind":"jobs.changed.v2"}', b"[]", rung]:
            await transport.publish(carried(body))
        await asyncio.wait_for(bell.wait(), 60)
    listening.cancel()
    await asyncio.wait([listening])
    await transport.close()
