"""What a collector is told: spans and histograms with the GenAI conventions, and nothing that anybody said."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from gateway.api import ServerTool, ToolResult, hookimpl
from gateway.testing import (
    FakeUpstream,
    Reply,
    json_reply,
    openai_completion,
    openai_stream,
    running_gateway,
    tool_call,
    upstream_config,
    usage,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE}-b7ad6b7169203331-01"
HELLO = {"model": "fake/model", "messages": [{"role": "user", "content": "A secret."}], "temperature": 0.5}


@pytest.fixture
async def upstream():
    async with FakeUpstream() as upstream:
        yield upstream


class Collector:
    """Takes OTLP over HTTP, and shows what came."""

    def __init__(self, server):
        self._server = server

    def _bodies(self, path):
        return [received.body for received in self._server.requests if received.path == path]

    def spans(self):
        """All spans, by their names' first word and rest."""
        found = []
        for body in self._bodies("/v1/traces"):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    found += scope.spans
        return found

    def points(self):
        """Metric's name -> its data points."""
        found = {}
        for body in self._bodies("/v1/metrics"):
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        found.setdefault(metric.name, []).extend(metric.histogram.data_points)
        return found

    def everything(self):
        """All bytes that came."""
        return b"".join(received.body for received in self._server.requests)


@pytest.fixture
async def collector():
    async with FakeUpstream() as server:
        server.reply(Reply([b""], media_type="application/x-protobuf"))
        server.root = server.url.removesuffix("/v1")
        yield Collector(server)


def told(item):
    """The attributes of a span or a point."""
    found = {}
    for one in item.attributes:
        kind = one.value.WhichOneof("value")
        value = getattr(one.value, kind)
        found[one.key] = [inner.string_value for inner in value.values] if kind == "array_value" else value
    return found


def config_of(upstream, collector, **more):
    otel = {"endpoint": collector._server.root, "service_name": "lab", **more}
    return upstream_config(upstream.url, otel=otel)


async def test_a_call_is_a_span_below_its_callers_and_above_its_attempts(tmp_path, upstream, collector):
    upstream.queue(json_reply({"error": {"message": "busy"}}, 503))
    upstream.queue(json_reply(openai_completion("Another secret.", reported=usage(10, 5))))
    async with running_gateway(tmp_path, config_of(upstream, collector)) as site:
        status, headers, _ = await site.post("/v1/chat/completions", HELLO, headers={"traceparent": CALLER})
        assert status == 200
    spans = collector.spans()
    [root] = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
    attempts = sorted(
        (span for span in spans if span.kind == Span.SPAN_KIND_CLIENT), key=lambda s: s.start_time_unix_nano
    )
    assert (root.name, root.trace_id.hex(), root.parent_span_id.hex()) == ("chat fake/model", TRACE, "b7ad6b7169203331")
    assert [(one.trace_id, one.parent_span_id) for one in attempts] == [(root.trace_id, root.span_id)] * 2
    assert [one.name for one in attempts] == ["chat upstream-model"] * 2
    assert [one.status.code for one in attempts] == [Status.STATUS_CODE_ERROR, Status.STATUS_CODE_UNSET]
    assert root.start_time_unix_nano <= attempts[0].start_time_unix_nano
    assert attempts[0].end_time_unix_nano <= attempts[1].end_time_unix_nano <= root.end_time_unix_nano
    said = told(root)
    assert said["gen_ai.operation.name"] == "chat"
    assert said["gen_ai.provider.name"] == "openai"
    assert said["gen_ai.response.model"] == "fake/model"
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (10, 5)
    assert said["gen_ai.response.finish_reasons"] == ["stop"]
    assert said["gen_ai.request.temperature"] == 0.5
    assert (said["http.response.status_code"], said["tollgate.billing.credits"]) == (200, 20)
    assert said["tollgate.request.id"] == headers["x-request-id"]
    assert told(attempts[0])["http.response.status_code"] == 503
    for received in upstream.requests:
        assert "traceparent" not in received.headers, "providers are not told unless they are named"
    assert b"secret" not in collector.everything()


async def test_a_provider_that_is_named_is_told_the_trace(tmp_path, upstream, collector):
    upstream.reply(json_reply(openai_completion("Hi.", reported=usage(10, 5))))
    async with running_gateway(tmp_path, config_of(upstream, collector, propagate=["fake"])) as site:
        await site.post("/v1/chat/completions", HELLO, headers={"traceparent": CALLER})
    [attempt] = [span for span in collector.spans() if span.kind == Span.SPAN_KIND_CLIENT]
    assert upstream.requests[0].headers["traceparent"] == f"00-{TRACE}-{attempt.span_id.hex()}-01"


async def test_histograms_of_a_stream(tmp_path, upstream, collector):
    upstream.reply(Reply(openai_stream("Hi.", reported=usage(10, 5))))
    async with running_gateway(tmp_path, config_of(upstream, collector, traces=False)) as site:
        assert (await site.post("/v1/chat/completions", {**HELLO, "stream": True}))[0] == 200
    points = collector.points()
    assert collector.spans() == []
    [duration] = points["gen_ai.client.operation.duration"]
    assert duration.count == 1
    assert told(duration) == {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "fake/model", "gen_ai.provider.name": "openai",
        "gen_ai.response.model": "fake/model",
    }  # fmt: skip
    assert points["gen_ai.client.operation.time_to_first_chunk"][0].count == 1
    tokens = {told(point)["gen_ai.token.type"]: point.sum for point in points["gen_ai.client.token.usage"]}
    assert tokens == {"input": 10, "output": 5}


async def test_a_call_that_fails_says_of_what_kind_and_not_in_which_words(tmp_path, upstream, collector):
    upstream.reply(json_reply({"error": {"message": "a secret reason"}}, 500))
    async with running_gateway(tmp_path, config_of(upstream, collector)) as site:
        status, _, _ = await site.post("/v1/chat/completions", HELLO)
        assert status >= 500
    [root] = [span for span in collector.spans() if span.kind == Span.SPAN_KIND_SERVER]
    assert root.status.code == Status.STATUS_CODE_ERROR
    assert told(root)["error.type"]
    assert root.parent_span_id == b""
    assert b"secret" not in collector.everything()


class Clock:
    """A plugin with a tool that the gateway runs."""

    @hookimpl
    def register_tools(self, register):
        async def tell(arguments, run):
            return ToolResult("A secret hour.", error="wrong" in arguments)

        register(ServerTool("clock", "The time", {"type": "object"}, tell))


async def test_each_run_of_a_tool_has_a_span(tmp_path, upstream, collector):
    for more in ({}, {"wrong": "yes"}):
        called = [tool_call("clock", **more)]
        upstream.queue(json_reply(openai_completion("", finish="tool_calls", tool_calls=called, reported=usage(10, 5))))
    upstream.queue(json_reply(openai_completion("Late.", reported=usage(10, 5))))
    async with running_gateway(tmp_path, config_of(upstream, collector), plugins={"clock": Clock}) as site:
        body = {"model": "fake/model", "input": "What time is it?", "tools": [{"type": "clock"}]}
        status, _, raw = await site.post("/v1/responses", body)
        assert status == 200, raw
    [root] = [span for span in collector.spans() if span.kind == Span.SPAN_KIND_SERVER]
    runs = [span for span in collector.spans() if span.name == "execute_tool clock"]
    assert [run.parent_span_id for run in runs] == [root.span_id] * 2
    assert sorted(run.status.code for run in runs) == [Status.STATUS_CODE_UNSET, Status.STATUS_CODE_ERROR]
    assert {told(run)["gen_ai.tool.name"] for run in runs} == {"clock"}
    assert sum(point.count for point in collector.points()["gen_ai.execute_tool.duration"]) == 2
    assert b"secret" not in collector.everything()


async def test_traces_that_nobody_wants_are_not_sent(tmp_path, upstream, collector):
    upstream.reply(json_reply(openai_completion("Hi.", reported=usage(10, 5))))
    async with running_gateway(tmp_path, config_of(upstream, collector, sample=0, metrics=False)) as site:
        await site.post("/v1/chat/completions", HELLO)
        await site.post("/v1/chat/completions", HELLO, headers={"traceparent": CALLER})
    assert {span.trace_id.hex() for span in collector.spans()} == {TRACE}, "but the one whose caller keeps it"


async def test_a_collector_that_is_away_costs_no_call(tmp_path, upstream, collector, unused_tcp_port):
    upstream.reply(json_reply(openai_completion("Hi.", reported=usage(10, 5))))
    config = upstream_config(upstream.url, otel={"endpoint": f"http://127.0.0.1:{unused_tcp_port}", "metrics": False})
    async with running_gateway(tmp_path, config) as site:
        assert (await site.post("/v1/chat/completions", HELLO))[0] == 200


async def test_an_endpoint_that_is_no_url_stops_the_start(tmp_path, upstream):
    with pytest.raises(Exception, match=r"otel\.endpoint"):
        async with running_gateway(tmp_path, upstream_config(upstream.url, otel={"endpoint": "localhost:4318"})):
            pass


async def test_without_an_endpoint_the_sdk_is_not_even_imported():
    code = (
        "import sys, tollgate_otel; "
        "assert not [name for name in sys.modules if name.startswith(('opentelemetry', 'requests'))]"
    )
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], check=True)
