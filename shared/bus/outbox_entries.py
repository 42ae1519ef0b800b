"""What lies in an outbox: its entries, the messages they stand for, and who keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from shared.bus.envelope import Envelope
from shared.errors import Invalid
from shared.tenancy import tenant_id


class Entry(msgspec.Struct, frozen=True):
    """One entry of an outbox; positions grow and begin with the time it was written."""

    position: str
    fields: dict[str, str]


class OutboxStream(Protocol):
    """A service's outbox. Every method raises :class:`Unavailable` while the store is away."""

    async def hold(self, seconds: float) -> bool:
        """Take or renew the lease; False while another relay has it."""
        ...

    async def release(self) -> None:
        """Give the lease back, if it is ours."""
        ...

    async def read(self, after: str, count: int, wait: float) -> list[Entry]:
        """Entries behind a position (``"0"`` is the beginning), waiting for the first of them."""
        ...

    async def done(self, positions: Sequence[str]) -> None:
        """Remove entries."""
        ...

    async def set_aside(self, entry: Entry, reason: str) -> None:
        """Move an entry that is no message to where a person can look at it."""
        ...

    async def length(self) -> int:
        """How many entries wait."""
        ...


class _Fields(msgspec.Struct, frozen=True):
    """What an entry must have."""

    id: str
    kind: str
    sort: Literal["command", "event", "ring", "control"]
    body: str
    tenant: str = ""
    correlation: str = ""
    causation: str = ""
    trace: str = ""
    to: str = ""
    key: str = ""


def envelope_of(entry: Entry, source: str) -> Envelope:
    """The message that an entry stands for; :class:`Invalid` when it is none."""
    try:
        fields = msgspec.convert(entry.fields, _Fields)
        msgspec.json.decode(fields.body, type=dict[str, msgspec.Raw])
        trace = msgspec.json.decode(fields.trace or "{}", type=dict[str, str])
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise Invalid(f"no outbox entry: {error}") from error
    if not fields.id or not fields.kind or (fields.sort == "ring" and not fields.to):
        raise Invalid("no outbox entry: without id, kind or a ring's address")
    return Envelope(
        id=fields.id,
        kind=fields.kind,
        sort=fields.sort,
        tenant=tenant_id(fields.tenant) if fields.tenant else "",
        correlation=fields.correlation or fields.id,
        causation=fields.causation,
        sent_at=int(entry.position.partition("-")[0] or 0),
        trace=trace,
        to=fields.to,
        source=source,
        body=msgspec.Raw(fields.body.encode()),
    )
