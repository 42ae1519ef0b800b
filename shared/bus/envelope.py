"""The envelope: what every message carries besides its own words."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.errors import Undecodable

MAX_BYTES = 64 * 1024
"""The largest envelope on the wire. Larger things travel as blobs, by location."""

Sort = Literal["command", "event", "query", "reply", "ring", "control"]


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """One message on its way.

    ``id`` is the business id on which consumers deduplicate; ``sent_at`` and ``deadline`` are
    milliseconds since the epoch; ``trace`` holds W3C ``traceparent`` and ``tracestate``.
    ``attempt`` starts at 1 and grows only by counted retries. ``to`` is an explicit address: the
    pool of a ring's ticket, the ``reply_to`` of the query that a reply answers. ``source`` is the
    service that sent it.
    """

    id: str
    kind: str
    sort: Sort
    tenant: str
    correlation: str
    sent_at: int
    body: msgspec.Raw
    causation: str = ""
    attempt: int = 1
    trace: dict[str, str] = {}
    reply_to: str = ""
    deadline: int = 0
    to: str = ""
    source: str = ""


def encode(envelope: Envelope) -> bytes:
    """The envelope as JSON bytes; ``ValueError`` when it is over :data:`MAX_BYTES`."""
    raw = msgspec.json.encode(envelope)
    if len(raw) > MAX_BYTES:
        raise ValueError(
            f"{envelope.kind} is {len(raw)} bytes, over the limit of {MAX_BYTES}: "
            "put the content into a blob and send its location"
        )
    return raw


_DECODER = msgspec.json.Decoder(Envelope)


def decode(raw: bytes) -> Envelope:
    """The envelope in these bytes; :class:`Undecodable` when there is none."""
    try:
        return _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Undecodable(f"no envelope: {error}") from error
