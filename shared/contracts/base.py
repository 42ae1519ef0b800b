"""What a message is: a frozen struct whose tag is its name on the wire.

The tag has the form ``<owner>.<verb or fact>.v<n>`` and is routing key and metric label as well.
A message evolves by optional fields only; anything else is a new ``.v2`` class beside the old one.
The tenant is no field: it travels in the envelope, stamped by the bus.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

Reply = TypeVar("Reply")


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Anything that crosses the bus."""


class Command(Message, frozen=True, kw_only=True):
    """Asks one service to do something; it has exactly one handler."""


class Event(Message, frozen=True, kw_only=True):
    """Tells that something happened; it has any number of listeners, also none."""


class Query(Message, Generic[Reply], frozen=True, kw_only=True):
    """Asks one service a question that is answered with a ``Reply`` within a deadline."""


def kind_of(message: Message | type[Message]) -> str:
    """The wire name of a message or of its type, such as ``jobs.submit.v1``."""
    tag = message.__struct_config__.tag
    if not isinstance(tag, str):
        raise TypeError(f"{message!r} declares no tag")
    return tag
