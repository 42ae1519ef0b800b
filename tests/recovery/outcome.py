"""What is to be seen when everything is over: in Redis, on the bus, on the disk."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec
import redis

from shared.contracts.records import StepOutput
from tests.recovery.audit import AUDIT
from tests.recovery.clerk import ACCEPTED
from tests.recovery.leftovers import buried, kept, miscounted
from tests.recovery.parcels import Order
from tests.support.aof import groups
from tests.support.cargo import Cargo, cargo_in
from tests.support.dues import Due, dues_in
from tests.support.history import History
from tests.support.larder import Larder, larder_in
from tests.support.processes import RedisProcess
from tests.support.replies import Reply, replies_in
from tests.support.rights import Right, rights_in
from tests.support.shelves import Shelf, shelf_in
from tests.support.strikes import Board, Fault
from tests.support.teller import told_by


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    history: History
    rights: tuple[Right, ...]
    """To carry out requests, and to probe what was away."""
    replies: tuple[Reply, ...]
    """To requests with a key."""
    dues: tuple[Due, ...]
    """What became of the times of recurring jobs."""
    cargo: Cargo
    """Uploads in pieces."""
    larder: Larder
    """Space for them."""
    shelf: Shelf
    """The results that were kept."""
    struck: frozenset[tuple[str, Fault]]
    orders: tuple[Order, ...]
    """Those that were accepted."""
    held: Mapping[str, Mapping[str, str]]
    """The jobs' hashes as Redis has them in the end."""
    left_over: tuple[str, ...]
    """What the ledger keeps as if jobs still waited or ran."""
    buried: tuple[str, ...]
    """Messages that nobody could handle, with the reason."""
    damaged: tuple[str, ...]
    """Files that a finished step named and that are not as they were."""
    failures: tuple[str, ...]
    """Processes that ended otherwise than by a strike or by leaving."""


def outcome_of(
    server: RedisProcess, place: Mapping[str, str], board: Board, failures: tuple[str, ...]
) -> Outcome:
    """Look at everything."""
    writes = tuple(groups(server.folder))
    history = told_by(writes)
    with redis.Redis.from_url(server.url, decode_responses=True) as eyes:
        numbers = cast("set[str]", eyes.smembers(ACCEPTED))
        found = {job: cast("dict[str, str]", eyes.hgetall(job)) for job in history.jobs}
        held = {job: fields for job, fields in found.items() if fields}
        left_over = (*kept(eyes), *miscounted(eyes, held))
    return Outcome(
        history=history,
        rights=tuple(rights_in(writes)),
        replies=tuple(replies_in(writes)),
        dues=tuple(dues_in(writes)),
        cargo=cargo_in(writes),
        larder=larder_in(writes),
        shelf=shelf_in(writes),
        struck=frozenset((strike.point, strike.fault) for strike in board.strikes()),
        orders=tuple(Order(int(number)) for number in sorted(numbers, key=int)),
        held=held,
        left_over=left_over,
        buried=tuple(asyncio.run(buried(place["amqp"], ("jobs", "jobs.queries", AUDIT)))),
        damaged=tuple(_damaged(history, Path(place["folder"]) / "blobs")),
        failures=failures,
    )


def _damaged(history: History, blobs: Path) -> Iterator[str]:
    """Artifacts of finished steps that are missing or have other bytes."""
    for job, fields in history.jobs.items():
        for name, text in fields.items():
            output = msgspec.json.decode(text, type=StepOutput) if name.startswith("out:") else None
            for artifact in output.artifacts if output else ():
                path = blobs / artifact.key
                found = path.read_bytes() if path.exists() else b""
                if hashlib.sha256(found).hexdigest() != artifact.sha256:
                    yield f"{artifact.name} of {name} of {job}"
