"""What steps do when a provider outside is away: they are not called in vain, and wait."""

from __future__ import annotations

import random
from contextlib import AbstractAsyncContextManager

from shared.blobs.failures import BlobsRefused
from shared.blobs.library import FileChanged, FileMissing
from shared.blobs.store import Blobs
from shared.errors import Rejected, StorageFull, Unavailable
from shared.store.breaker import BreakerOpen, Breakers, Verdict
from shared.tenancy import blob_tenant
from shared.work.step import Snoozed, StepFailed

BLOBS = "blobs"
"""The provider that keeps the bytes, by its name among the breakers."""

FULL = StorageFull.default_code
"""How a step, also one in a child, says that the disk is full."""

_SPREAD = 0.25
_AGAIN_SECONDS = 30.0
_FULL_SECONDS = 10.0


def guarded(blobs: Blobs, breakers: Breakers) -> Blobs:
    """The same store, left alone while it keeps failing for the tenant of a key. A folder of this
    machine needs no guard.
    """

    def around(key: str) -> AbstractAsyncContextManager[None]:
        return breakers.around(BLOBS, blob_tenant(key), judged)

    return blobs.behind(around)


def judged(error: BaseException) -> Verdict:
    """What the end of an access says about the store. Errors of what is being stored, or of whoever
    reads, say nothing.
    """
    if isinstance(error, (BlobsRefused, Rejected)):
        return "answered"
    is_ours = isinstance(error, Unavailable) and error.code == "blobs_unavailable"
    return "failed" if is_ours else "unknown"


def as_snooze(error: BaseException | None) -> Snoozed | None:
    """How long a job waits that met an open breaker, a full disk, or a file that is not in its
    folder as it was, or that asked for it itself. Those that met the same come back one by one.
    """
    if isinstance(error, (FileMissing, FileChanged)):
        seconds = _AGAIN_SECONDS * random.uniform(1, 1 + _SPREAD)
        return Snoozed(error.code, error.detail, seconds=seconds)
    if isinstance(error, BreakerOpen):
        spread = max(1.0, error.retry_after * _SPREAD)
        seconds = error.retry_after + random.uniform(0, spread)
        return Snoozed(error.code, error.detail, seconds=seconds)
    if isinstance(error, StorageFull) or (isinstance(error, StepFailed) and error.code == FULL):
        seconds = random.uniform(_FULL_SECONDS, 2 * _FULL_SECONDS)
        return Snoozed(FULL, error.detail, seconds=seconds)
    return error if isinstance(error, Snoozed) else None
