"""What becomes of an attempt that ended badly."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec

from shared.contracts.records import JobError
from shared.errors import ReelwayError, Unavailable
from shared.work.ledger import cut
from shared.work.step import Snoozed, StepFailed

_TAIL_KEPT = 20
CRASHES = frozenset({"step_crashed", "step_hung"})
"""Codes of a child that died or fell silent: a decoder's crash looks like this."""


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When to try again: ``base * 2 ** n`` seconds, at most ``cap``, with full jitter. Waiting for
    something outside may take ``longest`` seconds in all. A step that has said nothing for
    ``silence`` seconds is ended.
    """

    attempts: int = 5
    crashes: int = 3
    base: float = 5.0
    cap: float = 900.0
    longest: float = 24 * 3600.0
    silence: float = 300.0

    def delay(self, attempt: int, chance: Callable[[], float] = random.random) -> float:
        """Seconds to wait after failure number ``attempt``, counted from 1."""
        return min(self.cap, self.base * 2.0 ** (attempt - 1)) * (0.5 + chance() / 2)


def verdict(
    error: JobError, failures: int, policy: RetryPolicy, *, crashes: int | None = None
) -> tuple[JobError, float | None]:
    """The error as it shall be kept, and in how many seconds to try again, or None for never.

    ``failures`` counts this one, and so does ``crashes``, how many of them were a child that died
    (all, if not told). Only ``transient`` and ``dependency`` are tried again. Content that brings
    a child down again and again is to blame itself.
    """
    crashes = failures if crashes is None else crashes
    if is_crash(error) and crashes >= policy.crashes:
        return _blame_content(error, crashes), None
    if error.error_class not in {"transient", "dependency"} or failures >= policy.attempts:
        return error, None
    return error, policy.delay(failures)


def is_crash(error: JobError) -> bool:
    """Whether a child died of its work, as opposed to saying itself what is wrong."""
    return error.code in CRASHES and error.error_class == "transient"


def _blame_content(error: JobError, failures: int) -> JobError:
    return msgspec.structs.replace(
        error,
        code="undecodable_video",
        error_class="bad_input",
        detail=f"reading the video brought the decoder down {failures} times: {error.detail}",
        hint="the file is probably damaged; try to repair or convert it, then upload it again",
    )


def describe(error: BaseException, step: str) -> JobError:
    """An exception of a step as it is kept on the job."""
    if isinstance(error, StepFailed):
        return JobError(
            code=cut(error.code, 100),
            error_class=error.error_class,
            detail=cut(error.detail, 2000),
            hint=cut(error.hint, 600),
            step=step,
            tail=tuple(cut(line, 500) for line in error.tail[-_TAIL_KEPT:]),
        )
    if isinstance(error, Unavailable):
        detail = cut(error.detail, 2000)
        return JobError(code=error.code, error_class="dependency", detail=detail, step=step)
    known = isinstance(error, ReelwayError)
    return JobError(
        code="internal",
        error_class="bug",
        detail=cut(str(error), 2000) if known else f"{type(error).__name__} in step {step}",
        hint="this is a defect of Reelway; the log of the worker has the details",
        step=step,
    )


def waited_in_vain(why: Snoozed, step: str) -> JobError:
    """What is kept on a job that has waited for something outside for too long."""
    return JobError(
        code=cut(why.code, 100),
        error_class="dependency",
        detail=cut(why.detail, 2000),
        hint="what the job waits for did not come back; see to it, then retry the job",
        step=step,
    )
