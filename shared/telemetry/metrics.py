"""Metrics of one process: OpenTelemetry instruments, read by Prometheus.

There are no globals: every :class:`Metrics` counts for itself, in tests as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Counter, Histogram, Meter, UpDownCounter
from opentelemetry.metrics import _Gauge as Gauge
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from shared.telemetry.names import METRICS, Metric

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


@dataclass(frozen=True)
class Metrics:
    """The instruments; what each means stands in :mod:`shared.telemetry.names`."""

    http_request_duration: Histogram
    http_active_requests: UpDownCounter
    upload_bytes: Counter
    range_bytes: Counter
    idempotent_requests: Counter
    sse_subscribers: UpDownCounter
    sse_ended: Counter
    sse_resets: Counter
    bus_published: Counter
    bus_consumed: Counter
    bus_buried: Counter
    bus_handler_duration: Histogram
    storage_free: Gauge
    outbox_lag: Gauge
    job_transitions: Counter
    claim_duration: Histogram
    job_wait: Histogram
    step_duration: Histogram
    result_lookups: Counter
    leases_lost: Counter
    store_duration: Histogram
    breaker_changes: Counter
    schedules_due: Counter
    task_failures: Counter
    registry: CollectorRegistry
    provider: MeterProvider

    def render(self) -> bytes:
        """Everything counted so far, as Prometheus text (:data:`CONTENT_TYPE`)."""
        return generate_latest(self.registry)

    def close(self) -> None:
        """Count no more."""
        self.provider.shutdown()

    def request_ended(
        self, method: str, route: str, status: int, seconds: float, _request: object
    ) -> None:
        """Count one HTTP request; fits the ``Observe`` of :mod:`shared.http.context`."""
        labels: dict[str, str | int] = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
        }
        self.http_request_duration.record(seconds, labels)

    def store_called(self, operation: str, seconds: float, answered: bool) -> None:
        """Count one call of the store; fits ``open_redis(observe=…)``."""
        outcome = "answered" if answered else "failed"
        self.store_duration.record(seconds, {"operation": operation, "outcome": outcome})

    def schedule_due(self, outcome: str) -> None:
        """Count one time of a recurring job that came; fits ``Firing(told=…)``."""
        self.schedules_due.add(1, {"outcome": outcome})

    def breaker_changed(self, provider: str, state: str) -> None:
        """Count one breaker that opened or closed; fits ``Breakers(changed=…)``."""
        self.breaker_changes.add(1, {"provider": provider, "state": state})

    def settled(self, kind: str, outcome: str) -> None:
        """Count one settled delivery; fits ``Consumer(settled=…)``."""
        self.bus_consumed.add(1, {"kind": kind, "outcome": outcome})
        self.bus_buried.add(int(outcome == "bury"), {"kind": kind})

    def began(
        self, *, door: bool = False, pool: str = "", task: str = "", steps: Iterable[str] = ()
    ) -> None:
        """Show what has not happened yet as zero, so that the first time is seen as a change.
        ``steps`` are those whose results are looked for.
        """
        if door:
            self._door_began()
        if pool:
            self._pool_began(pool, steps)
        if task:
            self.task_failures.add(0, {"task": task})
        if task == "schedules":
            self.schedules_due.add(0, {"outcome": "fired"})

    def _door_began(self) -> None:
        self.sse_subscribers.add(0)
        self.sse_resets.add(0)
        for protocol in ("single", "tus", "direct"):
            self.upload_bytes.add(0, {"protocol": protocol})
        for partial in (True, False):
            self.range_bytes.add(0, {"partial": partial})
        for outcome in ("first", "resumed", "replayed", "in_progress", "mismatch"):
            self.idempotent_requests.add(0, {"outcome": outcome})

    def _pool_began(self, pool: str, steps: Iterable[str]) -> None:
        self.leases_lost.add(0, {"pool": pool})
        for state in ("open", "closed"):
            self.breaker_changes.add(0, {"provider": "blobs", "state": state})
        for step in steps:
            for outcome in ("hit", "miss"):
                self.result_lookups.add(0, {"step": step, "outcome": outcome})


def new_metrics() -> Metrics:
    """Fresh instruments with a registry of their own."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    reader = PrometheusMetricReader(
        disable_target_info=True, scope_info_enabled=False, registry=registry
    )
    provider = MeterProvider(
        metric_readers=[reader],
        resource=Resource({}),
        shutdown_on_exit=False,
        views=[_view(metric) for metric in METRICS.values()],
    )
    meter = provider.get_meter("reelway")
    made = {name: _instrument(meter, metric) for name, metric in METRICS.items()}
    return Metrics(**made, registry=registry, provider=provider)


def instrument_names() -> frozenset[str]:
    """The instruments that :class:`Metrics` has."""
    return frozenset(field.name for field in fields(Metrics)) - {"registry", "provider"}


def _view(metric: Metric) -> View:
    """Only declared labels pass: a tenant in a label would let one tenant see another."""
    aggregation = ExplicitBucketHistogramAggregation(metric.buckets) if metric.buckets else None
    return View(
        instrument_name=metric.name, attribute_keys=set(metric.labels), aggregation=aggregation
    )


def _instrument(meter: Meter, metric: Metric) -> Any:
    make = {
        "counter": meter.create_counter,
        "up_down_counter": meter.create_up_down_counter,
        "gauge": meter.create_gauge,
        "histogram": meter.create_histogram,
    }[metric.sort]
    return make(metric.name, metric.unit, metric.description)
