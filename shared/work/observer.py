"""Who is told what a worker does, and how an attempt ended."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from shared.contracts.records import JobError
from shared.work.ledger import Claim


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How an attempt ended: the job's ``state`` as the ledger answered it (``ready`` when it was
    given back, ``handed`` to another pool), or ``lost`` when it is another attempt's now.
    """

    state: str
    step: str
    error: JobError | None = None
    retry_in: float | None = None
    cause: BaseException | None = None
    """The exception, when it is a defect of ours."""


def _nobody(*_: object) -> None:
    """Nobody is told."""


def _nothing(*_: object) -> AbstractContextManager[object]:
    return nullcontext()


@dataclass(frozen=True, kw_only=True)
class Observer:
    """Who is told what a worker does; by default nobody.

    ``claimed`` hears how many seconds a claim took and what it found. ``attempt`` and ``step`` are
    around what they are called like and see its errors. ``ended`` hears what became of an attempt.
    ``looked`` hears what looking for an earlier result of a step found: ``hit``, ``miss``,
    ``damaged`` or ``unavailable``; a step that is a hit is not run.
    """

    claimed: Callable[[float, Claim | None], None] = _nobody
    attempt: Callable[[Claim], AbstractContextManager[object]] = _nothing
    step: Callable[[Claim, str], AbstractContextManager[object]] = _nothing
    ended: Callable[[Claim, Ended], None] = _nobody
    looked: Callable[[Claim, str, str], None] = _nobody
