"""What the SDK is asked for: a tracer, three histograms, exporters to one collector. Nothing of it is global, so two
gateways in one process have two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tollgate_otel.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

_NAME = "tollgate"
# As the conventions recommend them.
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(4**power for power in range(14))


@dataclass(slots=True, frozen=True)
class Histograms:
    """Of calls: seconds to their end, seconds to the first of a stream, tokens; and of runs of tools, seconds."""

    duration: Histogram
    first: Histogram
    tokens: Histogram
    tool: Histogram


class Instruments:
    """Opens what `settings` ask for; blocking, because the SDK is imported here."""

    def __init__(self, settings: Settings) -> None:
        from opentelemetry.sdk.resources import Resource

        # Also takes what the environment says (OTEL_RESOURCE_ATTRIBUTES).
        resource = Resource.create({"service.name": settings.service_name})
        self._traces = _traces(settings, resource) if settings.traces else None
        self._metrics = _metrics(settings, resource) if settings.metrics else None
        self.tracer: Tracer | None = None if self._traces is None else self._traces.get_tracer(_NAME)
        self.histograms: Histograms | None = None if self._metrics is None else _histograms(self._metrics)

    def close(self) -> None:
        """Send what waits, and end; blocking."""
        for provider in (self._traces, self._metrics):
            if provider is not None:
                provider.shutdown()


def _headers(settings: Settings) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in settings.headers.items()}


def _traces(settings: Settings, resource: Resource) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    provider = TracerProvider(
        sampler=ParentBasedTraceIdRatio(settings.sample), resource=resource, shutdown_on_exit=False
    )
    exporter = OTLPSpanExporter(endpoint=settings.endpoint + "/v1/traces", headers=_headers(settings))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _metrics(settings: Settings, resource: Resource) -> MeterProvider:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    exporter = OTLPMetricExporter(endpoint=settings.endpoint + "/v1/metrics", headers=_headers(settings))
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=settings.interval * 1000)
    return MeterProvider([reader], resource, shutdown_on_exit=False)


def _histograms(provider: MeterProvider) -> Histograms:
    meter = provider.get_meter(_NAME)
    return Histograms(
        duration=meter.create_histogram(
            "gen_ai.client.operation.duration", "s", "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        ),
        first=meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk", "s", "Time to receive the first chunk of a stream.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        ),
        tokens=meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        ),
        tool=meter.create_histogram(
            "gen_ai.execute_tool.duration", "s", "Duration of a tool that the gateway ran.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        ),
    )  # fmt: skip
