"""The native path: recorded streams reach the caller as they were recorded, and requests leave as they were written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import orjson
import pytest
from tollgate_anthropic import AnthropicProvider, Settings
from tollgate_anthropic.inbound import MessagesDialect
from tollgate_anthropic.inbound.folding import fold_events
from tollgate_anthropic.inbound.native import MESSAGES
from tollgate_anthropic.inbound.repair import right_block
from tollgate_anthropic.usage import translate_usage

from gateway.api import Call, CallerFault, Fault, StreamItem, UpstreamReply, seal
from gateway.testing import Transcript, all_splits, load_transcripts, make_call, make_target

from .kit import fold, read_events

Json = dict[str, Any]

TRANSCRIPTS = Path(__file__).parents[2] / "transcripts"
ANSWERS = [found for found in load_transcripts(TRANSCRIPTS) if found.status == 200]
STREAMS = [found for found in ANSWERS if found.streamed]
WHOLE = [found for found in ANSWERS if not found.streamed]
HELLO: Json = {"model": "test/model", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
KEY = "sk-ant-api03-very-secret"


def provider() -> AnthropicProvider:
    return AnthropicProvider("test", Settings(api_key=KEY, beta=("own-beta",)))


def opened(body: Json, **more: Any) -> tuple[Call, Any]:
    """A call as the dialect makes it, in the form that a target of the same dialect gets."""
    call = make_call(**more)
    conversation = MessagesDialect().open(call, body, {})
    call.model = "test/model"
    call.dialect, call.body = MESSAGES, call.forms[MESSAGES].body
    return call, conversation


def sent(body: Json, **more: Any) -> tuple[Json, dict[str, str], Call]:
    call, _ = opened(body, **more)
    call.max_output = body["max_tokens"] if "max_output" not in more else more["max_output"]
    request = provider().prepare(call, make_target("claude-sonnet-4-5")).request
    return orjson.loads(request.body), request.headers, call


# -- requests ------------------------------------------------------------------------------------------------------


def test_a_request_leaves_as_it_was_written() -> None:
    body = {
        **HELLO,
        "system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [
            {"role": "user", "content": [{"type": "brand_new", "x": 1}, {"type": "text", "text": "Hi", "odd": True}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "mm", "signature": "REAL"},
                    {"type": "redacted_thinking", "data": "DATA"},
                    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
                    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
                    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"b": 1, "a": 2}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True}]},
        ],
        "tools": [
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
            {"name": "f", "input_schema": {"type": "object"}, "defer_loading": True},
        ],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "max_tokens": 2048,
        "top_k": 5,
        "mcp_servers": [{"type": "url", "url": "https://mcp.example", "name": "m"}],
        "container": {"skills": []},
        "context_management": {"edits": []},
        "unheard_of": {"deep": [1, {"a": None}]},
    }
    out, headers, call = sent(body, headers={"anthropic-beta": "one-beta,two-beta", "anthropic-version": "2023-06-01"})
    assert out == {**body, "model": "claude-sonnet-4-5"}
    assert headers["anthropic-beta"] == "own-beta,one-beta,two-beta"
    assert headers["x-api-key"] == KEY
    assert call.dropped == []


def test_what_the_gateway_decides_is_replaced() -> None:
    out, _, _ = sent({**HELLO, "stream": True}, stream=True, max_output=50)
    assert out == {**HELLO, "model": "claude-sonnet-4-5", "stream": True, "max_tokens": 50}


@pytest.mark.parametrize(
    ("room", "thinking", "dropped"),
    [
        (5000, {"type": "enabled", "budget_tokens": 4000}, []),
        (2000, {"type": "enabled", "budget_tokens": 1600}, []),
        (1000, None, ["thinking"]),
    ],
)
def test_a_budget_fits_into_what_the_credits_pay(room: int, thinking: Json | None, dropped: list[str]) -> None:
    body = {**HELLO, "max_tokens": 8000, "thinking": {"type": "enabled", "budget_tokens": 4000}}
    out, _, call = sent(body, max_output=room)
    assert out.get("thinking") == thinking
    assert call.dropped == dropped


def test_a_budget_that_was_too_large_from_the_first_is_the_callers() -> None:
    body = {**HELLO, "max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 9000}}
    assert sent(body)[0]["thinking"]["budget_tokens"] == 9000


def test_under_strict_mode_thinking_is_not_given_up() -> None:
    body = {**HELLO, "max_tokens": 8000, "thinking": {"type": "enabled", "budget_tokens": 4000}}
    with pytest.raises(CallerFault, match="thinking"):
        sent(body, max_output=1000, strict=True)


def test_what_other_providers_made_is_taken_out() -> None:
    """A conversation that went on with another model for some turns."""
    sealed = seal([{"type": "google.thought_signature"}])
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "redacted_thinking", "data": sealed}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "mm", "signature": sealed},
                {"type": "thinking", "thinking": "of another gateway", "signature": ""},
                {"type": "thinking", "thinking": "of one that signs nothing"},
                {"type": "tool_use", "id": "functions.f:0", "name": "f", "input": {}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "functions.f:0", "content": "x"}]},
    ]
    out, _, _ = sent({**HELLO, "messages": messages})
    first, assistant, result = out["messages"]
    assert first == messages[0]
    (tool,) = assistant["content"]
    assert tool["id"].startswith("call_")
    assert result["content"] == [{"type": "tool_result", "tool_use_id": tool["id"], "content": "x"}]


@pytest.mark.parametrize("value", ["a b", "x\u00e9", "a;b", "a" * 200])
def test_a_beta_header_of_other_characters_is_refused(value: str) -> None:
    with pytest.raises(CallerFault, match="anthropic-beta"):
        sent(HELLO, headers={"anthropic-beta": value})


# -- answers -------------------------------------------------------------------------------------------------------


def relayed(transcript: Transcript, slices: list[bytes]) -> bytes:
    call, conversation = opened({**HELLO, "stream": True}, stream=True)
    reader = provider().prepare(call, make_target()).reader
    decoder, tally = reader.open_stream(), reader.open_tally(1)
    relay = conversation.relay(None, reader.dialect)
    out = b""
    for part in slices:
        data, fault = relay.feed(tally.add(decoder.feed(part)))
        assert fault is None
        out += data
    assert decoder.done
    assert tally.complete
    assert tally.usage is not None
    return out + relay.finish({**tally.usage, "cost": 3})


@pytest.mark.parametrize("transcript", STREAMS, ids=lambda transcript: transcript.id)
def test_a_recorded_stream_arrives_as_it_was_recorded(transcript: Transcript) -> None:
    recorded = recorded_events(transcript.body)
    for event in recorded:
        if event["type"] == "message_start":
            event["message"]["model"] = "test/model"
        elif event["type"] == "message_delta":
            event["usage"]["cost"] = 3
    for _, slices in all_splits(transcript.body, range(2)):
        assert read_events(relayed(transcript, slices)) == recorded


def test_an_event_of_several_lines_is_told_in_one() -> None:
    transcript = STREAMS[0]
    spread = b"".join(
        b"".join(b"data: " + line + b"\n" for line in orjson.dumps(event, option=orjson.OPT_INDENT_2).splitlines())
        + b"\n"
        for event in recorded_events(transcript.body)
    )
    out = relayed(transcript, [spread])
    assert out.count(b"\ndata: ") == out.count(b"event: ")
    assert read_events(out) == read_events(relayed(transcript, [transcript.body]))


@pytest.mark.parametrize("transcript", STREAMS, ids=lambda transcript: transcript.id)
def test_who_watches_sees_chat_chunks_and_the_caller_the_same_events(transcript: Transcript) -> None:
    call, conversation = opened({**HELLO, "stream": True}, stream=True)
    seen: list[Any] = []
    reader = provider().prepare(call, make_target()).reader
    relay, tally = conversation.relay(seen.append, reader.dialect), reader.open_tally(1)
    data, fault = relay.feed(tally.add(reader.open_stream().feed(transcript.body)))
    assert fault is None
    assert tally.usage is not None
    whole = data + relay.finish({**tally.usage, "cost": 3})
    assert read_events(whole) == read_events(relayed(transcript, [transcript.body]))
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in seen)
    text = "".join(choice["delta"].get("content") or "" for chunk in seen for choice in chunk["choices"])
    assert text == "".join(block["text"] for block in fold(read_events(whole))["content"] if block["type"] == "text")


@pytest.mark.parametrize("transcript", WHOLE, ids=lambda transcript: transcript.id)
def test_a_recorded_message_arrives_as_it_was_recorded(transcript: Transcript) -> None:
    call, conversation = opened(HELLO)
    answer = provider().prepare(call, make_target()).reader.read_reply(transcript.reply)
    said = orjson.loads(transcript.body)
    assert answer.usage == translate_usage(said["usage"])
    assert answer.output_tokens > 0
    answer.usage = {**(answer.usage or {}), "cost": 3}
    found = conversation.whole(answer)
    assert found == {"stop_sequence": None, **said, "model": "test/model", "usage": {**said["usage"], "cost": 3}}


@pytest.mark.parametrize("transcript", STREAMS, ids=lambda transcript: transcript.id)
def test_a_stream_that_nobody_asked_for_is_the_message_it_adds_up_to(transcript: Transcript) -> None:
    call, _ = opened(HELLO)
    reader = provider().prepare(call, make_target("claude-sonnet-4-5")).reader
    message = reader.read_reply(UpstreamReply(200, {}, transcript.body)).body
    wanted = fold(read_events(transcript.body))
    assert {**message, "usage": None} == {**wanted, "usage": None}
    assert message["usage"]["output_tokens"] == wanted["usage"]["output_tokens"]


def test_what_an_sdk_takes_for_given_is_filled() -> None:
    due = {"type": "message", "role": "assistant", "content": [], "stop_reason": None, "stop_sequence": None}
    for given in ({"id": "msg_1"}, {"id": "msg_1", "usage": None}):
        call, conversation = opened({**HELLO, "stream": True}, stream=True)
        relay = conversation.relay(None, provider().prepare(call, make_target()).reader.dialect)
        data, fault = relay.feed([orjson.dumps({"type": "message_start", "message": given})])
        assert fault is None
        message = recorded_events(data)[0]["message"]
        assert message == {**given, **due, "model": "test/model", "usage": {"input_tokens": 0, "output_tokens": 0}}
    said = {"id": "msg_1", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}
    call, conversation = opened(HELLO)
    reply = replace(WHOLE[0].reply, body=orjson.dumps(said))
    answer = provider().prepare(call, make_target()).reader.read_reply(reply)
    assert answer.usage is None  # what nobody told is estimated, and not free
    assert conversation.whole(answer) == {**due, **said, "model": "test/model"}


def test_the_bill_is_that_of_the_chat_path() -> None:
    for transcript in STREAMS:
        native, _ = opened({**HELLO, "stream": True}, stream=True)
        tallies = []
        for call in (make_call(stream=True), native):
            reader = provider().prepare(call, make_target()).reader
            tallies.append(reader.open_tally(1))
            tallies[-1].add(reader.open_stream().feed(transcript.body))
        hub, own = tallies
        assert hub.usage == own.usage
        assert hub.finish_reason == own.finish_reason


def items_of(events: list[bytes]) -> list[StreamItem]:
    call, _ = opened({**HELLO, "stream": True}, stream=True)
    decoder = provider().prepare(call, make_target()).reader.open_stream()
    return [item for event in events for item in decoder.feed(event)] + decoder.finish()


def event(value: Json) -> bytes:
    return b"event: " + value["type"].encode() + b"\ndata: " + orjson.dumps(value) + b"\n\n"


def test_an_error_event_is_a_fault_without_the_operators_key() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": f"Overloaded {KEY}"}}
    items = items_of([event({"type": "ping"}), event(error), event({"type": "message_stop"})])
    assert items[0] == b'{"type":"ping"}'
    (fault,) = [item for item in items if isinstance(item, Fault)]
    assert (fault.status, fault.type) == (503, "overloaded")
    assert KEY not in fault.detail + fault.message
    assert len(items) == 2


def test_an_end_that_tells_of_a_failure_is_a_fault() -> None:
    for reason, failed in (("internal_error", True), ("content_policy", False), ("of_tomorrow", False)):
        items = items_of([event({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {}})])
        assert isinstance(items[-1], Fault) is failed


def test_a_second_answer_inside_the_first_is_a_fault() -> None:
    (transcript,) = load_transcripts(TRANSCRIPTS / "broken")
    items = items_of([transcript.body])
    assert isinstance(items[-1], Fault)
    assert b"toolu_second" not in b"".join(item for item in items if isinstance(item, bytes))


@pytest.mark.parametrize("payload", [b"{", b"nonsense", b'{"type":"content_block_delta"'])
def test_what_is_no_json_is_a_fault(payload: bytes) -> None:
    items = items_of([b"data: " + payload + b"\n\n"])
    assert isinstance(items[-1], Fault)


@pytest.mark.parametrize("kind", [b"content_block_delta", b"content_block_start", b"message_delta", b"message_start"])
def test_numbers_that_are_none_are_null(kind: bytes) -> None:
    begin, block = begun({"type": "text", "text": ""})
    before = {b"content_block_delta": [begin, block], b"message_start": []}.get(kind, [begin])
    more = {b"content_block_start": b'"content_block":{}', b"message_start": b'"message":{"id":"m"}'}.get(
        kind, b'"x":0'
    )
    broken = b'{"type":"%b","index":0,"delta":{"text":"NaN","score":%b},"n":[%b,12345678901234567890123],%b}'
    mended = broken % (kind, b"null", b"null", more)
    assert items_of([*before, b"data: " + broken % (kind, b"NaN", b"-Infinity", more) + b"\n\n"])[-1] == mended
    text = b'{"type":"%b","index":0,"delta":{"text":"NaN and \\u00e9 Infinity"},%b}' % (kind, more)
    assert items_of([*before, b"data: " + text + b"\n\n"])[-1] == text


def begun(block: Json) -> list[bytes]:
    """The events of a message, and of its first block."""
    message = {"id": "m", "type": "message", "role": "assistant", "content": [], "usage": {"input_tokens": 3}}
    start = {"type": "content_block_start", "index": 0, "content_block": block}
    return [event({"type": "message_start", "message": message}), event(start)]


TEXT: Json = {"type": "text", "text": ""}
TOOL: Json = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
PIECES = [({"type": "text_delta", "text": "hi"}, TEXT), ({"type": "input_json_delta", "partial_json": '{"a":1}'}, TOOL)]


def streamed(*left_out: str, index: Any = "right", reason: str = "tool_use", tools: int = 1) -> list[Json]:
    """A message of a text and calls, without some of its events, and what its reader makes of it."""
    events = [orjson.loads(begun(TEXT)[0].split(b"data: ")[1])]
    for place, (delta, block) in enumerate([PIECES[0], *PIECES[1:] * tools]):
        where = {} if index is None else {"index": place if index == "right" else index}
        events.append({"type": "content_block_start", **where, "content_block": block})
        events.append({"type": "content_block_delta", **where, "delta": delta})
        events.append({"type": "content_block_stop", **where})
    events.append({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": {}})
    items = items_of([event(one) for one in [*events, {"type": "message_stop"}] if one["type"] not in left_out])
    assert all(isinstance(item, bytes) for item in items)
    return [orjson.loads(item) for item in items]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("left_out", "more"),
    [
        ((), {"index": None}), ((), {"index": 0}), (("content_block_stop",), {}), (("message_stop",), {}),
        (("content_block_stop",), {"index": None}), ((), {"reason": "end_turn"}), ((), {"reason": "tool_calls"}),
        (("message_start",), {}),
    ],
)  # fmt: skip
def test_streams_of_servers_that_copied_the_dialect(left_out: tuple[str, ...], more: Json) -> None:
    right = streamed()
    found = streamed(*left_out, **more)
    if "message_start" in left_out:
        assert found[0]["message"]["id"] == "msg_test"
        found[0] = right[0]
    assert found == right


def test_what_a_stream_says_of_its_calls_holds() -> None:
    *_, last = streamed(tools=0)
    assert last["delta"]["stop_reason"] == "end_turn"
    blocks = [one["content_block"] for one in streamed(tools=2) if "content_block" in one]
    ids = [block["id"] for block in blocks if block["type"] == "tool_use"]
    assert len(set(ids)) == 2
    begin, block = begun({**TOOL, "name": ""})
    assert isinstance(items_of([begin, block])[-1], Fault)
    assert read_whole({"content": [{**TOOL, "input": '{"a":1}'}, {**TOOL, "id": ""}], "stop_reason": "end_turn"}) == [
        ("t", {"a": 1}), (ANY, {}), "tool_use",
    ]  # fmt: skip
    assert read_whole({"content": "hi", "stop_reason": "stop"}) == ["hi", "end_turn"]
    with pytest.raises(Fault):
        read_whole({"content": [{**TOOL, "name": ""}], "stop_reason": "tool_use"})


def read_whole(message: Json) -> list[Any]:
    """The calls or texts of a whole message as the caller gets it, and its reason."""
    call, _ = opened(HELLO)
    reader = provider().prepare(call, make_target("claude-sonnet-4-5")).reader
    body = reader.read_reply(UpstreamReply(200, {}, orjson.dumps(message))).body
    said = [(one["id"], one["input"]) if one["type"] == "tool_use" else one["text"] for one in body["content"]]
    return [*said, body["stop_reason"]]


def test_a_usage_that_was_not_told_is_what_is_billed() -> None:
    call, conversation = opened({**HELLO, "stream": True}, stream=True)
    reader = provider().prepare(call, make_target()).reader
    relay, tally = conversation.relay(None, reader.dialect), reader.open_tally(1)
    message = {"id": "m", "usage": {"input_tokens": 3, "output_tokens": 1}}
    events = [
        {"type": "message_start", "message": message},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    ]
    out = relay.feed(tally.add(reader.open_stream().feed(b"".join(map(event, events)))))[0]
    assert tally.usage["completion_tokens"] == 0
    last = read_events(out + relay.finish({"prompt_tokens": 3, "completion_tokens": 7, "total_tokens": 10}))[-2]
    assert (last["type"], last["usage"]["output_tokens"]) == ("message_delta", 7)


@pytest.mark.parametrize("payload", [b"1", b"[]", b"{}", b'{"type":1}', b'{"type":"a\\nb"}', b"[DONE]"])
def test_what_is_no_event_is_passed_over(payload: bytes) -> None:
    assert items_of([b"data: " + payload + b"\n\n"]) == []


def test_an_answer_that_the_gateway_cuts_ends_for_its_length() -> None:
    call, conversation = opened({**HELLO, "stream": True}, stream=True)
    reader = provider().prepare(call, make_target()).reader
    relay, decoder = conversation.relay(None, reader.dialect), reader.open_stream()
    start = {"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "content": [],
             "model": "x", "stop_reason": None, "usage": {"input_tokens": 3, "output_tokens": 1}}}  # fmt: skip
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}
    data, _ = relay.feed(decoder.feed(event(start) + event(block) + event(delta)))
    relay.cut()
    found = fold(read_events(data + relay.finish({"prompt_tokens": 3, "completion_tokens": 2, "cost": 1})))
    assert found["stop_reason"] == "max_tokens"
    assert found["usage"]["output_tokens"] == 2
    assert found["content"] == [{"type": "text", "text": "Hello"}]


def recorded_events(body: bytes) -> list[Json]:
    return [orjson.loads(line[5:]) for line in body.splitlines() if line.startswith(b"data:") and b"[DONE]" not in line]


def test_an_input_as_a_text_is_read_as_that_of_every_other_call():
    block = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": '{"a": "one\ntwo"}'}
    assert right_block(block, set(), "")["input"] == {"a": "one\ntwo"}
    assert right_block({**block, "input": "soon"}, set(), "")["input"] == {"INVALID_JSON": "soon"}
    assert right_block({**block, "input": " "}, set(), "")["input"] == {}
    events = [
        {"type": "content_block_start", "index": 0, "content_block": {**block, "input": {}}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": '{"a": "one\n'},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": 'two"}'}},
    ]
    assert fold_events(events)["content"][0]["input"] == {"a": "one\ntwo"}
