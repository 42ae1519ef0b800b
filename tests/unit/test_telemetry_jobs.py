"""What is told about jobs: one line for each turn worth knowing, and every transition once."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.contracts.jobs import JobChange
from shared.contracts.records import Job, JobError, StepStatus
from shared.telemetry.jobs import PoolTelemetry, count_change, is_first, waited_ms
from shared.telemetry.logs import logging_to
from shared.telemetry.metrics import Metrics, new_metrics
from shared.telemetry.traces import Tracer, new_tracer
from shared.work.ledger import Claim
from shared.work.observer import Ended, Observer

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f'{{"traceparent":"00-{TRACE}-b7ad6b7169203331-01"}}'


def a_job(**fields: Any) -> Job:
    """A job as its first claim answers it: in line at 1 000, claimed at 3 500."""
    steps = (
        StepStatus(name="store", pool="drive", weight=1, state="running", started_at=3500),
        StepStatus(name="probe", pool="media", weight=1),
    )
    given: dict[str, Any] = {
        "id": "j1",
        "tenant": "acme",
        "flow": "process_video",
        "subject": "v1",
        "pool": "drive",
        "state": "running",
        "base": 30,
        "waiting_since": 1000,
        "created_at": 1000,
        "updated_at": 3500,
        "started_at": 3500,
        "step": "store",
        "steps": steps,
        "fence": 1,
    }
    return Job(**{**given, **fields})


def a_claim(**fields: Any) -> Claim:
    return Claim(key="k", fence=1, job=a_job(**fields), correlation="r1", trace=PARENT)


def handed_on(step_began: int, claimed: int) -> dict[str, Any]:
    """The job at its second step, whose first ended at 4 000."""
    steps = (
        StepStatus(name="store", pool="drive", state="done", started_at=3500, finished_at=4000),
        StepStatus(name="probe", pool="media", state="running", started_at=step_began),
    )
    return {"steps": steps, "step": "probe", "pool": "media", "updated_at": claimed}


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    made = new_metrics()
    yield made
    made.close()


@pytest.fixture
def tracer() -> Iterator[Tracer]:
    made = new_tracer("log")
    yield made
    made.close()


@pytest.fixture
def told(metrics: Metrics, tracer: Tracer) -> PoolTelemetry:
    return PoolTelemetry(metrics, tracer, "drive", clock=lambda: 6000)


@contextmanager
def records(level: str = "info") -> Iterator[list[dict[str, str]]]:
    stream, said = io.StringIO(), list[dict[str, str]]()
    with logging_to(level, "json", stream):
        yield said
    lines = (json.loads(line) for line in stream.getvalue().splitlines())
    said.extend(line for line in lines if line["action"] != "span")


def test_a_job_is_measured_from_ready_to_claimed_at_each_step_it_begins() -> None:
    assert waited_ms(a_job()) == 2500
    assert waited_ms(a_job(**handed_on(4100, 4100))) == 100


def test_a_step_that_is_tried_again_did_not_wait_for_a_worker() -> None:
    assert waited_ms(a_job(updated_at=9000)) is None


def test_a_job_starts_once_and_again_when_it_was_retried_by_hand() -> None:
    assert is_first(a_job())
    assert not is_first(a_job(updated_at=9000))
    assert not is_first(a_job(**handed_on(4100, 4100)))
    assert is_first(a_job(**handed_on(8100, 8100), waiting_since=8000, epoch=2, fence=7))


def test_an_attempt_says_that_it_began_and_what_it_works_on(told: PoolTelemetry) -> None:
    with records() as said, told.attempt(a_claim()):
        pass
    (line,) = said
    assert (line["message"], line["action"], line["level"]) == (
        "job started",
        "job_started",
        "info",
    )
    assert (line["flow"], line["video"], line["step"]) == ("process_video", "v1", "store")
    assert (line["tenant"], line["job_id"], line["correlation_id"]) == ("acme", "j1", "r1")
    assert line["trace_id"] == TRACE


def test_being_handed_to_the_next_pool_is_no_news(told: PoolTelemetry) -> None:
    with records() as said, told.attempt(a_claim(**handed_on(4100, 4100))):
        told.ended(a_claim(), Ended(state="handed", step="probe"))
    assert said == []


ERROR = JobError(code="step_hung", error_class="transient", detail="it fell silent", step="probe")
ENDINGS = [
    (Ended(state="succeeded", step="layout"), "info", "job_finished"),
    (Ended(state="cancelled", step="probe"), "info", "job_cancelled"),
    (Ended(state="ready", step="probe"), "info", "job_returned"),
    (Ended(state="lost", step="probe"), "warning", "job_lost"),
    (Ended(state="failed", step="probe", error=ERROR), "warning", "job_failed"),
    (Ended(state="retrying", step="probe", error=ERROR, retry_in=5), "warning", "job_retried"),
    (Ended(state="failed", step="probe", error=ERROR, cause=KeyError("x")), "error", "job_failed"),
    (Ended(state="paused", step="probe"), "info", "job_handed"),
]


@pytest.mark.parametrize(("ending", "level", "action"), ENDINGS)
def test_every_end_of_an_attempt_is_one_line(
    told: PoolTelemetry, ending: Ended, level: str, action: str
) -> None:
    with records() as said:
        told.ended(a_claim(), ending)
    (line,) = said
    assert (line["level"], line["action"]) == (level, action)
    assert (line["flow"], line["video"], line["seconds"]) == ("process_video", "v1", "2.5")


def test_a_failure_says_why_which_attempt_it_was_and_when_the_next_comes(
    told: PoolTelemetry,
) -> None:
    with records() as said:
        told.ended(a_claim(attempt=1), ENDINGS[5][0])
    (line,) = said
    assert line["message"] == "job is tried again: it fell silent"
    assert (line["attempt"], line["code"], line["retry_in"]) == ("2", "step_hung", "5.0")


def test_a_defect_of_ours_comes_with_its_traceback(told: PoolTelemetry) -> None:
    with records() as said:
        told.ended(a_claim(), ENDINGS[6][0])
    assert "KeyError: 'x'" in said[0]["error"]


def test_claims_and_waits_are_counted(told: PoolTelemetry, metrics: Metrics) -> None:
    told.claimed(0.002, None)
    told.claimed(0.002, a_claim())
    text = metrics.render().decode()
    for outcome in ("found", "empty"):
        name = "reelway_job_claim_duration_seconds_count"
        assert f'{name}{{outcome="{outcome}",pool="drive"}} 1.0' in text
    assert 'reelway_job_wait_seconds_sum{pool="drive"} 2.5' in text


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(None, "done"), (KeyError("x"), "failed"), (asyncio.CancelledError(), "stopped")],
)
def test_a_step_is_timed_by_how_it_ended(
    told: PoolTelemetry, metrics: Metrics, error: BaseException | None, outcome: str
) -> None:
    with suppress(KeyError, asyncio.CancelledError), told.step(a_claim(), "store"):
        if error:
            raise error
    name = "reelway_step_duration_seconds_count"
    assert f'{name}{{outcome="{outcome}",step="store"}} 1.0' in metrics.render().decode()


def test_looking_for_an_earlier_result_is_counted_and_a_hit_is_said(
    told: PoolTelemetry, metrics: Metrics
) -> None:
    with records("debug") as said:
        for outcome in ("miss", "hit"):
            told.looked(a_claim(), "probe", outcome)
    assert [(line["action"], line["step"]) for line in said] == [("result_taken", "probe")]
    text = metrics.render().decode()
    for outcome in ("miss", "hit"):
        name = "reelway_result_lookups_total"
        assert f'{name}{{outcome="{outcome}",step="probe"}} 1.0' in text


def test_a_step_hangs_below_its_job_and_that_below_whoever_submitted_it(
    told: PoolTelemetry, tracer: Tracer
) -> None:
    finished = InMemorySpanExporter()
    tracer.provider.add_span_processor(SimpleSpanProcessor(finished))
    with told.attempt(a_claim()), told.step(a_claim(), "store"):
        pass
    step, job = finished.get_finished_spans()
    assert (step.name, job.name) == ("step store", "job process_video")
    assert step.parent
    assert job.context
    assert step.parent.span_id == job.context.span_id
    assert job.parent
    assert f"{job.parent.trace_id:032x}" == TRACE


def test_an_observer_that_nobody_gave_listens_to_nothing() -> None:
    nobody, claim = Observer(), a_claim()
    with nobody.attempt(claim), nobody.step(claim, "store"):
        nobody.claimed(0.1, None)
        nobody.ended(claim, ENDINGS[0][0])


def a_change(was: str, state: str, *, kind: str = "state", is_lost: bool = False) -> JobChange:
    about = {"tenant": "acme", "job_id": "j1", "flow": "process_video", "pool": "media"}
    data = {"state": state}
    return JobChange(epoch=1, seq=1, type=kind, data=data, was=was, is_lost=is_lost, **about)


def counted(metrics: Metrics, name: str = "reelway_job_transitions_total") -> dict[str, float]:
    lines = metrics.render().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith(f"{name}{{"))
    return {labels.partition("{")[2].rstrip("}"): float(value) for labels, value in pairs}


def test_every_transition_is_counted_once_by_flow_and_state(metrics: Metrics) -> None:
    story = ["accepted", "ready", "running", "running", "ready", "running", "succeeded"]
    for was, state in pairwise(story):
        count_change(metrics, a_change(was, state))
    count_change(metrics, a_change("running", "running", kind="progress"))
    assert counted(metrics) == {
        'flow="process_video",state="ready"': 2.0,
        'flow="process_video",state="running"': 2.0,
        'flow="process_video",state="succeeded"': 1.0,
    }
    assert counted(metrics, "reelway_lease_lost_total") == {}


def test_a_lost_worker_counts_as_a_lost_lease_of_its_pool(metrics: Metrics) -> None:
    count_change(metrics, a_change("running", "ready", is_lost=True))
    count_change(metrics, a_change("ready", "running"))
    count_change(metrics, a_change("running", "failed", kind="end", is_lost=True))
    assert counted(metrics, "reelway_lease_lost_total") == {'pool="media"': 2.0}
