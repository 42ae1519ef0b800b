from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.gateway import job_views, schemas
from shared.contracts import records
from shared.contracts.records import JobState

HOUR = 3_600_000
NOW = 100 * HOUR
ACCEPTED = records.Accepted(video_id="v", job_id="j", name="a.mp4", size=7, accepted_at=1_000)
JOB = records.Job(
    id="j",
    tenant="acme",
    flow="process_video",
    subject="v",
    pool="media",
    state="running",
    base=50,
    waiting_since=NOW - 3 * HOUR,
    created_at=1_000,
    updated_at=2_000,
    steps=(
        records.StepStatus(name="store", pool="drive", state="done", started_at=1, finished_at=2),
        records.StepStatus(name="probe", pool="media", state="running", started_at=3),
        records.StepStatus(name="poster", pool="media"),
    ),
    step="probe",
    progress=0.25,
    message="looking",
    attempt=1,
    lost=2,
    interrupts=3,
    snoozes=4,
    started_at=1_500,
    worker="w1",
    tier="premium",
    params={"location": "acme/files/f/original"},
)
ERROR = records.JobError(
    code="not_a_video",
    error_class="bad_input",
    detail="a picture",
    hint="no",
    step="store",
    tail=("one", "two"),
)


def job(**fields: Any) -> records.Job:
    return msgspec.structs.replace(JOB, **fields)


def view(**fields: Any) -> schemas.Job:
    return job_views.job(job(**fields), NOW)


def test_a_job_is_shown_with_its_steps_counters_and_times() -> None:
    shown = view()
    assert [step.state for step in shown.steps] == ["done", "running", "waiting"]
    assert shown.steps[0].finished_at == "1970-01-01T00:00:00.002Z"
    assert shown.steps[2].started_at is None
    assert (shown.attempt, shown.lost, shown.interrupts, shown.snoozes) == (1, 2, 3, 4)
    assert shown.created_at == "1970-01-01T00:00:01.000Z"
    assert shown.finished_at is None
    assert shown.events_url == "/v1/jobs/j/events"
    assert shown.worker == "w1"


def test_a_step_that_nobody_works_on_waits() -> None:
    shown = view(state="retrying", worker="")
    assert [step.state for step in shown.steps] == ["done", "waiting", "waiting"]


def test_the_step_that_a_job_failed_by_has_failed() -> None:
    error = records.JobError(code="c", error_class="bug", detail="d", step="probe")
    shown = view(state="failed", worker="", error=error)
    assert [step.state for step in shown.steps] == ["done", "failed", "waiting"]


def test_nothing_internal_of_a_job_is_shown() -> None:
    parent = "rw:t:acme:job:p"
    shown = msgspec.json.encode(view(parent=parent, fence=7, forced="probe", lock="secret"))
    for hidden in (b"fence", b"params", b"outputs", b"rw:t", b"original", b"forced", b"secret"):
        assert hidden not in shown


def test_the_labels_of_a_job_are_text() -> None:
    shown = msgspec.to_builtins(view().labels)
    assert shown == {"tenant": "acme", "tier": "premium", "priority": "53", "age-boosting": "on"}


@pytest.mark.parametrize("boost", ["0/3600/20", "1/3600/0", "0/3600/0"])
def test_ageing_that_changes_nothing_is_off(boost: str) -> None:
    labels = view(boost=boost).labels
    assert labels is not None
    assert (labels.age_boosting, labels.priority) == ("off", "50")


@pytest.mark.parametrize(
    ("fields", "effective"),
    [
        ({}, 53),
        ({"state": "ready"}, 53),
        ({"state": "ready", "waiting_since": NOW - HOUR + 1}, 50),
        ({"state": "ready", "waiting_since": NOW - 90 * HOUR}, 70),
        ({"state": "ready", "base": 90, "boost": "7/60/99"}, 110),
        ({"state": "paused", "paused_at": NOW - HOUR}, 52),
        ({"state": "succeeded", "finished_at": NOW - 2 * HOUR}, 51),
        ({"state": "scheduled", "due_at": NOW + HOUR}, 50),
    ],
)
def test_the_priority_is_what_waiting_has_made_of_the_base(
    fields: dict[str, Any], effective: int
) -> None:
    shown = view(**fields).priority
    assert shown is not None
    assert shown.effective == effective
    assert shown.base + shown.boost == effective


def test_a_job_that_shall_rest_says_so() -> None:
    assert view(pause_requested=True).pausing
    assert not view().pausing


@pytest.mark.parametrize(
    ("state", "is_shown"), [("scheduled", True), ("retrying", True), ("ready", False)]
)
def test_the_time_it_is_due_is_shown_while_it_waits_for_it(state: JobState, is_shown: bool) -> None:
    assert bool(view(state=state, due_at=NOW).due_at) is is_shown


def test_a_part_names_its_job_and_a_job_counts_its_parts() -> None:
    assert view(parent="rw:t:acme:job:p").parent == "p"
    assert view().parent is None
    assert view().parts is None
    shown = view(parts=9, parts_succeeded=4, parts_failed=1, parts_cancelled=1, parts_expired=1)
    assert shown.parts == schemas.PartCounts(
        total=9, succeeded=4, failed=1, cancelled=1, expired=1, waiting=2
    )


def test_a_failed_job_says_why_and_what_can_be_done() -> None:
    assert view(state="failed", error=ERROR).error == schemas.Failure(
        code="not_a_video",
        error_class="bad_input",
        detail="a picture",
        hint="no",
        step="store",
        tail=("one", "two"),
    )


def test_a_list_leaves_the_tail_of_a_failure_out() -> None:
    error = job_views.listed(job(state="failed", error=ERROR), NOW).error
    assert error is not None
    assert (error.code, error.tail) == ("not_a_video", ())


def test_a_cancelled_job_says_for_which_reason() -> None:
    error = view(state="cancelled", cancel_reason="the video was deleted").error
    assert error is not None
    assert (error.code, error.detail) == ("cancelled", "the video was deleted")
    plain = view(state="cancelled").error
    assert plain is not None
    assert plain.detail == "the job was cancelled"


def test_what_was_just_accepted_is_a_job() -> None:
    shown = job_views.accepted_job(ACCEPTED)
    assert (shown.id, shown.video, shown.state) == ("j", "v", "accepted")
    assert (shown.labels, shown.priority) == (None, None)
