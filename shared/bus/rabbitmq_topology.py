"""The exchanges and queues of RabbitMQ: every name and every argument is said here.

::

    publisher ─▶ cmd evt ctl (topic) ── *.<kind> ─▶ cmd.<service>    quorum ── dlx ─▶ dlq.<service>
                         │                              ▲                             (bury goes
                         │                              └── delay.<service>.<ms>       straight)
                         ├── *.<kind> ─▶ evt.<label>.<uuid>          exclusive, lossy
                         └── by name  ─▶ work.<pool>                 classic, lossy, short-lived

Arguments never change: a queue that exists with other arguments is refused by the broker, so what
may have to change (lengths, times) is set by an operator's *policy*, which the broker takes the
stricter of. All names start with the prefix, ``reelway.`` by default. Works on 3.10 to 4.x.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractQueue

from shared.bus.envelope import Sort
from shared.bus.transport import Queue

DELAYS = (200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000)
"""The steps in milliseconds in which RabbitMQ can hold a message back: one queue each, because a
queue with several times to live waits for its head (declared when first needed)."""

EXCHANGES = ("cmd", "evt", "ctl")
_EXCHANGE_OF: dict[Sort, str] = {"command": "cmd", "query": "cmd", "event": "evt", "control": "ctl"}

DELIVERY_LIMIT = 10
ENDLESS = 1_000_000_000
"""A delivery limit for the parking lot, which is only ever looked at: 4.x would lose a letter after
being looked at twenty times."""


@dataclass(frozen=True, slots=True)
class Names:
    """What things are called."""

    prefix: str = "reelway."

    def exchange(self, name: str) -> str:
        """One of the four exchanges."""
        return f"{self.prefix}{name}"

    def exchange_for(self, sort: Sort) -> str:
        """Where messages of this sort are published; rings and replies go straight to a queue."""
        name = _EXCHANGE_OF.get(sort)
        return self.exchange(name) if name else ""

    def durable(self, service: str) -> str:
        """A service's queue."""
        return f"{self.prefix}cmd.{service}"

    def dead(self, service: str) -> str:
        """A service's parking lot."""
        return f"{self.prefix}dlq.{service}"

    def delay(self, service: str, milliseconds: int) -> str:
        """Where a service's messages wait this long."""
        return f"{self.prefix}delay.{service}.{milliseconds}"

    def ring(self, pool: str) -> str:
        """The queue of a pool's tickets."""
        return f"{self.prefix}work.{pool}"

    def fanout(self, label: str) -> str:
        """A fresh name every time: the broker may still hold the one of a lost connection."""
        return f"{self.prefix}evt.{label}.{uuid4().hex}"


async def declare_exchanges(channel: AbstractChannel, names: Names) -> None:
    """The four exchanges."""
    for name in (*EXCHANGES, "dlx"):
        await channel.declare_exchange(names.exchange(name), ExchangeType.TOPIC, durable=True)


async def declare_durable(channel: AbstractChannel, names: Names, queue: Queue) -> AbstractQueue:
    """A service's queue with its parking lot, bound to its kinds."""
    dead = await channel.declare_queue(
        names.dead(queue.name),
        durable=True,
        arguments={"x-queue-type": "quorum", "x-delivery-limit": ENDLESS},
    )
    await dead.bind(names.exchange("dlx"), queue.name)
    declared = await channel.declare_queue(
        names.durable(queue.name),
        durable=True,
        arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": names.exchange("dlx"),
            "x-dead-letter-routing-key": queue.name,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-max-length": 100_000,
        },
    )
    for kind in queue.kinds:
        await declared.bind(names.exchange("cmd"), f"*.{kind}")
        await declared.bind(names.exchange("evt"), f"*.{kind}")
    return declared


async def declare_delay(
    channel: AbstractChannel, names: Names, service: str, milliseconds: int
) -> None:
    """A queue that gives everything back to the service's queue after this time."""
    await channel.declare_queue(
        names.delay(service, milliseconds),
        durable=True,
        arguments={
            "x-queue-type": "quorum",
            "x-message-ttl": milliseconds,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": names.durable(service),
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )


async def declare_ring(channel: AbstractChannel, names: Names, queue: Queue) -> AbstractQueue:
    """A pool's queue of tickets: the newest thousand of the last minute."""
    return await channel.declare_queue(
        names.ring(queue.name),
        durable=True,
        arguments={
            "x-queue-type": "classic",
            "x-max-length": 1000,
            "x-overflow": "drop-head",
            "x-message-ttl": 60_000,
        },
    )


async def declare_fanout(channel: AbstractChannel, names: Names, queue: Queue) -> AbstractQueue:
    """A queue of this connection alone, bound to its kinds; it goes with it."""
    declared = await channel.declare_queue(
        names.fanout(queue.name),
        exclusive=True,
        auto_delete=True,
        arguments={
            "x-queue-type": "classic",
            "x-max-length": 20_000,
            "x-overflow": "drop-head",
        },
    )
    for kind in queue.kinds:
        await declared.bind(names.exchange("evt"), f"*.{kind}")
        await declared.bind(names.exchange("ctl"), f"*.{kind}")
    return declared


def delay_step(seconds: float) -> int:
    """The shortest step of at least this many seconds, or the longest there is."""
    wanted = seconds * 1000
    return next((step for step in DELAYS if step >= wanted), DELAYS[-1])
