"""One upload whatever happens on its way: a whole gateway, drive's handlers, a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
import pytest

from services.drive.handlers import DriveHandlers
from services.drive.pieces import Pieces
from services.gateway.service import GATEWAY
from services.gateway.settings import Settings
from services.gateway.tenants import Tenants
from shared.blobs.store import open_blobs
from shared.bus.consumer import Consumer
from shared.bus.envelope import Envelope
from shared.bus.memory import MemoryTransport
from shared.bus.transport import Full
from shared.clock import now_ms
from shared.health import Health
from shared.host import Runtime
from shared.settings import HostSettings
from shared.store.keys import accepted_key, idempotency_key
from shared.store.records import Records
from shared.store.redis import Store
from shared.store.space import Space
from shared.store.uploads import Uploads
from shared.telemetry.metrics import new_metrics
from shared.telemetry.traces import new_tracer
from shared.work.jobs import Jobs
from shared.work.results import Results
from tests.integration.work.bench import ACME
from tests.support.bus import until

VIDEO = b"v" * 5000
COMMAND = "drive.complete_upload.v1"
RECEIVED = 'reelway_upload_bytes_total{protocol="single"'


class Bus(MemoryTransport):
    """Meets the command with a fault, before drive has got it or after."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: Exception | None = None
        self.is_late = False
        self.sent: list[Envelope] = []

    async def publish(self, envelope: Envelope) -> None:
        is_command = envelope.kind == COMMAND
        if is_command and self.fault and not self.is_late:
            raise self.fault
        await super().publish(envelope)
        if is_command:
            self.sent.append(envelope)
        if is_command and self.fault:
            raise self.fault

    def fail(self, fault: Exception | None, *, is_late: bool = False) -> None:
        self.fault, self.is_late = fault, is_late


@dataclass
class House:
    """A running gateway and what stands behind it."""

    url: str
    session: aiohttp.ClientSession
    store: Store
    bus: Bus
    blobs: Path
    runtime: Runtime

    async def upload(self, data: Any = VIDEO, key: str | None = "k1") -> tuple[int, Any]:
        """Status and body of an upload; the headers are in the body as ``headers``."""
        headers = {"Idempotency-Key": key} if key else {}
        path = f"{self.url}/v1/videos?name=a.mp4"
        async with self.session.post(path, data=data, headers=headers) as reply:
            return reply.status, await reply.json() | {"headers": reply.headers.copy()}

    async def submits(self) -> list[dict[str, Any]]:
        """The jobs that drive has asked for."""
        entries: Any = await self.store.commands.xrange("rw:outbox:drive")
        return [msgspec.json.decode(fields[b"body"]) for _, fields in entries]

    def incoming(self) -> list[Path]:
        return [path for path in self.blobs.rglob("incoming/*") if path.is_file()]

    def received(self) -> int:
        lines = self.runtime.metrics.render().decode().splitlines()
        (line,) = [line for line in lines if line.startswith(RECEIVED)]
        return int(float(line.split()[-1]))


@pytest.fixture
async def house(store: Store, tmp_path: Path) -> AsyncIterator[House]:
    runtime = Runtime(
        settings=HostSettings(store_url=store.url),
        transport=Bus(),
        store=store,
        blobs_url=(tmp_path / "blobs").as_uri(),
        data_dir=tmp_path,
        health=Health(),
        metrics=new_metrics(),
        tracer=new_tracer(),
        instance="here",
        stopping=asyncio.Event(),
    )
    tenants = Tenants(Records(store, "gateway"), now_ms)
    await tenants.create(ACME)
    key = (await tenants.create_key(ACME)).key
    blobs = open_blobs(runtime.blobs_url)
    drive = DriveHandlers(
        records=Records(store, "drive"),
        blobs=blobs,
        jobs=Jobs(store),
        results=Results(store),
        pieces=Pieces(Uploads(store, "drive"), blobs, Space(store), now_ms),
        space=Space(store),
    )
    async with AsyncExitStack() as stack:
        stack.callback(runtime.metrics.close)
        stack.callback(runtime.tracer.close)
        await stack.enter_async_context(Consumer(runtime.transport, drive.router()).running())
        url = await stack.enter_async_context(GATEWAY.run(runtime, Settings(port=0)))
        headers = {"Authorization": f"Bearer {key}"}
        session = await stack.enter_async_context(aiohttp.ClientSession(headers=headers))
        assert isinstance(runtime.transport, Bus)
        yield House(str(url), session, store, runtime.transport, tmp_path / "blobs", runtime)


def ids(reply: Any) -> tuple[str, str]:
    """The video and the job that an answer names."""
    return reply["video"]["id"], reply["job"]["id"]


async def test_a_repeated_upload_is_one_upload(house: House) -> None:
    _, first = await house.upload()
    status, again = await house.upload()
    assert status == 202
    replayed = again.pop("headers")
    assert replayed["Idempotency-Replayed"] == "true"
    assert replayed["Location"] == f"/v1/jobs/{again['job']['id']}"
    assert again == {name: value for name, value in first.items() if name != "headers"}
    assert (house.received(), len(house.incoming()), len(house.bus.sent)) == (5000, 1, 1)
    (submit,) = await house.submits()
    assert submit["job_id"] == again["job"]["id"]


async def test_the_same_upload_without_a_key_is_another(house: House) -> None:
    _, first = await house.upload(key=None)
    _, second = await house.upload(key=None)
    assert ids(first) != ids(second)
    assert len(await house.submits()) == 2


async def test_of_many_at_once_one_is_taken(house: House) -> None:
    replies = await asyncio.gather(*(house.upload() for _ in range(8)))
    assert {status for status, _ in replies} <= {202, 409}
    taken = [reply for status, reply in replies if status == 202]
    assert len({ids(reply) for reply in taken}) == 1
    assert (house.received(), len(await house.submits()), len(house.incoming())) == (5000, 1, 1)


@pytest.mark.parametrize("is_late", [False, True], ids=["before confirm", "after confirm"])
async def test_what_broke_while_drive_was_told_is_gone_on_with(
    house: House, *, is_late: bool
) -> None:
    house.bus.fail(RuntimeError("broken"), is_late=is_late)
    assert (await house.upload())[0] == 500
    assert len(await house.submits()) == int(is_late)
    (stored,) = house.incoming()
    house.bus.fail(None)
    status, taken = await house.upload()
    assert (status, house.received()) == (202, 5000)  # the body was not read again
    (submit,) = await house.submits()
    assert submit["job_id"] == taken["job"]["id"]
    assert submit["subject"] == taken["video"]["id"]
    assert submit["params"]["upload_id"] == stored.name
    assert {envelope.id for envelope in house.bus.sent} == {stored.name}
    assert "Idempotency-Replayed" not in taken["headers"]
    _, again = await house.upload()
    assert ids(taken) == ids(again)
    assert again["headers"]["Idempotency-Replayed"] == "true"


async def test_what_is_only_handed_on_is_answered_before_a_byte_is_sent(house: House) -> None:
    house.bus.fail(RuntimeError("broken"))
    await house.upload()
    house.bus.fail(None)
    head = (
        "POST /v1/videos?name=a.mp4 HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k1\r\n"
        f"Authorization: {house.session.headers['Authorization']}\r\n"
        "Expect: 100-continue\r\nContent-Length: 5000\r\n\r\n"
    )
    parts = urlsplit(house.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(head.encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert b"\r\nConnection: close\r\n" in answer


async def test_what_drive_certainly_did_not_get_is_let_go_and_taken_again(house: House) -> None:
    house.bus.fail(Full("full"))
    status, problem = await house.upload()
    assert (status, problem["code"], house.incoming()) == (503, "bus_full", [])
    assert (await house.upload())[0] == 503
    house.bus.fail(None)
    assert (await house.upload())[0] == 202
    assert (house.received(), len(await house.submits()), len(house.incoming())) == (15000, 1, 1)
    assert len(await house.store.commands.keys("*:accepted:*")) == 2  # always the same two ids


async def test_what_drive_may_have_got_is_never_let_go(house: House) -> None:
    house.bus.fail(RuntimeError("broken"), is_late=True)
    await house.upload()
    house.bus.fail(Full("full"))
    assert (await house.upload())[0] == 503
    assert len(house.incoming()) == 1
    house.bus.fail(None)
    assert (await house.upload())[0] == 202
    assert len(await house.submits()) == 1


async def test_who_was_replaced_tells_drive_nothing(house: House) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield VIDEO
        record = idempotency_key(ACME, "k1")
        await until(lambda: house.store.commands.exists(record))
        change: Any = house.store.commands.hset(record, "owner", "another")
        await change
        yield VIDEO

    status, problem = await house.upload(slowly())
    assert (status, problem["code"]) == (409, "idempotency_in_progress")
    assert (house.bus.sent, await house.submits()) == ([], [])


async def test_an_upload_that_is_refused_leaves_its_key_for_a_better_one(house: House) -> None:
    status, problem = await house.upload(b"")
    assert (status, problem["code"]) == (400, "empty_file")
    assert (await house.upload())[0] == 202


async def test_what_was_accepted_is_shown_by_the_ids_of_the_answer(house: House) -> None:
    house.bus.fail(RuntimeError("broken"), is_late=True)
    await house.upload()
    house.bus.fail(None)
    _, taken = await house.upload()
    video = taken["video"]["id"]
    assert await house.store.commands.exists(accepted_key(ACME, video))
    async with house.session.get(f"{house.url}/v1/videos/{video}") as reply:
        assert (reply.status, (await reply.json())["name"]) == (200, "a.mp4")
