"""taskiq's side of ``make bench-jobs``, with taskiq-aio-pika and taskiq-redis. Runs in
``.venv-bench``, which has nothing of Reelway.

``python -m tests.load.bench_jobs_taskiq`` submits (see :mod:`tests.load.bench_jobs_line`); the
worker is ``python -m taskiq worker tests.load.bench_jobs_taskiq:broker``.

Set up for work that must not be lost: a quorum queue with a dead-letter queue, persistent messages
and publisher confirms (both its defaults), acknowledged when the result has been saved in Redis
(``--ack-type when_saved``, its default too).
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from taskiq_aio_pika import AioPikaBroker
from taskiq_aio_pika.queue import Queue, QueueType
from taskiq_redis import RedisAsyncResultBackend

from tests.load.bench_jobs_line import PREFETCH, Submitted, a_payload, gathered, serve_line

QUEUE = "taskiq"
_DAY = 24 * 3600

broker = AioPikaBroker(
    os.environ["BENCH_AMQP_URL"],
    qos=PREFETCH,
    task_queues=[Queue(name=QUEUE, type=QueueType(os.environ.get("BENCH_QUEUE", "quorum")))],
).with_result_backend(
    RedisAsyncResultBackend(os.environ["BENCH_REDIS_URL"], result_ex_time=_DAY),
)


async def noop(subject: str, name: str, size: int) -> dict[str, Any]:
    """The step that does nothing."""
    return {}


work = broker.register_task(noop, task_name="noop")


async def submit() -> str:
    """One job, confirmed by the broker."""
    return str((await work.kiq(**a_payload())).task_id)


async def main() -> None:
    """Submit on demand."""

    async def batch(count: int) -> Submitted:
        return await gathered(count, submit)

    await broker.startup()
    try:
        await serve_line(batch)
    finally:
        await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
