"""The plugin: which hook makes which span, and what is measured at a call's end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from gateway.api import App, Call, Outcome, Target, hookimpl
from tollgate_otel.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from tollgate_otel.instruments import Histograms, Instruments

SECTION = "otel"
_BILLION = 1_000_000_000
# What the conventions call the services whose plugins have another name.
_KNOWN: Mapping[str, str] = MappingProxyType(
    {"google": "gcp.gemini", "mistral": "mistral_ai", "moonshot": "moonshot_ai"}
)
_ASKED: Mapping[str, str] = MappingProxyType(
    {
        "temperature": "gen_ai.request.temperature",
        "top_p": "gen_ai.request.top_p",
        "frequency_penalty": "gen_ai.request.frequency_penalty",
        "presence_penalty": "gen_ai.request.presence_penalty",
        "seed": "gen_ai.request.seed",
    }
)


@dataclass(slots=True)
class Trace:
    """The spans of one call. attempts: of its requests to providers, in order, with the model each was for."""

    root: Span
    attempts: list[tuple[str, Span]] = field(default_factory=list)


class Otel:
    """See the package. Without an endpoint it does nothing."""

    def __init__(self) -> None:
        self._instruments: Instruments | None = None
        self._settings = Settings()
        self._kinds: Mapping[str, str] = {}

    @hookimpl
    def config_model(self) -> type[BaseModel]:
        return Settings

    @hookimpl
    async def start_up(self, app: App) -> None:
        self._settings = app.section(SECTION)
        if self._settings.endpoint:
            from tollgate_otel.instruments import Instruments

            self._kinds = {name: entry.plugin for name, entry in app.config.providers.items()}
            self._instruments = await asyncio.to_thread(Instruments, self._settings)

    @hookimpl
    async def shut_down(self) -> None:
        instruments, self._instruments = self._instruments, None
        if instruments is not None:
            await asyncio.to_thread(instruments.close)

    @hookimpl
    def before_dispatch(self, call: Call, target: Target, headers: dict[str, str]) -> None:
        trace = self._trace(call)
        if trace is None:
            return
        from opentelemetry.trace import SpanKind, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        assert self._instruments is not None
        assert self._instruments.tracer is not None
        context = set_span_in_context(trace.root)
        span = self._instruments.tracer.start_span(
            f"{call.operation} {target.upstream}", context, SpanKind.CLIENT,
            {
                "gen_ai.operation.name": call.operation,
                "gen_ai.provider.name": self._provider(target),
                "gen_ai.request.model": target.upstream,
                "tollgate.provider": target.provider,
            },
        )  # fmt: skip
        trace.attempts.append((target.model, span))
        if "*" in self._settings.propagate or target.provider in self._settings.propagate:
            TraceContextTextMapPropagator().inject(headers, set_span_in_context(span))

    @hookimpl
    async def finish_call(self, call: Call, outcome: Outcome) -> None:
        if self._instruments is None:
            return
        # Asked again after a fault of another plugin, it has ended its spans already.
        trace = self._trace(call)
        if trace is not None and trace.root.is_recording():
            self._end(call, outcome, trace)
        if self._instruments.histograms is not None and not call.state.get(SECTION + ".measured"):
            call.state[SECTION + ".measured"] = True
            self._measure(call, outcome, self._instruments.histograms)

    def _provider(self, target: Target) -> str:
        kind = self._kinds.get(target.provider, target.provider)
        return _KNOWN.get(kind, kind)

    def _trace(self, call: Call) -> Trace | None:
        """The spans of a call, begun with the first question; None when no traces are made."""
        if self._instruments is None or self._instruments.tracer is None or call.explanation is not None:
            return None
        trace: Trace | None = call.state.get(SECTION)
        if trace is None:
            from opentelemetry.trace import SpanKind
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

            began = time.time() - (time.monotonic() - call.started)
            root = self._instruments.tracer.start_span(
                f"{call.operation} {call.model}", TraceContextTextMapPropagator().extract(call.headers),
                SpanKind.SERVER, start_time=int(began * _BILLION),
            )  # fmt: skip
            trace = call.state[SECTION] = Trace(root)
        return trace

    def _end(self, call: Call, outcome: Outcome, trace: Trace) -> None:
        self._end_attempts(call, trace.attempts)
        self._add_tools(call, trace.root)
        root = trace.root
        root.set_attributes(_asked(call))
        root.set_attributes(self._shared(call, outcome))
        root.set_attributes(
            {
                "http.route": call.route,
                "http.response.status_code": outcome.status,
                "gen_ai.usage.input_tokens": outcome.usage.prompt_tokens,
                "gen_ai.usage.output_tokens": outcome.usage.completion_tokens,
                "gen_ai.usage.cache_read.input_tokens": outcome.usage.cached_tokens,
                "tollgate.request.id": call.id,
                "tollgate.attempts": outcome.attempts,
                "tollgate.billing.basis": outcome.basis,
                "tollgate.billing.credits": outcome.charge if call.cost is None else call.cost,
            }
        )
        if call.caller is not None:
            root.set_attribute("tollgate.account.id", call.caller.account_id)
        if outcome.finish_reason:
            root.set_attribute("gen_ai.response.finish_reasons", [outcome.finish_reason])
        if outcome.status >= 500:
            _fail(root, outcome.fault_code)
        root.end()

    def _end_attempts(self, call: Call, spans: Sequence[tuple[str, Span]]) -> None:
        """Each span ends as the record of its attempt says; choices that were asked for one by one share one."""
        left = list(call.progress.tries)
        record = None
        for model, span in spans:
            found = next((one for one in left if one.target == model), None)
            if found is not None:
                left.remove(found)
                record = found
            if record is None or record.target != model:
                span.end()
                continue
            span.set_attribute("tollgate.endpoint", record.endpoint)
            if record.status is not None:
                span.set_attribute("http.response.status_code", record.status)
            if record.outcome != "ok":
                _fail(span, record.error or record.outcome)
            span.end(int(record.at * _BILLION))

    def _add_tools(self, call: Call, root: Span) -> None:
        from opentelemetry.trace import set_span_in_context

        assert self._instruments is not None
        assert self._instruments.tracer is not None
        for run in call.progress.tool_runs:
            span = self._instruments.tracer.start_span(
                f"execute_tool {run.name}", set_span_in_context(root),
                start_time=int((run.at - run.seconds) * _BILLION),
                attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": run.name},
            )  # fmt: skip
            if run.error:
                _fail(span, "tool_error")
            span.end(int(run.at * _BILLION))

    def _measure(self, call: Call, outcome: Outcome, histograms: Histograms) -> None:
        attributes = self._shared(call, outcome)
        histograms.duration.record(outcome.total, attributes)
        if call.stream and outcome.first_byte is not None:
            histograms.first.record(outcome.first_byte, attributes)
        if outcome.basis != "void":
            for kind, count in (("input", outcome.usage.prompt_tokens), ("output", outcome.usage.completion_tokens)):
                histograms.tokens.record(count, {**attributes, "gen_ai.token.type": kind})
        for run in call.progress.tool_runs:
            error = {"error.type": "tool_error"} if run.error else {}
            histograms.tool.record(run.seconds, {"gen_ai.tool.name": run.name, **error})

    def _shared(self, call: Call, outcome: Outcome) -> dict[str, str]:
        """What spans and measurements of a call have in common: few values each."""
        found = {"gen_ai.operation.name": call.operation, "gen_ai.request.model": call.model}
        if outcome.target is not None:
            found["gen_ai.provider.name"] = self._provider(outcome.target)
            found["gen_ai.response.model"] = outcome.target.model
        if outcome.fault_code:
            found["error.type"] = outcome.fault_code
        return found


def _asked(call: Call) -> dict[str, Any]:
    """The parameters that the conventions name, where they are plain numbers."""
    found: dict[str, Any] = {name: call.body[key] for key, name in _ASKED.items()
                             if isinstance(call.body.get(key), (int, float))}  # fmt: skip
    found["gen_ai.request.stream"] = call.stream
    if call.max_output is not None:
        found["gen_ai.request.max_tokens"] = call.max_output
    return found


def _fail(span: Span, kind: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_status(Status(StatusCode.ERROR))
    if kind:
        span.set_attribute("error.type", kind)
