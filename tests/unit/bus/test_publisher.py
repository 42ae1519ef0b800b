"""What a sender is told when the carrier does not take a command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.bus.envelope import Envelope
from shared.bus.memory import MemoryTransport
from shared.bus.publisher import Bus
from shared.bus.transport import Disconnected, PublishTimeout
from shared.contracts.jobs import StopJob
from shared.tenancy import TenantId

COMMAND = StopJob(job_id="j")
TENANT = TenantId("acme")


class Faulty(MemoryTransport):
    """Meets each try to publish with the next of its faults, the last one for ever."""

    def __init__(self, *faults: Exception | None) -> None:
        super().__init__()
        self.faults = list(faults)

    async def publish(self, envelope: Envelope) -> None:
        fault = self.faults.pop(0) if len(self.faults) > 1 else self.faults[0]
        if fault is not None:
            raise fault
        await asyncio.Event().wait()


@asynccontextmanager
async def _bus(*faults: Exception | None) -> AsyncIterator[Bus]:
    async with Bus(Faulty(*faults), "gateway") as bus:
        yield bus


async def test_a_carrier_that_was_never_there_certainly_has_not_got_it() -> None:
    async with _bus(Disconnected("away")) as bus:
        with pytest.raises(Disconnected):
            await bus.send(COMMAND, tenant=TENANT)


@pytest.mark.parametrize(
    "faults",
    [
        (None,),
        (PublishTimeout("slow"),),
        (PublishTimeout("slow"), Disconnected("away")),
        (Disconnected("away"), None),
    ],
)
async def test_a_carrier_that_may_have_it_is_not_ruled_out(
    faults: tuple[Exception | None, ...],
) -> None:
    async with _bus(*faults) as bus:
        with pytest.raises(PublishTimeout):
            await bus.send(COMMAND, tenant=TENANT)
