"""The seam between Reelway and whatever carries its messages.

Two keepers pass one suite (``tests/contract/test_transport.py``): :mod:`shared.bus.memory` and
:mod:`shared.bus.rabbitmq`. A transport carries envelopes to *queues*:

``durable``  shared by all replicas of a service; survives; every delivery is settled explicitly;
             what cannot be handled is parked with the reason. Receives the kinds it names, from
             every tenant.
``fanout``   belongs to one process and dies with it; every subscriber gets its own copy; nothing
             is settled or redelivered; what nobody hears is lost.
``ring``     shared and lossy: an empty ticket that wakes one listener; taken at once. A ticket is
             addressed by ``Envelope.to``, the pool; its kind is free.

Durable queues take commands, queries and events of their kinds; fanouts take events and controls.
A durable queue exists from its first subscription on and goes on collecting while nobody listens.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

import msgspec

from shared.bus.envelope import Envelope
from shared.errors import Unavailable

QueueStyle = Literal["durable", "fanout", "ring"]


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """Where a subscriber listens.

    ``name`` is the service for durable queues (``jobs``), the pool for rings (``media``), and any
    label for fanouts, which get a fresh unique name from the transport. ``kinds`` are wire names.
    """

    name: str
    kinds: tuple[str, ...] = ()
    style: QueueStyle = "durable"
    prefetch: int = 16


class Buried(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter: the raw bytes as they came and why they were parked."""

    raw: bytes
    reason: str
    buried_at: int = 0


class PublishTimeout(Unavailable):
    """The carrier did not take the message in time; whether it has it is unknown: publish it
    again under the same envelope id.
    """

    default_code = "bus_timeout"


class Unroutable(Unavailable):
    """No queue takes this kind of message: the service that owns it has never been started."""

    default_code = "bus_unroutable"


class Full(Unavailable):
    """The queue for this kind of message is full: its service does not keep up."""

    default_code = "bus_full"


class Disconnected(Unavailable):
    """The carrier cannot be reached."""

    default_code = "bus_unavailable"


class Delivery(Protocol):
    """One message in a consumer's hands; settle it exactly once (a second time does nothing)."""

    @property
    def raw(self) -> bytes:
        """The envelope as it came, possibly not decodable."""
        ...

    @property
    def redelivered(self) -> bool:
        """Whether an earlier consumer may have had it in its hands."""
        ...

    async def ack(self) -> None:
        """It is done."""
        ...

    async def retry(self, envelope: Envelope, delay: float) -> None:
        """Deliver ``envelope`` (usually this one with a higher ``attempt``) to this queue again,
        not before ``delay`` seconds, and settle this delivery.
        """
        ...

    async def bury(self, reason: str) -> None:
        """Park it with the reason, and settle it."""
        ...

    async def requeue(self) -> None:
        """Give it back unchanged, at once: this consumer is leaving."""
        ...


class TakenDelivery:
    """A delivery of a fanout, a ring or a reply: there is nothing left to settle."""

    redelivered = False

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    async def ack(self) -> None:
        """Nothing to do."""

    async def retry(self, envelope: Envelope, delay: float) -> None:
        """Nothing to do."""

    async def bury(self, reason: str) -> None:
        """Nothing to do."""

    async def requeue(self) -> None:
        """Nothing to do."""


class Subscription(Protocol):
    """What :meth:`Transport.subscribe` yields: deliveries, one after the other."""

    def __aiter__(self) -> AsyncIterator[Delivery]: ...

    async def __anext__(self) -> Delivery: ...

    async def stop(self) -> None:
        """Take no more: the iteration ends and what was not yet taken goes back at once; what is in
        hand can still be settled until the block is left.
        """
        ...


class Transport(Protocol):
    """Carries envelopes. Opened by :func:`shared.bus.connect.connect`, an async context manager."""

    async def publish(self, envelope: Envelope) -> None:
        """Return once the carrier has taken responsibility for the message.

        Commands and queries that no queue takes raise :class:`Unroutable`; events, replies, rings
        and controls may have no listener. A queue at its limit raises :class:`Full`. No
        confirmation in time raises :class:`PublishTimeout`; no connection raises
        :class:`Disconnected`; over 64 KB raises ``ValueError``.
        """
        ...

    def subscribe(self, queue: Queue) -> AbstractAsyncContextManager[Subscription]:
        """Listen while the block is open. At most ``prefetch`` unsettled deliveries are in hand;
        those left unsettled at the end of the block, or of the process, are delivered again. The
        iterator goes on after a lost connection.
        """
        ...

    async def reply_address(self) -> str:
        """The ``reply_to`` under which this process receives replies (see :meth:`replies`)."""
        ...

    def replies(self) -> AbstractAsyncContextManager[Subscription]:
        """Replies addressed to this process, as a fanout; taken at once."""
        ...

    async def buried(self, queue: str, limit: int = 100) -> list[Buried]:
        """Dead letters of a durable queue, oldest first; they stay where they are."""
        ...

    async def redrive(self, queue: str, limit: int = 100) -> int:
        """Put the oldest dead letters of a durable queue back into it, with ``attempt`` 1 again;
        those that do not decode stay. Returns how many went back.
        """
        ...

    async def ping(self) -> None:
        """Raise :class:`Disconnected` when the carrier cannot be reached now."""
        ...
