"""What crosses the bus keeps its shape: one golden file for every message, in ``tests/data``.

A golden file is written by hand when the message is made, and changed by hand alone: it stands for
what older replicas still send.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import shared.contracts
from shared.bus.router import reply_type
from shared.contracts.base import Command, Event, Message, Query, kind_of
from shared.contracts.registry import ALL

GOLDEN = Path(__file__).parents[1] / "data" / "messages"
ARCHITECTURE = Path(__file__).parents[2] / "ARCHITECTURE.md"
KIND = re.compile(r"[a-z]+\.[a-z][a-z_]*\.v[1-9][0-9]*")
each_message = pytest.mark.parametrize("message", ALL, ids=kind_of)


def golden(message: type[Message]) -> dict[str, Any]:
    read: dict[str, Any] = msgspec.json.decode((GOLDEN / f"{kind_of(message)}.json").read_bytes())
    return read


def default(field: msgspec.structs.FieldInfo) -> Any:
    made = field.default_factory
    return field.default if made is msgspec.NODEFAULT else made()


def below(kind: type[Message]) -> Iterator[type[Message]]:
    for child in kind.__subclasses__():
        yield child
        yield from below(child)


def declared() -> set[type[Message]]:
    """Every message with a tag in the contracts, registered or not."""
    for module in pkgutil.iter_modules(shared.contracts.__path__, "shared.contracts."):
        importlib.import_module(module.name)
    return {
        kind
        for kind in below(Message)
        if isinstance(kind.__struct_config__.tag, str) and kind.__module__.startswith("shared.")
        if kind not in {Command, Event, Query} and "." in str(kind.__struct_config__.tag)
    }


def test_every_message_is_in_the_registry() -> None:
    assert declared() == set(ALL)


def test_no_two_messages_have_one_name() -> None:
    kinds = [kind_of(message) for message in ALL]
    assert len(set(kinds)) == len(kinds)


def test_every_message_has_a_golden_file_and_every_file_a_message() -> None:
    assert {file.name for file in GOLDEN.iterdir()} == {f"{kind_of(each)}.json" for each in ALL}


@each_message
def test_the_architecture_names_it_in_its_table(message: type[Message]) -> None:
    rows = [line for line in ARCHITECTURE.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert [row for row in rows if f"`{kind_of(message)}`" in row.split(" | ")[0]]


@each_message
def test_a_name_says_owner_fact_and_version(message: type[Message]) -> None:
    assert KIND.fullmatch(kind_of(message))


@each_message
def test_a_message_is_a_command_an_event_or_a_query(message: type[Message]) -> None:
    assert sum(issubclass(message, sort) for sort in (Command, Event, Query)) == 1


@each_message
def test_a_message_carries_no_tenant(message: type[Message]) -> None:
    assert not {"tenant", "tenant_id"} & set(message.__struct_fields__)


@each_message
def test_the_golden_file_gives_every_field(message: type[Message]) -> None:
    assert set(golden(message)) == {"kind", *message.__struct_fields__}
    assert golden(message)["kind"] == kind_of(message)


@each_message
def test_a_golden_message_survives_the_way_over_the_wire(message: type[Message]) -> None:
    decoded = msgspec.convert(golden(message), message)
    encoded = msgspec.json.encode(decoded)
    assert msgspec.json.decode(encoded, type=message) == decoded
    assert msgspec.json.decode(encoded) == golden(message)


@each_message
def test_what_a_newer_sender_adds_is_ignored(message: type[Message]) -> None:
    newer = msgspec.json.encode({**golden(message), "added_later": {"by": ["a newer sender"]}})
    assert msgspec.json.decode(newer, type=message) == msgspec.convert(golden(message), message)


@each_message
def test_what_must_be_there_may_not_be_missing(message: type[Message]) -> None:
    for field in msgspec.structs.fields(message):
        lacking = {name: value for name, value in golden(message).items() if name != field.name}
        raw = msgspec.json.encode(lacking)
        if field.required:
            with pytest.raises(msgspec.ValidationError, match=field.name):
                msgspec.json.decode(raw, type=message)
        else:
            assert getattr(msgspec.json.decode(raw, type=message), field.name) == default(field)


@each_message
def test_another_message_under_its_name_is_refused(message: type[Message]) -> None:
    raw = msgspec.json.encode({**golden(message), "kind": "some.other.v1"})
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(raw, type=message)


@pytest.mark.parametrize("query", [each for each in ALL if issubclass(each, Query)])
def test_every_query_names_the_type_of_its_answer(query: type[Query[Any]]) -> None:
    assert issubclass(reply_type(query), msgspec.Struct)
