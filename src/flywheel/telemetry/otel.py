"""The one door to OpenTelemetry: spans, batched and sent by OTLP over HTTP in the background.

A collector that is away, slow or full costs spans, never work: they wait in a bounded queue, and are dropped
when it is full. Credentials for the collector come from OpenTelemetry's own variable,
OTEL_EXPORTER_OTLP_HEADERS.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from flywheel import __version__
from flywheel.config import TelemetryConfig
from flywheel.errors import FlywheelError
from flywheel.hidden import hide
from flywheel.telemetry.tracing import Attributes, Kind, Span

_EXPORT_S = 5.0
_GOODBYE_S = 3.0
"""How long the end of the process waits for the last spans to be taken."""
_TEXT_LIMIT = 500
_KINDS = {"internal": SpanKind.INTERNAL, "server": SpanKind.SERVER, "client": SpanKind.CLIENT}
_context = TraceContextTextMapPropagator()


class OtlpTracer:
    """Spans of the process `role`, for the collector that `config` names."""

    def __init__(self, config: TelemetryConfig, role: str) -> None:
        resource = Resource.create(
            {"service.name": config.service_name, "service.version": __version__, "flywheel.role": role}
        )
        sampler = ParentBased(_Roots(config.sample_ratio))
        self._provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
        for pair in os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "").split(","):
            hide(unquote(pair.partition("=")[2]).strip())
        exporter = OTLPSpanExporter(f"{config.otlp_endpoint}/v1/traces", timeout=_EXPORT_S)
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, schedule_delay_millis=config.export_interval * 1000)
        )
        self._tracer = self._provider.get_tracer("flywheel", __version__)

    @contextmanager
    def span(self, name: str, kind: Kind, attributes: Attributes, parent: str | None) -> Iterator[Span]:
        context = _context.extract({"traceparent": parent}) if parent else None
        with self._tracer.start_as_current_span(
            name,
            context,
            _KINDS[kind],
            dict(attributes),
            record_exception=False,  # A foreign error's text may hold what must not leave the process.
            set_status_on_exception=False,
        ) as recorded:
            span = _Span(recorded)
            try:
                yield span
            except Exception as error:
                span.note(error__type=type(error).__name__)
                span.fail(str(error) if isinstance(error, FlywheelError) else type(error).__name__)
                raise

    def traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        _context.inject(carrier)
        return carrier.get("traceparent")

    def close(self) -> None:
        ending = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        ending.start()
        ending.join(_GOODBYE_S)


class _Roots(TraceIdRatioBased):
    """Keeps a share of the traces. A call out that nobody asked for begins none: a service that looks every
    second whether there is something to do would fill the collector with its looks."""

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        *rest: Any,
        **more: Any,
    ) -> SamplingResult:
        if kind is SpanKind.CLIENT:
            return SamplingResult(Decision.DROP)
        return super().should_sample(parent_context, trace_id, name, kind, *rest, **more)


class _Span:
    def __init__(self, recorded: trace.Span) -> None:
        self._recorded = recorded

    def note(self, **attributes: str | float | bool) -> None:
        for name, value in attributes.items():
            self._recorded.set_attribute(name.replace("__", "."), value)

    def rename(self, name: str) -> None:
        self._recorded.update_name(name)

    def fail(self, reason: str) -> None:
        self._recorded.set_status(StatusCode.ERROR, reason[:_TEXT_LIMIT])
