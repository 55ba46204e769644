"""Helpers for calls, sinks and streams, and the pytest plugin."""

from __future__ import annotations

import pytest

from gateway.errors import UpstreamFault
from gateway.testing import CollectingSink, make_call, make_target, openai_stream, sse
from gateway.wire.sse import EventReader


def test_a_call_follows_its_body() -> None:
    assert make_call({"model": "a/b", "messages": [], "stream": True}).stream
    call = make_call(max_output=7, strict=True)
    assert (call.model, call.stream, call.max_output, call.strict) == ("test/model", False, 7, True)
    assert make_target("x", context=5).context == 5


def test_streams_end_as_asked() -> None:
    whole = EventReader().feed_data(b"".join(openai_stream("a", "b")))
    assert len(whole) == 6
    assert whole[-1] == b"[DONE]"
    assert len(openai_stream("a", "b", done=False, with_usage=False)) == 4
    assert sse(b"x", "error") == b"event: error\ndata: x\n\n"


async def test_a_sink_insists_on_the_order_of_calls() -> None:
    sink = CollectingSink()
    with pytest.raises(AssertionError):
        sink.data(b"early")
    sink.head(200, {})
    with pytest.raises(AssertionError):
        sink.head(200, {})
    sink.data(b"a")
    sink.data(b"b")
    fault = UpstreamFault("x")
    sink.end(fault)
    await sink.wait()
    assert (sink.body, sink.fault) == (b"ab", fault)
    with pytest.raises(AssertionError):
        sink.end(None)
    with pytest.raises(AssertionError):
        sink.data(b"late")


async def test_waiting_for_an_end_gives_up() -> None:
    with pytest.raises(TimeoutError):
        await CollectingSink().wait(0.01)
