"""What lies in an outbox: its entries, the messages they stand for, and who keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

import msgspec

from shared.bus.envelope import Envelope
from shared.errors import Invalid
from shared.tenancy import tenant_id

MERGED_BYTES = 32 * 1024
"""At most so many characters of bodies go into one message; an envelope may have 64 KB."""


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
    merge: str = ""


def lane_of(entry: Entry) -> str:
    """Which entries it must not overtake."""
    if _merges(entry):
        return f"{entry.fields.get('kind')} {entry.fields.get('to', '')}"
    return entry.fields.get("key") or entry.position


def _merges(entry: Entry) -> bool:
    """Whether it goes with others of its kind. One ring stands for many: whoever it wakes and who
    finds work passes it on.
    """
    return "merge" in entry.fields or entry.fields.get("sort") == "ring"


def together(waiting: Iterable[Entry]) -> list[Entry]:
    """Those from the front that make one message: one, or as many as merge and fit."""
    entries: list[Entry] = []
    size = 0
    for entry in waiting:
        size += len(entry.fields.get("body", ""))
        if entries and (not _merges(entry) or size > MERGED_BYTES):
            break
        entries.append(entry)
    return entries


def envelope_of(entry: Entry, source: str, others: Sequence[Entry] = ()) -> Envelope:
    """The message that an entry stands for, with the others that merge with it; :class:`Invalid`
    when it is none.
    """
    envelope = _envelope_of(entry, source)
    field = entry.fields.get("merge")
    if not field:
        return envelope
    bodies = b",".join(bytes(_envelope_of(each, source).body) for each in (entry, *others))
    body = b'{"kind":"%b","%b":[%b]}' % (envelope.kind.encode(), field.encode(), bodies)
    return msgspec.structs.replace(envelope, body=msgspec.Raw(body))


def _envelope_of(entry: Entry, source: str) -> Envelope:
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
