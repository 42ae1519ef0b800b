"""What the HTTP interface takes and gives about the work on one job."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

import msgspec

from services.gateway.schemas import Id, Job, MaybeId, Page, PartCounts
from shared.contracts.records import JobState, Tier

StepName = Annotated[str, msgspec.Meta(min_length=1, max_length=100, description="Name of a step")]
_STATE = "|".join(get_args(JobState))


class JobsPage(Page, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which jobs, and which page of them."""

    state: Annotated[
        str,
        msgspec.Meta(
            pattern=f"^(({_STATE})(,({_STATE}))*)?$", description="One or more, with commas between"
        ),
    ] = ""
    flow: Annotated[
        str, msgspec.Meta(description="`process_video`, `caption_video` or `scan_library`")
    ] = ""
    video: MaybeId = ""
    parent: Annotated[MaybeId, msgspec.Meta(description="The job whose parts they are")] = ""


class Retry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From which step; without one from the first that is not done."""

    step: StepName | None = None


class VideoRetry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From which step; `job` says of which of the video's jobs, where that is to be checked."""

    step: StepName
    job: Id | None = None


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """Which job of the video goes on, and the step it begins with."""

    video: str
    job: str
    state: str
    step: str


class AgeBoost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How waiting raises priority: `rate` for each whole `step_seconds`, at most `cap`. A rate of 0
    is off.
    """

    rate: Annotated[int, msgspec.Meta(ge=0, le=110)] = 1
    step_seconds: Annotated[int, msgspec.Meta(ge=1, le=31_536_000)] = 3600
    cap: Annotated[int, msgspec.Meta(ge=0, le=110)] = 20


class NewPriority(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How urgent a job shall be; at least one field. `age_boosting` switches the gain by waiting on
    or off, `boost` sets it.
    """

    base: Annotated[int, msgspec.Meta(ge=0, le=90)] | None = None
    age_boosting: bool | None = None
    boost: AgeBoost | None = None


class PriorityExplained(msgspec.Struct, frozen=True, kw_only=True):
    """A job's priority, its place in line and why it waits.

    `reason` is a stable word, `waits_for` a sentence. `ahead` is how many in line are before it, at
    least so many if `ahead_is_least`. `next_boost_at` is null when waiting adds nothing more,
    `estimated_wait_seconds` when nothing is known.
    """

    job: str
    state: str
    tier: Tier
    base: int
    boost: int
    effective: int
    age_boosting: bool
    law: AgeBoost
    waiting_since: str
    next_boost_at: str | None
    pool: str
    reason: str
    waits_for: str
    ahead: int
    ahead_is_least: bool
    estimated_wait_seconds: float | None


class StepAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt made of a step. `attempt` grows with every claim of the job, with gaps;
    `epoch` with every retry by a person. `waited_seconds` is the time in line before the attempt,
    given with its first step. `bytes` is the size of what the step left behind, `error` a code. The
    `outcome` is `hit` where the result of an earlier run was taken.
    """

    epoch: int
    attempt: int
    step: str
    pool: str
    worker: str
    started_at: str
    ended_at: str | None
    duration_seconds: float
    waited_seconds: float
    outcome: Literal["running", "done", "hit", "failed", "released", "snoozed", "lost", "cancelled"]
    error: str | None
    bytes: int


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """What attempts at a job did, oldest first, the last 200; what runs right now comes last."""

    job: str
    state: str
    items: tuple[StepAttempt, ...]


class KeptFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a checkpoint rests on. `present` says that it is there with this size."""

    name: str
    size: int
    sha256: str
    present: bool


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A place to go on from inside a step. It is `readable` when its checksum is right, and
    `verified` when its files are all there as well; only then an attempt goes on from it.
    """

    readable: bool
    verified: bool
    step: str | None = None
    state: dict[str, Any] | None = None
    artifacts: tuple[KeptFile, ...] = ()


class Checkpoints(msgspec.Struct, frozen=True, kw_only=True):
    """The last two checkpoints of the step that a job is at. The next attempt goes on from
    `resumes_from`, `start` being the beginning of the step.
    """

    job: str
    step: str
    resumes_from: Literal["latest", "previous", "start"]
    latest: Checkpoint | None
    previous: Checkpoint | None


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs that a job was split into, in the order in which they were made; at most 500."""

    job: str
    counts: PartCounts | None
    items: tuple[Job, ...]
