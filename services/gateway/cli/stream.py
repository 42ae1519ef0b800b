"""Reading server-sent events (WHATWG HTML section 9.2.6) as a gateway sends them. Pure."""

from __future__ import annotations

from codecs import IncrementalDecoder, getincrementaldecoder
from dataclasses import dataclass, field
from typing import Any

import msgspec


class Sent(msgspec.Struct, frozen=True):
    """One event with JSON as its data."""

    event: str
    id: str
    data: Any


def _utf8() -> IncrementalDecoder:
    return getincrementaldecoder("utf-8")("replace")


@dataclass
class StreamReader:
    """Makes events of the pieces of a stream. ``retry_seconds`` is how long the server wants
    clients to wait before they come back with ``last_id``; the next connection begins with
    :meth:`restart`. ``is_heard`` says whether anything came of it yet.
    """

    retry_seconds: float = 2.0
    last_id: str = ""
    is_heard: bool = False
    _text: str = ""
    _fields: dict[str, str] = field(default_factory=dict)
    _decoder: IncrementalDecoder = field(default_factory=_utf8)

    def restart(self) -> None:
        """Forget what a broken connection left half."""
        self._text, self._fields, self._decoder = "", {}, _utf8()
        self.is_heard = False

    def feed(self, chunk: bytes) -> list[Sent]:
        """The events that this piece completes."""
        self.is_heard = True
        *lines, self._text = (self._text + self._decoder.decode(chunk)).split("\n")
        found = [self._take(line.removesuffix("\r")) for line in lines]
        return [sent for sent in found if sent is not None]

    def _take(self, line: str) -> Sent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "retry" and value.isdecimal():
            self.retry_seconds = int(value) / 1000
        elif name == "data" and "data" in self._fields:
            self._fields["data"] += f"\n{value}"
        elif name in {"event", "id", "data"}:
            self._fields[name] = value
        return None

    def _dispatch(self) -> Sent | None:
        fields, self._fields = self._fields, {}
        self.last_id = fields.get("id", self.last_id)  # also that of an event without data
        if "data" not in fields:
            return None
        data = msgspec.json.decode(fields["data"])
        return Sent(fields.get("event", "message"), fields.get("id", ""), data)
