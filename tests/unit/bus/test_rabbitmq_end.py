"""What listens to RabbitMQ ends, though the library may lose a cancellation."""

from __future__ import annotations

import asyncio

from shared.bus.rabbitmq_link import end


class Deaf:
    """Loses its first cancellations."""

    def __init__(self, lost: int) -> None:
        self.lost = lost

    async def run(self) -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self.lost -= 1
                if self.lost < 0:
                    raise


async def test_a_task_that_loses_cancellations_is_asked_again() -> None:
    for lost in (0, 1, 3):
        task = asyncio.create_task(Deaf(lost).run())
        await asyncio.sleep(0)
        async with asyncio.timeout(60):
            await end(task)
        assert task.cancelled()


async def test_a_task_that_has_ended_is_left_alone() -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    await task
    await end(task)
    assert not task.cancelled()
