"""One upload, seen through what the services tell: one trace, lines that belong together, and every
metric.
"""

from __future__ import annotations

import pytest
from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from shared.telemetry.names import METRICS, Metric
from tests.integration.telemetry.conftest import REQUEST, SPAN, TRACE, Line, Upload

WAY = [
    "step store",
    "job process_video",
    "process jobs.submit.v1",
    "publish jobs.submit.v1",
    "process drive.complete_upload.v1",
    "publish drive.complete_upload.v1",
    "request POST /v1/videos",
]


def spans(lines: list[Line]) -> dict[str, Line]:
    """Finished spans by their id, each with its name."""
    return {
        line["span_id"]: {**line, "name": line["message"].rpartition(" took ")[0]}
        for line in lines
        if line.get("action") == "span"
    }


def test_the_steps_of_a_job_hang_below_the_request_that_asked_for_it(upload: Upload) -> None:
    known = spans(upload.lines)
    (span,) = (each for each in known.values() if each["name"] == "step store")
    way = [span]
    while parent := known.get(way[-1]["parent_id"]):
        way.append(parent)
    assert [each["name"] for each in way] == WAY
    assert {each["span_trace_id"] for each in way} == {TRACE}
    assert way[-1]["parent_id"] == SPAN


def test_everything_that_an_upload_causes_is_in_its_trace(upload: Upload) -> None:
    caused = {
        "process jobs.finished.v1",
        "publish jobs.finished.v1",
        *WAY,
    }
    of_trace = [each for each in spans(upload.lines).values() if each["span_trace_id"] == TRACE]
    assert caused <= {each["name"] for each in of_trace}


def test_no_span_is_written_twice(upload: Upload) -> None:
    written = [line["span_id"] for line in upload.lines if line.get("action") == "span"]
    assert len(written) == len(set(written))


def test_lines_of_the_request_name_it_its_tenant_and_its_trace(upload: Upload) -> None:
    lines = [line for line in upload.lines if line.get("request_id") == REQUEST]
    assert {"request", "span"} <= {line["action"] for line in lines}
    for line in lines:
        assert line["correlation_id"] == REQUEST, line
        assert line["tenant"] == "default", line
        assert TRACE in (line.get("trace_id"), line.get("span_trace_id")), line


def test_lines_of_the_job_lead_back_to_the_request(upload: Upload) -> None:
    lines = [line for line in upload.lines if "job_id" in line]
    assert {"job_started", "job_failed"} <= {line["action"] for line in lines}
    for line in lines:
        assert line["job_id"] == upload.job["id"], line
        assert line["correlation_id"] == REQUEST, line
        assert line["tenant"] == "default", line
        assert TRACE in (line.get("trace_id"), line.get("span_trace_id")), line


def test_a_refused_upload_is_one_started_and_one_failed_job(upload: Upload) -> None:
    told = [line for line in upload.lines if line.get("action", "").startswith("job_")]
    assert [line["action"] for line in told] == ["job_started", "job_failed"]
    assert {line["video"] for line in told} == {upload.job["video"]}
    assert {line["flow"] for line in told} == {"process_video"}
    assert told[1]["code"] == "not_a_video"
    assert float(told[1]["seconds"]) < 60


def families(upload: Upload) -> dict[str, Family]:
    return {family.name: family for family in text_string_to_metric_families(upload.metrics)}


def exposed(metric: Metric) -> str:
    """The name of a metric's family: its unit behind it, as Prometheus asks for."""
    unit = {"s": "_seconds", "By": "_bytes"}.get(metric.unit, "")
    return metric.name.replace(".", "_") + unit


in_one_process = pytest.mark.parametrize("upload", ["embedded"], indirect=True)
"""Where one process does everything, it also tells everything."""


@in_one_process
@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_declared_metric_comes_out_after_one_upload(upload: Upload, metric: Metric) -> None:
    family = families(upload)[exposed(metric)]
    kinds = {"up_down_counter": "gauge"}
    assert family.type == kinds.get(metric.sort, metric.sort)
    assert family.documentation == metric.description
    assert family.samples
    labels = {label.replace(".", "_") for label in metric.labels}
    for sample in family.samples:
        assert sample.labels.keys() - {"le"} == labels


def test_what_comes_out_is_well_formed(upload: Upload) -> None:
    for family in families(upload).values():
        assert f"# HELP {family.name}" in upload.metrics
        assert family.documentation, family.name
        assert family.samples, family.name
        seen = [(sample.name, *sorted(sample.labels.items())) for sample in family.samples]
        assert len(seen) == len(set(seen)), family.name
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples), family.name


def test_nothing_about_a_tenant_comes_out(upload: Upload) -> None:
    for word in ("default", "words.mp4", upload.job["id"], upload.job["video"], "tenant", REQUEST):
        assert word not in upload.metrics


def value(upload: Upload, name: str, **labels: str) -> float:
    """A sample's value."""
    for family in families(upload).values():
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    raise AssertionError(f"{name} {labels} does not come out")


@in_one_process
def test_the_story_of_the_job_is_counted(upload: Upload) -> None:
    for state in ("ready", "running", "failed"):
        name = "reelway_job_transitions_total"
        assert value(upload, name, flow="process_video", state=state) == 1
    for kind in ("drive.complete_upload.v1", "jobs.submit.v1", "jobs.finished.v1"):
        assert value(upload, "reelway_bus_published_total", kind=kind, outcome="confirmed") == 1
        assert value(upload, "reelway_bus_buried_total", kind=kind) == 0
    assert value(upload, "reelway_upload_bytes_total", protocol="single") == len("no video")
    assert value(upload, "reelway_job_wait_seconds_count", pool="drive") == 1
    name = "reelway_step_duration_seconds_count"
    assert value(upload, name, step="store", outcome="failed") == 1
    assert value(upload, "reelway_lease_lost_total", pool="drive") == 0
    assert value(upload, "reelway_sse_subscribers") == 0
