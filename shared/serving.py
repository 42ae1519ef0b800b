"""The parts that services have in common: handlers, the outbox's relay, workers, and what each of
them tells about itself.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from pathlib import Path
from typing import Final

import msgspec

from shared.blobs.library import InPlace
from shared.blobs.reading import BlobsAndLibraries
from shared.blobs.store import Blobs, open_blobs
from shared.bus.consumer import Consumer
from shared.bus.envelope import Envelope
from shared.bus.outbox import Relay
from shared.bus.router import Context, Router
from shared.contracts.base import kind_of
from shared.contracts.jobs import JobsChanged
from shared.contracts.library import LibraryFile
from shared.errors import Unavailable
from shared.host import Runtime
from shared.store.breaker import Breakers
from shared.store.keys import library_file_key
from shared.store.outbox import RedisOutbox
from shared.store.records import Change, Records
from shared.telemetry.jobs import PoolTelemetry, count_change
from shared.telemetry.traces import current_trace
from shared.tenancy import TenantId
from shared.work.context import StepFunction
from shared.work.failures import RetryPolicy
from shared.work.ledger import Ledger
from shared.work.observer import Observer
from shared.work.outages import guarded
from shared.work.resources import Amounts, Capacity
from shared.work.reuse import Reuse
from shared.work.scratch import scratch_folder
from shared.work.worker import Worker

MIB: Final = 1 << 20


@asynccontextmanager
async def answering(runtime: Runtime, router: Router) -> AsyncIterator[None]:
    """Take the service's messages, unless this process only works."""
    if runtime.role == "worker":
        yield
        return
    consumer = Consumer(
        runtime.transport,
        router,
        around=_handling(runtime),
        settled=runtime.metrics.settled,
        clock=runtime.clock,
    )
    async with consumer.running():
        runtime.health.add(f"{router.service} consumer", _check(consumer))
        yield


def blobs_of(runtime: Runtime) -> Blobs:
    """The blob store of this process, which also reads what lies in libraries."""
    records = Records(runtime.store, "")  # only to read

    async def find(tenant: TenantId, file_id: str) -> LibraryFile | None:
        return await records.get(LibraryFile, library_file_key(tenant, file_id))

    return BlobsAndLibraries(open_blobs(runtime.blobs_url), InPlace(runtime.roots, find))


def change_of(context: Context) -> Change:
    """A change on behalf of a message: what it says hangs in the message's trace."""
    return Change(
        context.tenant,
        correlation=context.correlation,
        causation=context.message_id,
        trace=current_trace(),
    )


@asynccontextmanager
async def relaying(runtime: Runtime, service: str, *, always: bool = False) -> AsyncIterator[None]:
    """Publish what the service has to say, unless this process is only a door."""
    if runtime.role == "api" and not always:
        yield
        return
    lag, labels = runtime.metrics.outbox_lag, {"service": service}
    relay = Relay(
        runtime.transport,
        RedisOutbox(runtime.store, service),
        service,
        around=sending(runtime),
        relayed=_transitions(runtime),
        lagging=lambda seconds: lag.set(seconds, labels),
        clock=runtime.clock,
    )
    async with runtime.supervise(f"{service} outbox relay", relay.run()):
        yield


def ledger_of(runtime: Runtime) -> Ledger:
    """The ledger of work in this process's store."""
    return Ledger(runtime.store, lease_ms=int(runtime.settings.lease_seconds * 1000))


@asynccontextmanager
async def working(  # noqa: PLR0913 - the parts of a worker, put together once per pool
    runtime: Runtime,
    *,
    pool: str,
    steps: Mapping[str, StepFunction],
    blobs: Blobs,
    slots: int,
    room: Amounts | None = None,
    reuse: Reuse | None = None,
) -> AsyncIterator[None]:
    """Run the steps of a pool, unless this process is only a door. ``room`` is what its slots share
    beside the disk, which is looked at each time.
    """
    if runtime.role == "api":
        yield
        return
    name, chosen = f"{pool}-{runtime.instance}", runtime.settings
    runtime.metrics.began(pool=pool, steps=steps if reuse else ())
    async with AsyncExitStack() as stack:
        scratch = stack.enter_context(scratch_folder(runtime.data_dir, name))
        worker = Worker(
            name=name,
            pool=pool,
            steps=steps,
            ledger=ledger_of(runtime),
            blobs=guarded(blobs, Breakers(runtime.store, changed=runtime.metrics.breaker_changed)),
            transport=runtime.transport,
            scratch=scratch,
            slots=slots,
            policy=RetryPolicy(
                attempts=chosen.attempts,
                base=chosen.retry_seconds,
                longest=chosen.patience_seconds,
                silence=chosen.silence_seconds,
            ),
            observer=_observer(runtime, pool),
            capacity=Capacity(room, disk_room(scratch, chosen.disk_reserve_mb)),
            reuse=reuse,
        )
        await stack.enter_async_context(worker.running())
        yield


def disk_room(folder: Path, reserve_mb: int) -> Callable[[], Amounts]:
    """How many MiB may still be written to the disk of a folder, above a reserve. While it is none,
    steps that write wait; that ends by itself when there is room again.
    """

    def measured() -> Amounts:
        return {"disk": max(0, shutil.disk_usage(folder).free // MIB - reserve_mb)}

    return measured


def _check(consumer: Consumer) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        if not consumer.healthy:
            raise Unavailable("messages are not being taken")

    return check


def sending(runtime: Runtime) -> Callable[[Envelope], AbstractContextManager[Envelope]]:
    """Around every try to hand a message to the bus: it is counted, and hangs in the trace of
    whoever caused it. Bells and the events for watchers get no spans, they would drown the rest.
    """

    @contextmanager
    def around(envelope: Envelope) -> Iterator[Envelope]:
        outcome = "refused"
        try:
            with _span(runtime, envelope) as sent:
                yield sent
            outcome = "confirmed"
        except Unavailable as error:
            outcome = error.code.removeprefix("bus_")
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            labels = {"kind": envelope.kind, "outcome": outcome}
            runtime.metrics.bus_published.add(1, labels)

    return around


_CHANGED = kind_of(JobsChanged)


@contextmanager
def _span(runtime: Runtime, envelope: Envelope) -> Iterator[Envelope]:
    if envelope.sort == "ring" or envelope.kind == _CHANGED:
        yield envelope
        return
    with runtime.tracer.sending(envelope) as trace:
        yield msgspec.structs.replace(envelope, trace=trace)


def _handling(runtime: Runtime) -> Callable[[Envelope], AbstractContextManager[None]]:
    duration = runtime.metrics.bus_handler_duration

    @contextmanager
    def around(envelope: Envelope) -> Iterator[None]:
        began = time.monotonic()
        try:
            with runtime.tracer.around(envelope):
                yield
        finally:
            duration.record(time.monotonic() - began, {"kind": envelope.kind})

    return around


def _transitions(runtime: Runtime) -> Callable[[Envelope], Awaitable[None]]:
    async def relayed(envelope: Envelope) -> None:
        if envelope.kind != _CHANGED:
            return
        with suppress(msgspec.DecodeError):  # whoever listens for it will say so
            for change in msgspec.json.decode(envelope.body, type=JobsChanged).changes:
                count_change(runtime.metrics, change)

    return relayed


def _observer(runtime: Runtime, pool: str) -> Observer:
    told = PoolTelemetry(runtime.metrics, runtime.tracer, pool, runtime.clock)
    return Observer(
        claimed=told.claimed,
        attempt=told.attempt,
        step=told.step,
        ended=told.ended,
        looked=told.looked,
    )
