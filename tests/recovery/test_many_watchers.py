"""Three gateways and 300 clients that are cut off at random: all of them see every state exactly
once and in order, wherever they come back, and none sees anything of another tenant.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp
import msgspec
import psutil
import pytest

from services.jobs.flows import FLOWS
from shared.contracts.records import StepStatus
from shared.ids import new_id
from shared.store.redis import Store, open_redis
from shared.tenancy import TenantId, tenant_id
from shared.work.jobs import Jobs
from shared.work.ledger import Ledger, NewJob
from shared.work.tenant_events import TenantEvents
from tests.support.client import SentEvent
from tests.support.servers import redis_database
from tests.support.stack import Stack, many_doors
from tests.support.stacks import private_names
from tests.support.subscribers import Subscriber, new_key, place, place_in_job, session_of

STEPS = tuple(msgspec.structs.replace(step, needs="") for step in FLOWS["process_video"])
LONG = {"store seconds": 5.0}
"""So that its progress can be seen also where a machine is busy with other things."""

ADMIN_KEY = "an operator"
TENANTS = ("red", "green", "blue")
JOBS = 16
PER_JOB = 4
PER_TENANT = 36
CUTS = 200
SECONDS = 150
"""A machine that does nothing else needs a tenth of that."""

pytestmark = pytest.mark.timeout(240)
STALLED = 60
ALLOWED_BYTES = 256 * 1024


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {
        "REELWAY_GATEWAY_ADMIN_KEY": ADMIN_KEY,
        "REELWAY_GATEWAY_STREAMS_PER_KEY": "200",
    }
    folder = tmp_path_factory.mktemp("doors")
    with (
        redis_database() as store,
        many_doors(folder, private_names(), store, settings=settings) as made,
    ):
        yield made


@asynccontextmanager
async def tenant_of(stack: Stack, name: str) -> AsyncIterator[Tenant]:
    """A new tenant with a key."""
    key = await new_key(stack.url, ADMIN_KEY, name)
    async with session_of(key) as session:
        yield Tenant(tenant_id(name), key, session)


@dataclass(eq=False)
class Tenant:
    """A tenant, its jobs, and its clients."""

    name: TenantId
    key: str
    session: aiohttp.ClientSession
    jobs: list[NewJob] = field(default_factory=list)
    of_job: dict[str, list[Subscriber]] = field(default_factory=dict)
    of_all: list[Subscriber] = field(default_factory=list)

    def new_job(self, *steps: StepStatus, **params: float) -> NewJob:
        """A job whose attempts fail now and then."""
        new = NewJob(
            id=new_id(),
            tenant=self.name,
            flow="process_video",
            subject=new_id(),
            base=50,
            steps=steps or STEPS,
            params={"failing": 0.05} | params,
        )
        self.jobs.append(new)
        return new

    def everybody(self) -> list[Subscriber]:
        """All its clients."""
        return [*self.of_all, *(each for some in self.of_job.values() for each in some)]

    def follow_all(self, doors: list[str], stop: str) -> Subscriber:
        """A client of all events, up to the end of the job ``stop``."""

        def is_done(event: SentEvent) -> bool:
            return event.event == "end" and event.data["job"] == stop

        self.of_all.append(Subscriber(self.session, doors, "/v1/events", is_done))
        return self.of_all[-1]

    def follow_job(self, doors: list[str], job_id: str) -> Subscriber:
        """A client of one job."""
        path = f"/v1/jobs/{job_id}/events"
        made = Subscriber(self.session, doors, path, lambda event: event.event == "end")
        self.of_job.setdefault(job_id, []).append(made)
        return made


async def test_everybody_sees_every_state_once_in_order_and_nothing_of_others(
    stack: Stack,
) -> None:
    async with AsyncExitStack() as opened, asyncio.timeout(SECONDS):
        store = await opened.enter_async_context(open_redis(stack.store_url))
        tenants = [await opened.enter_async_context(tenant_of(stack, name)) for name in TENANTS]
        last = {tenant.name: tenant.new_job() for tenant in tenants}
        async with asyncio.TaskGroup() as clients:
            for tenant in tenants:
                for _ in range(PER_TENANT):
                    subscriber = tenant.follow_all(stack.urls, last[tenant.name].id)
                    clients.create_task(_late(subscriber))
            cutting = clients.create_task(_cut(tenants))
            await _work(clients, store, stack.urls, tenants)
            await cutting
            for tenant in tenants:
                await Ledger(store).submit(last[tenant.name])
        for tenant in tenants:
            await _check(store, tenant)
    total = [each for tenant in tenants for each in tenant.everybody()]
    assert len(total) == len(TENANTS) * (PER_TENANT + JOBS * PER_JOB) == 300
    assert (
        sum(each.connections for each in total) >= len(total) + 0.9 * CUTS
    )  # some are cut twice at once
    assert stack.complaints() == []


async def _late(subscriber: Subscriber) -> None:
    await asyncio.sleep(random.uniform(0, 3))
    await subscriber.follow()


async def _work(
    clients: asyncio.TaskGroup, store: Store, doors: list[str], tenants: list[Tenant]
) -> None:
    """Submit jobs for some seconds; clients follow each from the moment it is there."""
    ledger = Ledger(store)
    for number in range(JOBS):
        for tenant in tenants:
            new = tenant.new_job(**({} if number else LONG))
            await ledger.submit(new)
            for _ in range(PER_JOB):
                clients.create_task(tenant.follow_job(doors, new.id).follow())
        await asyncio.sleep(0.3)


async def _cut(tenants: list[Tenant]) -> None:
    """Cut connections at random."""
    cuts = 0
    while cuts < CUTS:
        await asyncio.sleep(0.02)
        tenant = random.choice(tenants)
        cuts += random.choice(tenant.everybody()).cut()


async def _check(store: Store, tenant: Tenant) -> None:
    kept = await TenantEvents(store).after(tenant.name, 0, 100_000)
    truth = [(f"1-{each.seq}", each.type, each.job, each.at) for each in kept]
    for subscriber in tenant.of_all:
        first = subscriber.seen[0]
        assert first.event == "snapshot"
        assert Counter(each.event for each in subscriber.seen)["snapshot"] == 1
        assert "reset" not in {each.event for each in subscriber.seen}
        states = [
            (each.id, each.event, each.data["job"], place_in_job(each.data))
            for each in subscriber.states()
        ]
        begun = place(first.id)[1]
        assert states == truth[begun : begun + len(states)]
        assert states[-1][1:3] == ("end", tenant.jobs[0].id)
        _check_snapshot(first, truth[:begun])
        _check_progress(subscriber, {job.id: job.subject for job in tenant.jobs})
    everything = [each for subscriber in tenant.of_all for each in subscriber.seen]
    assert "progress" in {each.event for each in everything}
    for job_id, subscribers in tenant.of_job.items():
        own = await Jobs(store).events(tenant.name, job_id, (0, 0))
        ids = [f"{each.epoch}-{each.seq}" for each in own if each.type != "progress"]
        for subscriber in subscribers:
            first = subscriber.seen[0]
            after = [each for each in ids if place(each) > place(first.id)]
            assert first.event == "snapshot"
            assert first.data["id"] == job_id
            assert [each.id for each in subscriber.states() if each.id != first.id] == after
            shown = [place(each.id) for each in subscriber.seen if each.id != first.id]
            assert shown == sorted(set(shown))


def _check_snapshot(first: SentEvent, before: list[tuple[str, str, str, tuple[int, int]]]) -> None:
    """It shows what the events before it have led to."""
    latest = {job: (kind, at) for _, kind, job, at in before}
    unfinished = {job: at for job, (kind, at) in latest.items() if kind != "end"}
    shown = {each["job"]: place_in_job(each) for each in first.data["jobs"]}
    assert not first.data["more"]
    assert shown.keys() == unfinished.keys()
    assert all(shown[job] >= unfinished[job] for job in shown)


def _check_progress(subscriber: Subscriber, videos: dict[str, str]) -> None:
    """Of the tenant's own jobs, without ids, and never behind the state that followed it."""
    states: dict[str, tuple[int, int]] = {}
    all_of_it: dict[str, tuple[int, int]] = {}
    for each in subscriber.seen[1:]:
        job, at = each.data["job"], place_in_job(each.data)
        assert videos[job] == each.data["video"]
        assert at > states.get(job, (0, 0))
        if each.event == "progress":
            assert each.id == ""
        else:
            assert at > all_of_it.get(job, (0, 0))
            states[job] = at
        all_of_it[job] = max(at, all_of_it.get(job, (0, 0)))


async def test_a_client_that_stops_reading_is_dropped_and_costs_little(stack: Stack) -> None:
    gateway = stack.member("gateway 0")
    async with (
        asyncio.timeout(SECONDS),
        tenant_of(stack, "slow") as tenant,
        open_redis(stack.store_url) as store,
        AsyncExitStack() as clients,
    ):
        reader = tenant.follow_all([gateway.url, gateway.url], "nobody")
        reading = asyncio.create_task(reader.follow())
        clients.callback(reading.cancel)
        await _flood(store, tenant, 150)
        await _reads(reader, "1-150")
        before = _memory(gateway.pid)
        for _ in range(STALLED):
            clients.enter_context(_unread(gateway.url, tenant.key))
        await _until_counted(tenant.session, gateway.url, "reelway_sse_subscribers", STALLED + 1)
        await _flood(store, tenant, 650)
        await _reads(reader, "1-800")
        cost = (_memory(gateway.pid) - before) / STALLED
        dropped = 'reelway_sse_ended_total{reason="stalled"}'
        assert await _counted(tenant.session, gateway.url, dropped) == 0
        assert cost <= ALLOWED_BYTES, f"{cost / 1024:.0f} KiB"
        await _until_counted(tenant.session, gateway.url, dropped, STALLED)
        await _until_counted(tenant.session, gateway.url, "reelway_sse_subscribers", 1)


async def _flood(store: Store, tenant: Tenant, number: int) -> None:
    """So many events, of jobs that nobody will do."""
    ledger = Ledger(store)
    for _ in range(number):
        await ledger.submit(tenant.new_job(StepStatus(name="rest", pool="nobody")))


async def _reads(reader: Subscriber, event_id: str) -> None:
    while reader.last_id != event_id:  # noqa: ASYNC110 - another task reads
        await asyncio.sleep(0.05)


@contextmanager
def _unread(url: str, key: str) -> Iterator[None]:
    """A client that asks for all events and never reads."""
    address = urlsplit(url)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((address.hostname, address.port))
        lines = ("GET /v1/events HTTP/1.1", "Host: a", f"Authorization: Bearer {key}", "", "")
        client.sendall("\r\n".join(lines).encode())
        yield


async def _counted(session: aiohttp.ClientSession, url: str, name: str) -> float:
    """What a gateway has counted under a name."""
    async with session.get(f"{url}/metrics") as reply:
        lines = (await reply.text()).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


async def _until_counted(
    session: aiohttp.ClientSession, url: str, name: str, number: float
) -> None:
    while (found := await _counted(session, url, name)) != number:
        assert found < number or name.endswith("subscribers"), found
        await asyncio.sleep(0.2)


def _memory(pid: int) -> int:
    """Bytes that a process has in memory."""
    resident: int = psutil.Process(pid).memory_info().rss
    return resident
