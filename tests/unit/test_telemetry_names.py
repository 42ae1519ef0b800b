from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.telemetry.metrics import instrument_names, new_metrics
from shared.telemetry.names import METRICS, Action, Metric, SpanName

ROOT = Path(__file__).parents[2]
NAMES = (ROOT / "shared" / "telemetry" / "names.py").read_text()
FORBIDDEN = ("tenant", "user", "job.id", "video", "path", "key")


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())
def test_a_metric_has_description_and_unit_and_bounded_labels(metric: Metric) -> None:
    assert metric.description
    assert metric.unit
    assert not any(word in label for label in metric.labels for word in FORBIDDEN)
    assert (metric.sort == "histogram") == bool(metric.buckets)
    assert list(metric.buckets) == sorted(set(metric.buckets))


def test_every_metric_has_an_instrument_and_every_instrument_a_metric() -> None:
    assert instrument_names() == METRICS.keys()


def test_every_metric_has_its_own_comment() -> None:
    for name in METRICS:
        assert re.search(rf'\n    # [^\n]+\n    "{name}": Metric\(', NAMES), name


@pytest.mark.parametrize("name", [*SpanName, *Action])
def test_every_span_and_action_has_its_own_comment(name: str) -> None:
    assert re.search(rf'    {name.upper()} = "{name}"  # \w', NAMES)


def literal_actions(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "action":
                    yield str(value.value) if isinstance(value, ast.Constant) else ""


def test_every_log_action_in_use_is_declared() -> None:
    sources = [*(ROOT / "shared").rglob("*.py"), *(ROOT / "services").rglob("*.py")]
    used = {
        action: source.name
        for source in sources
        if '"action"' in (text := source.read_text())
        for action in literal_actions(ast.parse(text))
    }
    undeclared = {action: used[action] for action in used.keys() - {"", *Action}}
    assert not undeclared


def test_labels_that_are_not_declared_never_come_out() -> None:
    metrics = new_metrics()
    metrics.bus_buried.add(1, {"kind": "jobs.submit.v1", "tenant": "acme"})
    text = metrics.render().decode()
    metrics.close()
    assert 'reelway_bus_buried_total{kind="jobs.submit.v1"} 1.0' in text
    assert "acme" not in text


def test_requests_are_counted_in_the_buckets_of_the_convention() -> None:
    metrics = new_metrics()
    metrics.request_ended("GET", "/v1/videos/{video}", 200, 0.06, object())
    text = metrics.render().decode()
    metrics.close()
    labels = (
        'http_request_method="GET",http_response_status_code="200",http_route="/v1/videos/{video}"'
    )
    name = "http_server_request_duration_seconds"
    assert f'{name}_bucket{{{labels},le="0.05"}} 0.0' in text
    assert f'{name}_bucket{{{labels},le="0.075"}} 1.0' in text
    assert f"{name}_count{{{labels}}} 1.0" in text


def test_every_instrument_comes_out_with_help() -> None:
    metrics = new_metrics()
    for name, metric in METRICS.items():
        instrument = getattr(metrics, name)
        give = {"histogram": "record", "gauge": "set"}.get(metric.sort, "add")
        getattr(instrument, give)(1)
    text = metrics.render().decode()
    metrics.close()
    for metric in METRICS.values():
        assert f"{metric.name.replace('.', '_')}" in text
        assert metric.description in text


def test_two_processes_objects_count_apart() -> None:
    one, other = new_metrics(), new_metrics()
    one.leases_lost.add(1, {"pool": "media"})
    assert b"reelway_lease_lost_total{" in one.render()
    assert b"reelway_lease_lost_total{" not in other.render()
    one.close()
    other.close()


def test_a_burial_is_counted_twice_as_settled_and_as_buried() -> None:
    metrics = new_metrics()
    metrics.settled("a.b.v1", "done")
    metrics.settled("a.b.v1", "bury")
    text = metrics.render().decode()
    metrics.close()
    assert 'reelway_bus_consumed_total{kind="a.b.v1",outcome="bury"} 1.0' in text
    assert 'reelway_bus_buried_total{kind="a.b.v1"} 1.0' in text


def test_store_calls_are_timed_by_operation_and_outcome() -> None:
    metrics = new_metrics()
    metrics.store_called("script:claim", 0.001, answered=True)
    metrics.store_called("get", 3.0, answered=False)
    text = metrics.render().decode()
    metrics.close()
    assert 'operation="script:claim",outcome="answered"' in text
    assert 'operation="get",outcome="failed"' in text


def test_breakers_are_counted_by_provider_and_what_they_became() -> None:
    metrics = new_metrics()
    metrics.breaker_changed("blobs", "opened")
    text = metrics.render().decode()
    metrics.close()
    assert 'reelway_breaker_changes_total{provider="blobs",state="opened"} 1.0' in text


def test_times_of_schedules_are_counted_by_what_became_of_them() -> None:
    metrics = new_metrics()
    metrics.schedule_due("overlap")
    text = metrics.render().decode()
    metrics.close()
    assert 'reelway_schedules_due_total{outcome="overlap"} 1.0' in text


PRODUCT = "\n".join(
    source.read_text()
    for folder in ("shared", "services")
    for source in (ROOT / folder).rglob("*.py")
    if source.name != "names.py"
)


@pytest.mark.parametrize("action", Action, ids=str)
def test_every_action_is_said_somewhere(action: Action) -> None:
    assert re.search(rf'Action\.{action.name}\b|"action": "{action}"', PRODUCT)


@pytest.mark.parametrize("span", SpanName, ids=str)
def test_every_span_is_made_somewhere(span: SpanName) -> None:
    assert f"SpanName.{span.name}" in PRODUCT


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_recorded_somewhere(metric: str) -> None:
    assert re.search(rf"\b(self|metrics)\.{metric}\b", PRODUCT)


def test_what_has_not_happened_yet_is_shown_as_zero() -> None:
    metrics = new_metrics()
    metrics.began(door=True)
    metrics.began(pool="media")
    metrics.began(task="reaper")
    text = metrics.render().decode()
    metrics.close()
    assert 'reelway_lease_lost_total{pool="media"} 0.0' in text
    assert 'reelway_task_failures_total{task="reaper"} 0.0' in text
    assert 'reelway_upload_bytes_total{protocol="single"} 0.0' in text
    assert 'reelway_range_bytes_total{partial="true"} 0.0' in text
    assert "reelway_sse_subscribers 0.0" in text
