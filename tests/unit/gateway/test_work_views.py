from __future__ import annotations

from typing import Any

import pytest

from services.gateway import work_views
from services.gateway.routes.job_priority import law_of
from services.gateway.work_schemas import AgeBoost, NewPriority, StepAttempt
from shared.contracts.jobs import BoostLaw, Explanation
from shared.contracts.records import Job
from shared.errors import Invalid
from shared.work.jobs import Span
from shared.work.priority import Boost

IDLE = Job(
    id="j",
    tenant="acme",
    flow="process_video",
    subject="v",
    pool="media",
    state="ready",
    base=50,
    waiting_since=0,
    created_at=0,
    updated_at=0,
)


def span(fence: int, step: str, start: int, end: int, **fields: Any) -> Span:
    plain: dict[str, Any] = {
        "epoch": 1,
        "pool": "media",
        "worker": "w1",
        "waited_ms": 2500,
        "outcome": "done",
    }
    return Span(fence=fence, step=step, started_at=start, ended_at=end, **plain | fields)


def lines(job: Job, *spans: Span, now: int = 9000) -> tuple[StepAttempt, ...]:
    return work_views.timeline(job, spans, now).items


def test_an_attempt_says_where_how_long_and_how_it_ended() -> None:
    (line,) = lines(IDLE, span(3, "probe", 1000, 2500, outcome="failed", error="broken", bytes=7))
    assert (line.attempt, line.step, line.pool, line.worker) == (3, "probe", "media", "w1")
    assert (line.started_at, line.ended_at) == (
        "1970-01-01T00:00:01.000Z",
        "1970-01-01T00:00:02.500Z",
    )
    assert (line.duration_seconds, line.waited_seconds) == (1.5, 2.5)
    assert (line.outcome, line.error, line.bytes) == ("failed", "broken", 7)


@pytest.mark.parametrize(
    "outcome", ["done", "hit", "failed", "released", "snoozed", "lost", "cancelled"]
)
def test_every_outcome_that_the_ledger_knows_can_be_shown(outcome: str) -> None:
    """As the docstring of ``Span`` has them."""
    assert f"``{outcome}``" in (Span.__doc__ or "")
    assert [line.outcome for line in lines(IDLE, span(3, "probe", 1, 2, outcome=outcome))] == [
        outcome
    ]


def test_the_wait_before_an_attempt_is_told_once() -> None:
    found = lines(
        IDLE,
        span(1, "probe", 1000, 2000),
        span(1, "poster", 2000, 3000),
        span(2, "poster", 4000, 5000, waited_ms=100),
    )
    assert [line.waited_seconds for line in found] == [2.5, 0.0, 0.1]


def test_what_runs_now_is_the_last_line_and_has_no_end() -> None:
    job = Job(
        **{name: getattr(IDLE, name) for name in ("id", "tenant", "flow", "subject", "pool")},
        state="running",
        base=50,
        waiting_since=0,
        created_at=0,
        updated_at=0,
        worker="w2",
        fence=2,
        step="poster",
        step_at=4000,
        waited_ms=700,
    )
    *_, line = lines(job, span(1, "probe", 1000, 2000), now=9000)
    assert (line.outcome, line.ended_at, line.worker, line.step) == (
        "running",
        None,
        "w2",
        "poster",
    )
    assert (line.duration_seconds, line.waited_seconds) == (5.0, 0.7)


def test_clocks_that_differ_make_no_negative_time() -> None:
    (line,) = lines(IDLE, span(1, "probe", 2000, 1000))
    assert line.duration_seconds == 0


def test_an_explanation_has_times_and_seconds() -> None:
    explanation = Explanation(
        job_id="j",
        state="ready",
        tier="free",
        base=50,
        boost=1,
        effective=51,
        law=BoostLaw(),
        waiting_since=1000,
        next_boost_at=2000,
        pool="media",
        reason="in_line",
        waits_for="2 jobs are ahead of it",
        ahead=2,
        estimated_wait_ms=1500,
    )
    shown = work_views.explained(explanation)
    assert (shown.waiting_since, shown.next_boost_at) == (
        "1970-01-01T00:00:01.000Z",
        "1970-01-01T00:00:02.000Z",
    )
    assert (shown.estimated_wait_seconds, shown.age_boosting) == (1.5, True)


ON, OFF = Boost(rate=3, step_seconds=60, cap=9), Boost(rate=0, step_seconds=60, cap=9)


@pytest.mark.parametrize(
    ("body", "now", "law"),
    [
        (NewPriority(base=70), ON, None),
        (NewPriority(age_boosting=True), ON, None),
        (NewPriority(age_boosting=False), OFF, None),
        (NewPriority(age_boosting=False), ON, BoostLaw(rate=0, step_seconds=60, cap=9)),
        (NewPriority(age_boosting=True), OFF, BoostLaw(rate=1, step_seconds=60, cap=9)),
        (
            NewPriority(age_boosting=True),
            Boost(rate=0, cap=0),
            BoostLaw(rate=1, step_seconds=3600, cap=20),
        ),
        (
            NewPriority(boost=AgeBoost(rate=2, step_seconds=5, cap=8)),
            OFF,
            BoostLaw(rate=2, step_seconds=5, cap=8),
        ),
    ],
)
def test_the_law_is_changed_only_as_asked(
    body: NewPriority, now: Boost, law: BoostLaw | None
) -> None:
    assert law_of(body, now) == law


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (NewPriority(), "nothing_given"),
        (NewPriority(age_boosting=False, boost=AgeBoost()), "contradiction"),
        (NewPriority(age_boosting=True, boost=AgeBoost(rate=0)), "contradiction"),
    ],
)
def test_a_change_that_says_nothing_or_two_things_is_refused(body: NewPriority, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        law_of(body, ON)
    assert caught.value.code == code
