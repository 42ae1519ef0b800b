"""Celery's side of ``make bench-jobs``. Runs in ``.venv-bench``, which has nothing of Reelway.

``python -m tests.load.bench_jobs_celery`` submits (see :mod:`tests.load.bench_jobs_line`); the
worker is ``python -m celery -A tests.load.bench_jobs_celery worker``.

Set up as its documentation says for work that must not be lost: a durable queue (quorum, unless
``BENCH_QUEUE=classic``), persistent messages, publisher confirms, acknowledged after the task and
given to another worker when this one dies, results in Redis. The prefetch is that of the others.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from celery import Celery

from tests.load.bench_jobs_line import IN_FLIGHT, PREFETCH, Submitted, a_payload, serve_line

QUEUE = "celery"

app = Celery(
    "tests.load.bench_jobs_celery",
    broker=os.environ["BENCH_AMQP_URL"],
    backend=os.environ["BENCH_REDIS_URL"],
)
app.conf.update(
    task_default_queue=QUEUE,
    task_default_queue_type=os.environ.get("BENCH_QUEUE", "quorum"),
    task_default_exchange_type="topic",  # what its delayed delivery asks for beside quorum queues
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    broker_transport_options={"confirm_publish": True},
    broker_pool_limit=IN_FLIGHT,
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=int(os.environ.get("BENCH_MULTIPLIER", str(PREFETCH))),
)


def noop(subject: str, name: str, size: int) -> dict[str, Any]:
    """The step that does nothing."""
    return {}


work = app.task(noop)


def submit(_: int) -> str:
    """One job, confirmed by the broker."""
    return str(work.apply_async(kwargs=a_payload()).id)


async def main() -> None:
    """Submit on demand. A publish waits for its confirmation, so each has a thread."""
    with ThreadPoolExecutor(IN_FLIGHT) as threads:

        async def batch(count: int) -> Submitted:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(None, lambda: list(threads.map(submit, range(count))))

        await serve_line(batch)


if __name__ == "__main__":
    asyncio.run(main())
