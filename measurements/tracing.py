"""OpenTelemetry: where spans go, and what is noted on them.

All of it is set by OpenTelemetry's own variables, ``OTEL_EXPORTER_OTLP_ENDPOINT`` first;
nothing of it is imported where nobody asked for it.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from measurements.logs import get_logger

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_log = get_logger("tracing")

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def make_provider() -> TracerProvider | None:
    """What sends spans to the endpoint of the environment; none where there is none."""
    if not any(os.environ.get(name) for name in _ENDPOINTS):
        return None
    if find_spec("opentelemetry.instrumentation") is None:
        _log.warning("tracing_off", reason="pip install 'speechplan[otel]'")
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME", "speechplan")
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def context_under_way() -> Any | None:
    """OpenTelemetry's context, for a job that is to join the trace; none where it is off."""
    loaded = sys.modules.get("opentelemetry.context")
    return None if loaded is None else loaded.get_current()


def note(**attributes: str) -> None:
    """Sets attributes of the span under way, where OpenTelemetry is in use."""
    loaded = sys.modules.get("opentelemetry.trace")
    if loaded is not None:
        loaded.get_current_span().set_attributes(attributes)
