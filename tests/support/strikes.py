"""Faults that strike at the points of the product (:mod:`shared.faults`), once each.

Which fault waits at which point stands on a *board*, a folder that all processes of a test share:
whoever comes to a point first takes the fault that waits there, by renaming a file. So nobody has
to know which process reaches a point, and a new point needs no plan.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, get_args

from redis.exceptions import ResponseError

from shared.bus.transport import Disconnected, PublishTimeout
from shared.errors import ReelwayError, Unavailable
from shared.store.redis import StoreUnavailable
from shared.work.step import StepFailed
from tests.support.points import SCRIPT

T = TypeVar("T")
Fault = Literal[
    "killed_before", "killed_after", "lost_reply", "timeout", "late_after_timeout", "repeated"
]
FAULTS: tuple[Fault, ...] = get_args(Fault)
HARMLESS: tuple[Fault, ...] = ("lost_reply", "timeout", "late_after_timeout", "repeated")
"""``killed_…``: SIGKILL to oneself. ``lost_reply``: done, and the caller is told that the other
side does not answer. ``timeout``: told so, and not done; ``late_after_timeout``: done a while
later, when the caller has gone on. ``repeated``: done twice with the same arguments, as by a client
that tries again or a message that is delivered again. What is ``HARMLESS`` ends no process.
"""


@dataclass(frozen=True)
class Strike:
    """One fault that has struck."""

    point: str
    fault: Fault
    pid: int
    at: float
    """Seconds since the epoch."""


class Board:
    """The faults that wait, those that have been taken, and those that have struck."""

    def __init__(self, folder: Path) -> None:
        self._waiting = folder / "waiting"
        self._taken = folder / "taken"
        self._struck = folder / "struck"

    def prepare(self) -> None:
        """Make the folders."""
        for folder in (self._waiting, self._taken, self._struck):
            folder.mkdir(parents=True)

    def put(self, point: str, fault: Fault) -> None:
        """Let a fault wait at a point, where none waits now."""
        draft = self._struck / f"{point}.waits.draft"
        draft.write_text(fault)
        draft.rename(self._waiting / point)

    def take(self, point: str) -> Fault | None:
        """The fault that waits at a point, for this process alone."""
        mine = self._taken / f"{point}.{os.getpid()}"
        try:
            (self._waiting / point).rename(mine)
        except FileNotFoundError:
            return None
        fault = mine.read_text()
        assert fault in FAULTS
        return fault

    def put_back(self, point: str) -> None:
        """The fault that was taken goes on waiting."""
        (self._taken / f"{point}.{os.getpid()}").rename(self._waiting / point)

    def inherit(self, pid: int) -> None:
        """Faults that a process had taken when it died of something else go on waiting."""
        for taken in self._taken.glob(f"*.{pid}"):
            taken.rename(self._waiting / taken.stem)

    def note(self, point: str, fault: Fault) -> None:
        """The fault strikes now."""
        text = json.dumps({"point": point, "fault": fault, "pid": os.getpid(), "at": time.time()})
        draft = self._struck / f"{point}.draft"
        draft.write_text(text)
        draft.rename(self._struck / f"{point}.{fault}")
        (self._taken / f"{point}.{os.getpid()}").unlink()

    def is_free(self, point: str) -> bool:
        """Whether no fault waits at a point, and nobody is about to let one strike there."""
        return not (self._waiting / point).exists() and not any(self._taken.glob(f"{point}.*"))

    def clear(self) -> None:
        """Take all faults down that wait."""
        for waiting in self._waiting.iterdir():
            waiting.unlink(missing_ok=True)

    def has_struck(self, point: str, fault: Fault) -> bool:
        """Whether this fault has struck there."""
        return (self._struck / f"{point}.{fault}").exists()

    def strikes(self) -> Iterator[Strike]:
        """All that have struck."""
        for file in sorted(self._struck.iterdir()):
            if not file.name.endswith(".draft"):
                yield Strike(**json.loads(file.read_text()))


@dataclass
class Strikes:
    """Plays the board's faults; a :class:`shared.faults.Faults`. What is late is late by up to
    ``latest`` seconds.
    """

    board: Board
    latest: float
    _late: set[asyncio.Task[None]] = field(default_factory=set)

    async def play(self, point: str, act: Callable[[], Awaitable[T]]) -> T:
        """Do what the caller wants, unless a fault waits here."""
        fault = self.board.take(point)
        if fault is None:
            return await act()
        if fault in ("killed_before", "timeout", "late_after_timeout"):
            self.board.note(point, fault)
            return self._not_now(point, fault, act)
        reply, is_worth_it = await self._done(point, fault, act)
        if not is_worth_it:
            return reply
        if fault == "killed_after":
            _die()
        if fault == "lost_reply":
            raise away(point, may_be_there=True)
        return await act()

    async def _done(
        self, point: str, fault: Fault, act: Callable[[], Awaitable[T]]
    ) -> tuple[T, bool]:
        """What comes of the call, and whether it did anything: else the fault goes on waiting."""
        try:
            reply = await act()
        except BaseException:
            self.board.put_back(point)
            raise
        if is_idle(point, reply):
            self.board.put_back(point)
            return reply, False
        self.board.note(point, fault)
        return reply, True

    def _not_now(self, point: str, fault: Fault, act: Callable[[], Awaitable[Any]]) -> NoReturn:
        if fault == "killed_before":
            _die()
        if fault == "late_after_timeout":
            late = asyncio.create_task(_after(random.uniform(0, self.latest), act))
            self._late.add(late)
            late.add_done_callback(self._late.discard)
        raise away(point, may_be_there=fault != "timeout")


_IDLE = (b"gone", b"finished", b"pass", b"open")
"""The first word of answers that say: nothing was done."""


def is_idle(point: str, reply: object) -> bool:
    """Whether a script has answered that there was nothing to do."""
    if not point.startswith(SCRIPT):
        return False
    if isinstance(reply, list):
        return not any(reply) or reply[0] in _IDLE
    return not reply or reply in _IDLE


def away(point: str, *, may_be_there: bool) -> ReelwayError:
    """What the caller at a point sees when the other side does not answer."""
    kind, _, _ = point.partition(":")
    if kind in ("bus", "relay"):
        return PublishTimeout("no answer") if may_be_there else Disconnected("no connection")
    if kind == "blob":
        return Unavailable("the blob store failed: no answer", code="blobs_unavailable")
    return StoreUnavailable("the store does not answer: no answer")


async def _after(seconds: float, act: Callable[[], Awaitable[object]]) -> None:
    await asyncio.sleep(seconds)
    try:
        await act()
    except (ReelwayError, ResponseError, StepFailed, OSError):
        return  # nobody hears of it


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")
