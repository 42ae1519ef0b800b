"""Uploads in pieces, as the writes of a Redis tell of them one by one. In these tests the name of a
piece is ``<offset>-<size>``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.support.aof import Group

OUTBOX = "rw:outbox:shipper"
LEASE_MS = 10_000
_UPLOAD = re.compile(r"rw:t:[^:]+:upload:[^:]+")
_PIECES = re.compile(r"(rw:t:[^:]+:upload:[^:]+):pieces")


@dataclass
class Cargo:
    """What was found to be wrong, what was said to be complete, and what is there in the end."""

    steps_back: list[str] = field(default_factory=list)
    held_twice: list[str] = field(default_factory=list)
    said: Counter[str] = field(default_factory=Counter)
    uploads: dict[str, dict[str, str]] = field(default_factory=dict)
    pieces: dict[str, list[str]] = field(default_factory=dict)


Check = Callable[[Cargo], list[str]]


def cargo_in(writes: Iterable[Group]) -> Cargo:
    """What these writes tell."""
    cargo = Cargo()
    for group in writes:
        for name, key, *words in (command for command in group if len(command) > 1):
            _follow(cargo, name.upper(), key, words)
    return cargo


def went_back(cargo: Cargo) -> list[str]:
    """No offset ever goes down."""
    return cargo.steps_back


def two_at_a_time(cargo: Cargo) -> list[str]:
    """Nobody may change an upload while another still may."""
    return cargo.held_twice


def gaps(cargo: Cargo) -> list[str]:
    """The pieces of an upload are exactly the bytes that it has. One that was joined has those of
    its parts, which begin anew.
    """
    found = []
    for key, upload in cargo.uploads.items():
        spans = [tuple(map(int, name.split("-"))) for name in cargo.pieces.get(key, ())]
        total = sum(size for _, size in spans)
        joined = upload.get("concat", "").startswith("final")
        ends = [sum(size for _, size in spans[:at]) for at in range(len(spans))]
        if total != int(upload["offset"]) or (not joined and ends != [at for at, _ in spans]):
            found.append(f"{key} is at {upload['offset']} with {spans}")
    return found


def wrongly_said(cargo: Cargo) -> list[str]:
    """What is complete was said once, nothing else was."""
    complete = {
        key.rpartition(":")[2]: upload
        for key, upload in cargo.uploads.items()
        if upload["state"] == "complete" and upload.get("concat") != "partial"
    }
    found = [f"{name} was said {n} times" for name, n in cargo.said.items() if n != 1]
    return found + [f"{name} was never said" for name in complete if not cargo.said[name]]


def _follow(cargo: Cargo, name: str, key: str, words: list[str]) -> None:
    if name in {"DEL", "UNLINK"}:
        for gone in (key, *words):
            cargo.uploads.pop(gone, None)
            cargo.pieces.pop(gone.removesuffix(":pieces"), None)
    elif name == "XADD" and key == OUTBOX:
        cargo.said[dict(zip(words[1::2], words[2::2], strict=False))["id"]] += 1
    elif name == "RPUSH" and (found := _PIECES.fullmatch(key)):
        cargo.pieces.setdefault(found[1], []).extend(words)
    elif _UPLOAD.fullmatch(key):
        _change_upload(cargo, name, key, words)


def _change_upload(cargo: Cargo, name: str, key: str, words: list[str]) -> None:
    if name == "HDEL":
        for field_ in words:
            cargo.uploads.get(key, {}).pop(field_, None)
    elif name in {"HSET", "HMSET"}:
        _change(cargo, key, dict(zip(words[::2], words[1::2], strict=True)))


def _change(cargo: Cargo, key: str, to: dict[str, str]) -> None:
    upload = cargo.uploads.setdefault(key, {})
    if int(to.get("offset", upload.get("offset", "0"))) < int(upload.get("offset", "0")):
        cargo.steps_back.append(f"{key} went from {upload['offset']} to {to['offset']}")
    before, holder = upload.get("holder"), to.get("holder")
    if before and holder and before != holder:
        taken_at = int(to["held_until"]) - LEASE_MS
        if taken_at < int(upload["held_until"]):
            cargo.held_twice.append(f"{holder} took {key}, which {before} still had")
    upload |= to
