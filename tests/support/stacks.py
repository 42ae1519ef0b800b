"""Stacks that live as long as the session, made when first asked for."""

from __future__ import annotations

import asyncio
import atexit
import functools
import shutil
import tempfile
import uuid
from contextlib import ExitStack
from pathlib import Path

import aio_pika
import pytest

from shared.bus.rabbitmq_topology import DELAYS, EXCHANGES, Names
from shared.settings import SERVICES
from tests.support.servers import amqp_url, redis_database
from tests.support.stack import PATIENT, Stack, apart, embedded

FORMS = ("embedded", "apart")

# For long tests of what is the same in both forms.
EMBEDDED, APART = (pytest.mark.parametrize("stack", [form], indirect=True) for form in FORMS)
_session = ExitStack()
atexit.register(_session.close)


@functools.cache
def shared_stack(form: str) -> Stack:
    """The session's stack of this form; tests keep apart by tenants."""
    # No TemporaryDirectory: when Python ends, that removes itself under the running stack.
    folder = Path(tempfile.mkdtemp(prefix="reelway-test-"))
    _session.callback(shutil.rmtree, folder)
    if form == "embedded":
        return _session.enter_context(embedded(folder, **PATIENT))
    store = _session.enter_context(redis_database())
    return _session.enter_context(apart(folder, private_names(), store, **PATIENT))


def private_names(*services: str) -> str:
    """The session's RabbitMQ, with names that nobody else uses; they are removed at the end, also
    those of services that only the test has.
    """
    prefix = f"test.{uuid.uuid4().hex}."
    _session.callback(remove_queues, amqp_url(), prefix, *services)
    url = amqp_url()
    return f"{url}{'&' if '?' in url else '?'}prefix={prefix}"


def remove_queues(url: str, prefix: str, *services: str) -> None:
    """Remove everything that a stack has declared under its prefix."""
    asyncio.run(_remove(url, Names(prefix), (*SERVICES, *services)))


async def _remove(url: str, names: Names, owners: tuple[str, ...]) -> None:
    services = [f"{name}{more}" for name in owners for more in ("", ".queries")]
    queues = [names.ring(pool) for pool in ("media", "drive", "catalog")]
    for name in services:
        queues += [names.durable(name), names.dead(name)]
        queues += [names.delay(name, milliseconds) for milliseconds in DELAYS]
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        for queue in queues:
            await channel.queue_delete(queue)
        for exchange in (*EXCHANGES, "dlx"):
            await channel.exchange_delete(names.exchange(exchange))
