"""The servers of ``make bench-jobs``: a RabbitMQ and a Redis of its own, durable, gone afterwards;
and what the programs that are measured cost them.
"""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import psutil
import redis

from shared.store.embedded_server import find_binary
from tests.support.processes import private_redis
from tests.support.servers import own_broker

PATIENCE = 120.0
"""Seconds for an answer of Redis: to forget 100,000 jobs takes a while."""

_BROKER_PROGRAM = "beam.smp"


@dataclass(frozen=True)
class Servers:
    """Where the servers are."""

    amqp: str
    store: str
    broker: str

    def database(self, number: int) -> str:
        """The URL of one of Redis' databases."""
        return urlunsplit(urlsplit(self.store)._replace(path=f"/{number}"))

    def client(self, number: int = 0) -> redis.Redis:
        """A client that looks and sets."""
        return redis.Redis.from_url(self.database(number), socket_timeout=PATIENCE)

    def flush_to_disk(self, appendfsync: str) -> None:
        """``everysec``, as the embedded store has it, or ``always``."""
        with self.client() as client:
            client.config_set("appendfsync", appendfsync)

    def empty(self) -> None:
        """Forget everything."""
        with self.client() as client:
            client.flushall()

    def versions(self) -> str:
        """What the servers are, for whoever reads the figures."""
        with self.client() as client:
            store = cast("dict[str, Any]", client.info("server"))
        machine = f"{os.cpu_count()} processors, Python {platform.python_version()}"
        return f"Redis {store['redis_version']}, RabbitMQ {self.broker}, {machine}"

    def pids(self) -> dict[str, list[int]]:
        """The processes of the servers that run on this machine."""
        with self.client() as client:
            own = cast("dict[str, Any]", client.info("server"))
        found = psutil.Process().children(recursive=True)
        broker = [each.pid for each in found if _name(each) == _BROKER_PROGRAM]
        return {"redis": [int(own["process_id"])], "rabbitmq": broker}


@contextmanager
def servers() -> Iterator[Servers]:
    """Both, as long as the block is open. Redis is set as the embedded store is."""
    with own_broker() as broker, private_redis(find_binary()) as url:
        both = Servers(broker.url, url, asyncio.run(_version(broker.url)))
        with both.client() as client:
            client.config_set("appendonly", "yes")
            client.config_set("hash-max-ziplist-value", 2048)
        yield both


def cpu_seconds(pids: list[int]) -> float:
    """Processor time that these processes and all below them have taken so far."""
    total = 0.0
    for process in _with_children(pids):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


async def _version(amqp: str) -> str:
    """What the broker says that it is."""
    async with await aio_pika.connect(amqp) as connection:
        assert connection.transport
        properties = connection.transport.connection.server_properties
        return str(properties.get("version", "?"))


def _with_children(pids: list[int]) -> list[Any]:
    found = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            found += [process, *process.children(recursive=True)]
    return found


def _name(process: Any) -> str:
    with suppress(psutil.NoSuchProcess):
        return str(process.name())
    return ""
