"""The echo model as an upstream: bytes, time, and what can go wrong on purpose."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from pydantic import ValidationError
from tollgate_echo import EchoProvider, EchoSettings, register_providers
from tollgate_echo import transport as transport_module
from tollgate_echo.tokens import count_prompt

from gateway.api import (
    Call,
    CallerFault,
    Exchange,
    Fault,
    ProviderKind,
    StreamItem,
    UpstreamFault,
    UpstreamReply,
    UpstreamRequest,
)
from gateway.testing import CollectingSink, make_call, make_target


class Playing:
    """One exchange: the sink, and the decoder's items of a streamed answer."""

    def __init__(self, body: dict[str, Any], sink: CollectingSink | None = None, **settings: Any) -> None:
        self.provider = EchoProvider("echo", EchoSettings.model_validate(settings))
        self.call: Call = make_call({"messages": [{"role": "user", "content": "Hello there"}], **body})
        self.sink = CollectingSink() if sink is None else sink
        assert self.provider.transport is not None
        request = self.provider.prepare(self.call, make_target("echo")).request
        self.exchange: Exchange = self.provider.transport.send(request, self.sink)

    async def wait(self) -> Playing:
        await self.sink.wait()
        return self

    def items(self) -> tuple[list[StreamItem], bool]:
        decoder = self.provider.prepare(self.call, make_target()).reader.open_stream()
        items: list[StreamItem] = []
        for piece in self.sink.chunks:
            items += decoder.feed(piece)
        return items + decoder.finish(), decoder.done

    def reply(self) -> UpstreamReply:
        assert self.sink.status is not None
        return UpstreamReply(self.sink.status, self.sink.headers, self.sink.body)


def parsed(items: list[StreamItem]) -> list[dict[str, Any]]:
    return [orjson.loads(item) for item in items if isinstance(item, bytes)]


def content(items: list[StreamItem]) -> str:
    return "".join(c["delta"].get("content") or "" for chunk in parsed(items) for c in chunk["choices"])


async def test_a_stream_says_what_the_whole_answer_says() -> None:
    streamed = await Playing({"stream": True}).wait()
    whole = await Playing({}).wait()
    completion = whole.provider.prepare(whole.call, make_target()).reader.read_reply(whole.reply()).body
    items, done = streamed.items()
    chunks = parsed(items)
    assert done
    assert streamed.sink.headers["content-type"].startswith("text/event-stream")
    assert content(items) == completion["choices"][0]["message"]["content"]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == completion["usage"]
    assert {chunk["id"] for chunk in chunks} == {completion["id"]}
    assert completion["created"] == streamed.call.created


async def test_streamed_calls_fold_to_the_whole_ones() -> None:
    tool = {
        "type": "function",
        "function": {"name": "get_weather", "parameters": {"properties": {"city": {}}, "required": ["city"]}},
    }
    body = {"messages": [{"role": "user", "content": "weather in Lisbon"}], "tools": [tool]}
    streamed = await Playing({**body, "stream": True}).wait()
    whole = await Playing(body).wait()
    message = (
        whole.provider.prepare(whole.call, make_target()).reader.read_reply(whole.reply()).body["choices"][0]["message"]
    )
    deltas = [
        c["delta"]["tool_calls"][0]
        for chunk in parsed(streamed.items()[0])
        for c in chunk["choices"]
        if "tool_calls" in c["delta"]
    ]
    assert deltas[0]["id"] == message["tool_calls"][0]["id"]
    assert deltas[0]["function"]["name"] == "get_weather"
    assert "".join(d["function"]["arguments"] for d in deltas) == '{"city":"Lisbon"}'
    assert message["tool_calls"][0]["function"]["arguments"] == '{"city":"Lisbon"}'


async def test_choices_take_turns() -> None:
    items, _ = (await Playing({"stream": True, "n": 2}).wait()).items()
    order = [c["index"] for chunk in parsed(items) for c in chunk["choices"]]
    assert order[:6] == [0, 1, 0, 1, 0, 1]
    assert sorted(c["index"] for chunk in parsed(items) for c in chunk["choices"] if c["finish_reason"]) == [0, 1]


async def test_settings_pace_the_tokens() -> None:
    """Asserted are lower bounds only: a busy machine makes everything later, nothing sooner."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    playing = Playing({"stream": True, "echo": {"tokens": 5}}, pace="10ms", delay="20ms")
    assert playing.sink.status is None
    await playing.wait()
    assert loop.time() - start >= 0.065
    unpaced = {"stream": True, "echo": {"tokens": 5, "pace": 0, "delay": 0}}
    # With the settings' own hour nothing would come within a test's time limit.
    await Playing(unpaced, pace=3600, delay=3600).wait()
    start = loop.time()
    await Playing({"echo": {"tokens": 5, "pace": 0.01}}).wait()
    assert loop.time() - start >= 0.045


async def test_pause_stops_and_resume_goes_on() -> None:
    for pace in (0, 0.001):
        playing = Playing({"stream": True, "echo": {"tokens": 200}}, pace=pace)
        while len(playing.sink.chunks) < 5:
            await asyncio.sleep(0)
        playing.exchange.pause()
        await asyncio.sleep(0.005)
        held = len(playing.sink.chunks)
        await asyncio.sleep(0.02)
        assert len(playing.sink.chunks) == held
        assert not playing.sink.ended
        playing.exchange.resume()
        playing.exchange.resume()
        await playing.wait()
        items, done = playing.items()
        assert done
        assert content(items).split() == ["echo"] * 200


async def test_a_sink_that_pauses_inside_its_callback() -> None:
    class Slow(CollectingSink):
        exchange: Exchange

        def data(self, chunk: bytes) -> None:
            super().data(chunk)
            self.exchange.pause()
            asyncio.get_running_loop().call_soon(self.exchange.resume)

    sink = Slow()
    playing = Playing({"stream": True, "echo": {"tokens": 50}}, sink)
    sink.exchange = playing.exchange
    await playing.wait()
    assert playing.items()[1]


async def test_cancel_is_final() -> None:
    for pace in (0, 0.001):
        playing = Playing({"stream": True, "echo": {"tokens": 1000}}, pace=pace)
        while len(playing.sink.chunks) < 3:
            await asyncio.sleep(0)
        playing.exchange.cancel()
        playing.exchange.resume()
        seen = len(playing.sink.chunks)
        await asyncio.sleep(0.01)
        assert len(playing.sink.chunks) == seen
        assert not playing.sink.ended


async def test_other_work_gets_its_turn() -> None:
    playing = Playing({"stream": True, "echo": {"tokens": 5000}})
    turns = 0
    while not playing.sink.ended:
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100


async def test_a_status_and_an_error() -> None:
    playing = await Playing(
        {"stream": True, "echo": {"fail": 429, "retry_after": "1.5s", "message": "slow down"}}
    ).wait()
    assert playing.sink.status == 429
    fault = playing.provider.prepare(make_call(), make_target()).reader.read_fault(playing.reply())
    assert (fault.status, fault.retry_after) == (429, 1.5)
    assert "slow down" in fault.detail


async def test_no_connection() -> None:
    playing = await Playing({"echo": {"connect": "refused"}}).wait()
    assert playing.sink.status is None
    assert isinstance(playing.sink.fault, UpstreamFault)
    assert playing.sink.fault.retryable


@pytest.mark.parametrize("name", ["error_event_after", "fail_after"])
async def test_an_error_inside_the_stream(name: str) -> None:
    playing = await Playing({"stream": True, "echo": {"tokens": 9, name: 4, "message": "boom"}}).wait()
    items, done = playing.items()
    assert content(items[:-1]) == "echo echo echo echo"
    assert isinstance(items[-1], UpstreamFault)
    assert "boom" in items[-1].detail
    assert not done


async def test_garbage_inside_the_stream() -> None:
    playing = await Playing({"stream": True, "echo": {"tokens": 9, "garbage_after": 3}}).wait()
    items, _ = playing.items()
    faults = [item for item in items if isinstance(item, Fault)]
    assert [fault.code for fault in faults] == ["upstream_invalid_response"]


@pytest.mark.parametrize("after", [0, 5, 9])
async def test_cuts_ends_and_stalls(after: int) -> None:
    cut = await Playing({"stream": True, "echo": {"tokens": 9, "cut_after": after}}).wait()
    assert isinstance(cut.sink.fault, UpstreamFault)
    assert cut.sink.fault.code == "upstream_disconnected"
    eof = await Playing({"stream": True, "echo": {"tokens": 9, "eof_after": after}}).wait()
    assert eof.sink.fault is None
    stall = Playing({"stream": True, "echo": {"tokens": 9, "stall_after": after}})
    await asyncio.sleep(0.02)
    assert not stall.sink.ended
    for playing in (cut, eof, stall):
        items, done = playing.items()
        assert not done
        assert len(items) == after + 1
        assert not any(c["finish_reason"] for chunk in parsed(items) for c in chunk["choices"])


async def test_a_position_behind_the_end_has_no_effect() -> None:
    playing = await Playing({"stream": True, "echo": {"tokens": 3, "cut_after": 4}}).wait()
    assert playing.sink.fault is None
    assert playing.items()[1]


async def test_no_end_mark_no_usage_and_slices() -> None:
    playing = await Playing({"stream": True, "echo": {"done": False, "usage": "none", "slice": 1}}).wait()
    items, done = playing.items()
    assert not done
    assert {len(piece) for piece in playing.sink.chunks} == {1}
    assert all(chunk.get("usage") is None for chunk in parsed(items))
    assert parsed(items)[-1]["choices"][0]["finish_reason"] == "stop"


async def test_whole_answers_can_be_spoiled_too() -> None:
    cut = await Playing({"echo": {"cut_after": 1}}).wait()
    assert isinstance(cut.sink.fault, UpstreamFault)
    for name in ("garbage_after", "error_event_after", "fail_after", "eof_after"):
        playing = await Playing({"echo": {name: 1}}).wait()
        assert playing.sink.status == 200
        with pytest.raises(UpstreamFault):
            playing.provider.prepare(playing.call, make_target()).reader.read_reply(playing.reply())
    stall = Playing({"echo": {"stall_after": 1}})
    await asyncio.sleep(0.01)
    assert (stall.sink.status, stall.sink.ended) == (200, False)


@pytest.mark.parametrize(
    ("echo", "field"),
    [
        ({"pace": "fast"}, "echo.pace"),
        ({"pace": -1}, "echo.pace"),
        ({"delay": "2h"}, "echo.delay"),
        ({"delay": "100m"}, "echo.delay"),
        ({"tokens": -1}, "echo.tokens"),
        ({"tokens": 10**9}, "echo.tokens"),
        ({"fail": 200}, "echo.fail"),
        ({"fial": 503}, "echo.fial"),
        ({"usage": "some"}, "echo.usage"),
        ("pace=1", "echo"),
    ],
)
def test_wrong_directives_are_refused(echo: Any, field: str) -> None:
    with pytest.raises(CallerFault) as caught:
        EchoProvider("echo", EchoSettings()).prepare(make_call({"messages": [], "echo": echo}), make_target())
    assert (caught.value.status, caught.value.param) == (400, field)
    assert caught.value.message.startswith(f"{field}: ")


@pytest.mark.parametrize("line", ["/echo pace", "/echo text='open", "/echo pace=soon", "  /echo x=1  "])
def test_wrong_lines_are_refused(line: str) -> None:
    call = make_call({"messages": [{"role": "user", "content": f"Hello\n{line}\nworld"}]})
    with pytest.raises(CallerFault, match="echo"):
        EchoProvider("echo", EchoSettings()).prepare(call, make_target())


def test_the_body_wins_over_the_line() -> None:
    text = "a\n/echo tokens=7 pace=1s\nb"
    call = make_call({"messages": [{"role": "user", "content": text}], "echo": {"tokens": 3}})
    EchoProvider("echo", EchoSettings()).prepare(call, make_target())


async def test_directives_can_be_switched_off() -> None:
    body = {"messages": [{"role": "user", "content": "Hi\n/echo fail=503"}], "echo": {"fail": 500}}
    playing = await Playing(body, directives=False).wait()
    assert playing.sink.status == 200
    assert playing.call.dropped == ["echo"]
    completion = playing.provider.prepare(playing.call, make_target()).reader.read_reply(playing.reply()).body
    assert "/echo fail=503" in completion["choices"][0]["message"]["content"]
    with pytest.raises(CallerFault):
        playing.provider.prepare(make_call(body, strict=True), make_target())


CANNOT: dict[str, Any] = {
    "audio": {"voice": "alloy", "format": "wav"},
    "web_search_options": {},
    "modalities": ["text", "audio"],
}


@pytest.mark.parametrize("name", CANNOT)
def test_what_the_model_cannot_do_is_reported(name: str) -> None:
    provider = EchoProvider("echo", EchoSettings())
    messages = [{"role": "user", "content": "Hi"}]
    call = make_call({"messages": messages, name: CANNOT[name]})
    for _ in range(2):  # a call may be built again
        provider.prepare(call, make_target())
    assert call.dropped == [name]
    with pytest.raises(CallerFault, match=name):
        provider.prepare(make_call({"messages": messages, name: CANNOT[name]}, strict=True), make_target())


def test_tools_that_are_not_functions_are_reported() -> None:
    tools = [{"type": "function", "function": {"name": "a"}}, {"type": "custom", "custom": {"name": "b"}}]
    call = make_call({"messages": [{"role": "user", "content": "Hi"}], "tools": tools, "modalities": ["text"]})
    EchoProvider("echo", EchoSettings()).prepare(call, make_target())
    assert call.dropped == ["tools[1]"]


def test_the_bound_is_the_exact_count() -> None:
    body = {"messages": [{"role": "user", "content": "Hello there, world"}], "tools": [{"type": "function"}]}
    assert EchoProvider("echo", EchoSettings()).bound_input_tokens(body, make_target()) == count_prompt(body)


def test_settings_and_registration() -> None:
    kinds: list[ProviderKind] = []
    register_providers(kinds.append)
    (kind,) = kinds
    settings = kind.settings_model.model_validate({"pace": "20ms", "delay": 1})
    assert (kind.kind, kind.ready(settings), settings.pace, settings.delay) == ("echo", "", 0.02, 1.0)
    assert kind.create("e", settings).name == "e"
    for wrong in ({"pace": "quick"}, {"pace": -1}, {"speed": 1}, {"delay": True}):
        with pytest.raises(ValidationError):
            EchoSettings.model_validate(wrong)


class Noting:
    """Notes in which thread it was called."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.ended = asyncio.Event()

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        self.threads.append(threading.get_ident())

    def data(self, chunk: bytes) -> None:
        self.threads.append(threading.get_ident())

    def end(self, fault: Fault | None) -> None:
        self.threads.append(threading.get_ident())
        self.ended.set()


@pytest.mark.parametrize(("size", "beside"), [(10, False), (200_000, True)])
async def test_long_requests_are_worked_out_beside_the_loop(
    size: int, beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked: list[int] = []
    compose = transport_module.compose

    def noted(*given: Any) -> Any:
        worked.append(threading.get_ident())
        return compose(*given)

    monkeypatch.setattr(transport_module, "compose", noted)
    body = {"model": "echo", "messages": [{"role": "user", "content": "x" * size}]}
    sink = Noting()
    request = UpstreamRequest("http://echo.local/", {}, orjson.dumps(body), stream=False)
    transport_module.EchoTransport(transport_module.Timing(), True).send(request, sink)
    await sink.ended.wait()
    assert (worked != [threading.get_ident()]) == beside
    assert set(sink.threads) == {threading.get_ident()}


async def test_a_long_request_may_be_cancelled_while_it_is_worked_out() -> None:
    body = {"model": "echo", "messages": [{"role": "user", "content": "x" * 200_000}]}
    sink = Noting()
    request = UpstreamRequest("http://echo.local/", {}, orjson.dumps(body), stream=False)
    exchange = transport_module.EchoTransport(transport_module.Timing(), True).send(request, sink)
    exchange.pause()
    exchange.cancel()
    await asyncio.get_running_loop().run_in_executor(None, len, "")
    for _ in range(5):
        await asyncio.sleep(0)
    assert sink.threads == []
