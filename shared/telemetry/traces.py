"""Spans across services: W3C trace context in HTTP headers and in envelopes, by our own hand.

(The library's instrumentations lose the context where we take deliveries from an iterator.)
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal, Protocol

import msgspec
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
)
from opentelemetry.trace.span import TraceState

from shared.settings import SettingsError
from shared.telemetry.logs import bind
from shared.telemetry.names import Action, SpanName

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Export = Literal["off", "log", "otlp"]

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_LONGEST_STATE = 512
_OTLP = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_log = logging.getLogger(__name__)


class Carried(Protocol):
    """What :meth:`Tracer.around` needs of an envelope."""

    @property
    def id(self) -> str:
        """The message id."""
        ...

    @property
    def kind(self) -> str:
        """The wire name."""
        ...

    @property
    def tenant(self) -> str:
        """Whose it is."""
        ...

    @property
    def correlation(self) -> str:
        """What it belongs to."""
        ...

    @property
    def trace(self) -> Mapping[str, str]:
        """The sender's trace context."""
        ...


@dataclass(frozen=True)
class Tracer:
    """Makes spans; :func:`new_tracer` opens one."""

    tracer: trace.Tracer
    provider: TracerProvider

    @contextmanager
    def span(
        self,
        name: str,
        kind: Kind = "internal",
        parent: Mapping[str, str] | None = None,
        attributes: Mapping[str, str | int | float | bool] | None = None,
    ) -> Iterator[Span]:
        """A span that is current inside the block; an exception marks it. ``parent`` is a carrier
        with ``traceparent``, such as headers; without a valid one the current span is the parent.
        """
        remote = extract(parent or {})
        context = trace.set_span_in_context(NonRecordingSpan(remote)) if remote else None
        with self.tracer.start_as_current_span(
            name, context=context, kind=SpanKind[kind.upper()], attributes=attributes
        ) as span:
            yield span

    @contextmanager
    def around(self, envelope: Carried) -> Iterator[None]:
        """A message in a handler's hands: logs and spans inside the block say which one."""
        attributes = {
            "messaging.operation.type": "process",
            "messaging.destination.name": envelope.kind,
            "messaging.message.id": envelope.id,
            "messaging.message.conversation_id": envelope.correlation,
        }
        name = f"{SpanName.PROCESS} {envelope.kind}"
        with (
            bind(
                tenant=envelope.tenant,
                correlation_id=envelope.correlation,
                message_id=envelope.id,
            ),
            self.span(name, "consumer", envelope.trace, attributes),
        ):
            yield

    @contextmanager
    def sending(self, envelope: Carried) -> Iterator[dict[str, str]]:
        """A message on its way to the carrier, on behalf of whoever its trace names; gives the
        trace context to send along, so that its handlers hang below this span.
        """
        attributes = {
            "messaging.operation.type": "send",
            "messaging.destination.name": envelope.kind,
            "messaging.message.id": envelope.id,
            "messaging.message.conversation_id": envelope.correlation,
        }
        name = f"{SpanName.PUBLISH} {envelope.kind}"
        with (
            bind(tenant=envelope.tenant, correlation_id=envelope.correlation),
            self.span(name, "producer", envelope.trace, attributes),
        ):
            yield inject()

    @contextmanager
    def request(self, method: str, route: str, headers: Mapping[str, str]) -> Iterator[None]:
        """One HTTP request, below the client's span where its headers name one."""
        attributes = {"http.request.method": method, "http.route": route}
        name = f"{SpanName.REQUEST} {method} {route}"
        with self.span(name, "server", headers, attributes):
            yield

    def close(self) -> None:
        """Send what is left."""
        self.provider.shutdown()


def new_tracer(export: Export = "off", *, name: str = "reelway", instance: str = "") -> Tracer:
    """A tracer whose spans go where ``export`` says. ``off`` keeps no spans, but trace ids still
    travel and stand in the logs. ``otlp`` without its package raises :class:`SettingsError`.
    """
    provider = TracerProvider(
        sampler=ALWAYS_OFF if export == "off" else ParentBased(ALWAYS_ON),
        resource=Resource({"service.name": name, "service.instance.id": instance}),
        shutdown_on_exit=False,
    )
    if export == "log":
        provider.add_span_processor(SimpleSpanProcessor(_LogExporter()))
    if export == "otlp":
        provider.add_span_processor(BatchSpanProcessor(_otlp_exporter()))
    return Tracer(provider.get_tracer("reelway"), provider)


def inject() -> dict[str, str]:
    """The current span as ``traceparent`` and ``tracestate``; empty outside of any span."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    ids = f"{trace.format_trace_id(context.trace_id)}-{trace.format_span_id(context.span_id)}"
    carrier = {"traceparent": f"00-{ids}-{context.trace_flags & TraceFlags.SAMPLED:02x}"}
    if context.trace_state:
        carrier["tracestate"] = context.trace_state.to_header()
    return carrier


def answered(status: int) -> None:
    """Say how the request of the current span was answered; only our own faults mark it."""
    span = trace.get_current_span()
    span.set_attribute("http.response.status_code", status)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        span.set_status(StatusCode.ERROR)


def extract(carrier: Mapping[str, str]) -> SpanContext | None:
    """The span that a carrier names; anything that is not exactly W3C trace context is ignored."""
    found = _PARENT.fullmatch(carrier.get("traceparent", ""))
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more):
        return None
    context = SpanContext(
        trace_id=int(trace_id, 16),
        span_id=int(span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(flags, 16) & TraceFlags.SAMPLED),
        trace_state=_state(carrier.get("tracestate", "")),
    )
    return context if context.is_valid else None


def _state(text: str) -> TraceState:
    """A vendor's state is passed on as it is, or dropped when it is too long."""
    return TraceState.from_header([text] if 0 < len(text) <= _LONGEST_STATE else [])


def _otlp_exporter() -> SpanExporter:
    try:
        module = importlib.import_module(_OTLP)
    except ModuleNotFoundError as error:
        raise SettingsError(
            "REELWAY_TRACES='otlp' needs a package: "
            "pip install opentelemetry-exporter-otlp-proto-http"
        ) from error
    exporter = module.OTLPSpanExporter()
    assert isinstance(exporter, SpanExporter)
    return exporter


class _LogExporter(SpanExporter):
    """Writes every finished span as one log line."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            took = ((span.end_time or 0) - (span.start_time or 0)) / 1e6
            _log.info("%s took %.1f ms", span.name, took, extra=_span_fields(span))
        return SpanExportResult.SUCCESS


def _span_fields(span: ReadableSpan) -> dict[str, str]:
    context = span.get_span_context()
    parent = span.parent
    return {
        "action": Action.SPAN,
        "span_trace_id": trace.format_trace_id(context.trace_id) if context else "",
        "span_id": trace.format_span_id(context.span_id) if context else "",
        "parent_id": trace.format_span_id(parent.span_id) if parent else "",
        "status": span.status.status_code.name.lower(),
    }


def current_trace() -> str:
    """The current span as the JSON text that outbox entries and jobs carry; empty outside."""
    carrier = inject()
    return msgspec.json.encode(carrier).decode() if carrier else ""


def carried_trace(text: str) -> dict[str, str]:
    """The trace context in such a text; empty when there is none."""
    return msgspec.json.decode(text, type=dict[str, str]) if text else {}
