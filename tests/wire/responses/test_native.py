"""Requests and answers for an upstream that speaks Responses itself."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from gateway.errors import Fault, UpstreamFault
from gateway.wire.bridge.back_reply import ChatFromResponses
from gateway.wire.chat.fold import fold_stream
from gateway.wire.responses import native as native_module
from gateway.wire.responses.events import encode_events
from gateway.wire.responses.fold import ResponseFold
from gateway.wire.responses.ids import item_id_for_call
from gateway.wire.responses.items import canonical_items
from gateway.wire.responses.native import NativeRelay, native_request, native_response, short_call_id
from gateway.wire.responses.objects import new_response
from gateway.wire.responses.sealed_reasoning import seal
from gateway.wire.sse import EventReader

FIXTURES = Path(__file__).parents[1] / "fixtures" / "responses"
Json = dict[str, Any]
_SCHEMAS = orjson.loads((FIXTURES / "openai-schemas.json").read_bytes())["$defs"]
ITEM = Draft202012Validator({"$ref": "#/$defs/InputItem", "$defs": _SCHEMAS})

ENCRYPTED = {"type": "reasoning", "id": "rs_0820", "summary": [], "encrypted_content": "gAAAA", "status": None}


def native(*items: Any, earlier: list[Json] | None = None, **body: Any) -> tuple[Json, list[str]]:
    request = {"input": list(items), **body}
    known = canonical_items(earlier or [])
    return native_request(request, canonical_items(list(items), earlier=known), earlier=known)


def test_a_plain_request_is_hardly_changed() -> None:
    request = {"input": "hi", "model": "m", "brand_new": {"a": 1}, "metadata": {"a": "b"}, "truncation": "auto"}
    body, dropped = native_request(request, canonical_items("hi"))
    assert body == {**request, "store": False, "include": ["reasoning.encrypted_content"]}
    assert dropped == []


def test_the_state_is_ours() -> None:
    earlier = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    body, _ = native(
        {"role": "user", "content": "more"},
        earlier=earlier,
        previous_response_id="resp_1",
        store=True,
        background=True,
        include=["message.output_text.logprobs"],
    )
    assert [item["content"] for item in body["input"]] == ["q", "a", "more"]
    assert "previous_response_id" not in body
    assert "background" not in body
    assert body["store"] is False
    assert body["include"] == ["message.output_text.logprobs", "reasoning.encrypted_content"]


def test_both_spellings_reach_openai_in_its_own() -> None:
    item_id = "fc_call_Z"
    body, dropped = native(
        {
            "type": "function_call",
            "id": item_id,
            "callId": item_id,
            "name": "f",
            "arguments": "{}",
            "parsed_arguments": None,
        },
        {"type": "function_call_output", "callId": item_id, "id": item_id, "output": "1"},
        {"type": "custom_tool_call", "id": "ctc_call_Y", "name": "c", "input": "x", "status": "completed"},
        {"type": "custom_tool_call_output", "id": "ctc_call_Y", "output": "2"},
    )
    assert body["input"] == [
        {"type": "function_call", "call_id": "call_Z", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_Z", "output": "1"},
        {"type": "custom_tool_call", "call_id": "call_Y", "name": "c", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "call_Y", "output": "2"},
    ]
    assert dropped == []
    for item in body["input"]:
        ITEM.validate(item)


def test_the_recorded_request_of_a_client_of_openai_goes_out_as_it_came() -> None:
    request = orjson.loads((FIXTURES / "reasoning-and-call.request.json").read_bytes())
    body, dropped = native_request(request, canonical_items(request["input"]))
    for item in request["input"]:
        item.setdefault("type", "message")
        if item.get("role") == "assistant":
            item["content"] = item["content"][0]["text"]
    assert body == request
    assert dropped == []


def test_unknown_keys_of_calls_are_reported() -> None:
    body, dropped = native({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "mine": 1})
    assert "mine" not in body["input"][0]
    assert dropped == ["input[0].mine"]


def test_messages_have_neither_id_nor_what_sdks_add() -> None:
    part = {"type": "output_text", "text": "a", "annotations": [], "parsed": {"a": 1}}
    said = {"type": "message", "role": "assistant", "id": "msg_0786", "status": "completed", "phase": "final_answer"}
    refusal = {"type": "refusal", "refusal": "no"}
    body, dropped = native(
        {**said, "content": [part, part]}, {**said, "content": [part, refusal]}, {"role": "user", "content": [part]}
    )
    bare = {"type": "output_text", "text": "a", "annotations": []}
    assert body["input"] == [
        {"type": "message", "role": "assistant", "phase": "final_answer", "content": "aa"},
        {"type": "message", "role": "assistant", "phase": "final_answer", "content": [bare, refusal]},
        {"type": "message", "role": "user", "content": [bare]},
    ]
    ITEM.validate(body["input"][0])
    assert dropped == []


def test_what_the_gateways_own_tools_did_is_told_in_words() -> None:
    ours = {
        "type": "web_search_call",
        "id": "ws_gw1_3",
        "status": "completed",
        "action": {"type": "search", "query": "q"},
    }
    approval = {"type": "mcp_approval_request", "id": "mcpr_gw1_4"}
    theirs = {"type": "web_search_call", "id": "ws_0b5c", "status": "completed"}
    other = {"type": "mcp_call", "id": "mcp_0b5c", "name": "x", "arguments": "{}"}
    body, dropped = native(ours, theirs, other, approval)
    told = {"type": "message", "role": "assistant", "content": '(Searched the web for "q")'}
    assert body["input"] == [told, {"type": "web_search_call", "status": "completed"}, other]
    assert dropped == ["input[3] (mcp_approval_request)"]


def test_reasoning_only_with_what_proves_it() -> None:
    sealed = {"type": "reasoning", "id": "rs_gw1_0", "summary": [], "encrypted_content": seal([{"type": "thinking"}])}
    carried = {
        "type": "reasoning",
        "id": "rs_gw1_1",
        "summary": [],
        "encrypted_content": seal([{"type": "responses.reasoning", "item": ENCRYPTED}]),
    }
    bare = {"type": "reasoning", "id": "rs_08", "summary": []}
    body, dropped = native(ENCRYPTED, sealed, bare, earlier=[carried])
    expected = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}
    assert body["input"] == [expected, expected]
    assert dropped == ["input[1] (reasoning)", "input[2] (reasoning)"]


def test_long_call_ids_are_shortened_alike() -> None:
    assert short_call_id("a" * 64) == "a" * 64
    assert short_call_id("a" * 65) == short_call_id("a" * 65) != short_call_id("b" * 65)
    assert len(short_call_id("a" * 65)) <= 64


# -- answers ----------------------------------------------------------------------------------------------------

REQUEST = {"input": "x", "store": True, "previous_response_id": "resp_0", "conversation": None}
BEGUN = new_response(REQUEST, response_id="resp_ours", model="openai/gpt", now=1)
OVERLAY = {key: BEGUN[key] for key in ("id", "model", "store", "previous_response_id", "background")}
STREAMS = ["parallel-calls", "reasoning-and-call", "refusal", "incomplete", "text", "web-search"]


def payloads(name: str) -> list[bytes]:
    return EventReader().feed_data((FIXTURES / f"{name}.sse").read_bytes())


def relayed(data: bytes) -> list[Json]:
    return [orjson.loads(entry) for entry in EventReader().feed_data(data)]


def holds(ours: Any, theirs: Any) -> bool:
    """Whether `ours` says all that `theirs` says; more may have been filled in."""
    if isinstance(theirs, dict):
        return isinstance(ours, dict) and all(key in ours and holds(ours[key], theirs[key]) for key in theirs)
    if isinstance(theirs, list):
        return isinstance(ours, list) and len(ours) == len(theirs) and all(map(holds, ours, theirs))
    return bool(ours == theirs)


@pytest.mark.parametrize("name", STREAMS)
def test_only_our_own_words_are_changed(name: str) -> None:
    relay = NativeRelay(BEGUN)
    events = relayed(b"".join(relay.feed(data) for data in payloads(name)))
    assert relay.ended
    assert relay.fault is None
    fold = ResponseFold()
    for ours, theirs in zip(events, map(orjson.loads, payloads(name)), strict=True):
        fold.add(ours)
        if "response" in theirs:
            theirs["response"].update(OVERLAY)
        for side in (ours, theirs):
            for item in (side.get("item"), *side.get("response", {}).get("output", ())):
                if item and item["type"] == "function_call":
                    assert side is theirs or item["id"] == item_id_for_call(item["call_id"])
                    del item["id"]
            if "function_call" in side["type"]:
                del side["item_id"]
        assert holds(ours, theirs), theirs
    assert fold.problems == []
    assert relay.final is not None
    assert relay.usage == relay.final["usage"]


def test_frequent_events_pass_as_they_are() -> None:
    relay = NativeRelay(BEGUN)
    for data in payloads("text"):
        if b"output_text.delta" in data:
            break
        relay.feed(data)
    delta = data
    assert relay.feed(delta) == b"event: response.output_text.delta\ndata: " + delta + b"\n\n"
    spaced = delta.replace(b",", b",\n", 1)
    assert relay.feed(spaced).count(b"\n") == 3


def test_the_ids_of_calls_lead_back_to_them_in_every_event() -> None:
    relay = NativeRelay(BEGUN)
    events = relayed(b"".join(relay.feed(data) for data in payloads("parallel-calls")))
    ids = {event["item_id"] for event in events if "item_id" in event}
    assert relay.final is not None
    assert ids == {item["id"] for item in relay.final["output"]}
    assert all(item["id"] == f"fc_{item['call_id']}" for item in relay.final["output"])


def test_the_upstreams_error_is_told_in_our_words() -> None:
    relay = NativeRelay(BEGUN)
    events = relayed(b"".join(relay.feed(data) for data in payloads("error")))
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert isinstance(relay.fault, Fault)
    assert "platform.openai.com" not in orjson.dumps(events).decode()
    assert events[-1]["response"]["error"]["message"] == events[-2]["message"] == relay.fault.message
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


@pytest.mark.parametrize("name", STREAMS)
def test_a_cut_stream_ends_as_failed_with_what_was_said(name: str) -> None:
    data = payloads(name)
    for end in random.Random(3).sample(range(1, len(data)), 5):
        relay = NativeRelay(BEGUN, remember=True)
        sent = b"".join(relay.feed(entry) for entry in data[:end])
        sent += encode_events(relay.fail(UpstreamFault("cut")))
        fold = ResponseFold()
        for event in relayed(sent):
            fold.add(event)
        assert fold.problems == []
        assert fold.final == relay.final
        assert fold.response["status"] == "failed"


def test_without_memory_a_cut_still_ends_as_failed() -> None:
    relay = NativeRelay(BEGUN)
    for data in payloads("text")[:8]:
        relay.feed(data)
    error, failed = relay.fail(UpstreamFault("cut"))
    assert (error["sequence_number"], failed["sequence_number"]) == (8, 9)
    assert failed["response"]["id"] == "resp_ours"
    Draft202012Validator({"$ref": "#/$defs/ResponseFailedEvent", "$defs": _SCHEMAS}).validate(failed)


def test_a_failure_before_the_first_event_is_a_whole_stream() -> None:
    events = NativeRelay(BEGUN).fail(UpstreamFault("cut"))
    assert [event["type"] for event in events] == ["response.created", "error", "response.failed"]
    assert [event["sequence_number"] for event in events] == [0, 1, 2]


@pytest.mark.parametrize("data", [b"[]", b"x", b'{"no":"type"}', b'{"type":5}'])
def test_what_is_no_event_is_the_upstreams_fault(data: bytes) -> None:
    with pytest.raises(UpstreamFault):
        NativeRelay(BEGUN).feed(data)


ODD_CALL = {"id": "fc_1", "type": "function_call", "call_id": "call_a", "name": "f", "status": "completed"}
ODD_MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}


@pytest.mark.parametrize(
    ("item", "member", "meant"),
    [
        ({**ODD_CALL, "arguments": ""}, "arguments", "{}"),
        ({**ODD_CALL, "arguments": None}, "arguments", "{}"),
        ({**ODD_CALL, "arguments": {"a": 1}}, "arguments", '{"a":1}'),
        (
            {**ODD_MESSAGE, "content": "Hello"},
            "content",
            [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}],
        ),
    ],
)
@pytest.mark.parametrize("final", ["as it should be", "without its output", "without its status"])
def test_what_a_compatible_server_says_otherwise_is_put_right(item: Json, member: str, meant: Any, final: str) -> None:
    """By an end that leaves out what came before, too; the object is what is kept for the next turn."""
    events: list[Json] = [
        {"type": "response.created", "response": {"object": "response", "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress"}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
    ]
    if member == "arguments":
        done = {"type": "response.function_call_arguments.done", "item_id": "fc_1", "output_index": 0, "name": "f"}
        events.insert(2, {**done, "arguments": item["arguments"]})
    last: Json = {"object": "response", "status": "completed", "output": [item]}
    if final != "as it should be":
        last |= {"output": []} if final == "without its output" else {"status": None}
    events.append({"type": "response.completed", "response": last})
    relay = NativeRelay(BEGUN)
    sent = relayed(b"".join(relay.feed(orjson.dumps(event)) for event in events))
    assert relay.final is not None
    assert relay.final["status"] == "completed"
    assert [made[member] for made in relay.final["output"]] == [meant]
    assert sent[-1]["response"] == relay.final
    assert sent[-2]["item"][member] == meant
    if member == "arguments":
        assert next(event["arguments"] for event in sent if event["type"].endswith("arguments.done")) == meant
    whole = native_response({"object": "response", "output": [item]}, BEGUN)
    assert (whole["status"], whole["output"][0][member]) == ("completed", meant)


def test_whole_answers() -> None:
    recorded = orjson.loads((FIXTURES / "calls.json").read_bytes())
    made = native_response(recorded, BEGUN)
    assert (made["id"], made["model"], made["previous_response_id"]) == ("resp_ours", "openai/gpt", "resp_0")
    calls = [item for item in made["output"] if item["type"] == "function_call"]
    assert calls
    assert all(item["id"] == f"fc_{item['call_id']}" for item in calls)
    assert holds(made["usage"], recorded["usage"])
    for wrong in ({}, {"object": "response"}, {"object": "response", "output": [], "status": "failed", "error": {}}):
        with pytest.raises(Fault):
            native_response(wrong, BEGUN)


def test_asking_often_how_far_it_came_adds_each_event_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    added = 0

    class Counted(native_module.ResponseFold):
        def add(self, event: Any) -> None:
            nonlocal added
            added += 1
            super().add(event)

    monkeypatch.setattr(native_module, "ResponseFold", Counted)
    relay = native_module.NativeRelay({"id": "resp_1"}, remember=True)
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    part = {"type": "output_text", "text": "", "annotations": []}
    where = {"output_index": 0, "item_id": "msg_1", "content_index": 0}
    relay.feed(orjson.dumps({"type": "response.output_item.added", "output_index": 0, "item": item}))
    relay.feed(orjson.dumps({"type": "response.content_part.added", **where, "part": part}))
    for number in range(1, 101):
        relay.feed(orjson.dumps({"type": "response.output_text.delta", **where, "delta": "x"}))
        assert relay.added_up()["output"][0]["content"][0]["text"] == "x" * number
    assert added == 102
    assert not relay.add_up(10)
    for _ in range(25):
        relay.feed(orjson.dumps({"type": "response.output_text.delta", **where, "delta": "y"}))
    assert [relay.add_up(10) for _ in range(3)] == [True, True, False]
    assert relay.added_up()["output"][0]["content"][0]["text"] == "x" * 100 + "y" * 25


def test_ids_of_many_calls_are_looked_up_not_tried() -> None:
    relay = native_module.NativeRelay({"id": "resp_1"})
    for number in range(50):
        call = {
            "id": f"fc_{number}",
            "type": "function_call",
            "call_id": f"call_{number}",
            "name": "f",
            "arguments": "",
        }
        relay.feed(orjson.dumps({"type": "response.output_item.added", "output_index": number, "item": call}))
    delta = {"type": "response.function_call_arguments.delta", "output_index": 7, "item_id": "fc_7", "delta": "{"}
    assert b'"item_id":"fc_call_7"' in relay.feed(orjson.dumps(delta))
    other = {"type": "response.output_item.added", "output_index": 50, "item": {**ODD_MESSAGE, "id": "msg_9"}}
    relay.feed(orjson.dumps(other))
    said = {**delta, "type": "response.output_text.delta", "output_index": 50, "content_index": 0, "item_id": "msg_9"}
    assert b'"item_id":"msg_9"' in relay.feed(orjson.dumps(said))


def test_items_whose_events_name_no_place_are_found_by_their_ids() -> None:
    """llama.cpp sends none; a last object without the calls (SGLang's router) gets them, without their `done`, too."""
    calls = [{**ODD_CALL, "id": f"fc_{name}", "call_id": name, "arguments": ""} for name in "ab"]
    kind = "response.function_call_arguments"
    events: list[Json] = [{"type": "response.output_item.added", "item": {**c, "status": "in_progress"}} for c in calls]
    events += [{"type": f"{kind}.delta", "item_id": call["id"], "delta": "{}"} for call in calls]
    events += [{"type": f"{kind}.done", "item_id": call["id"], "name": "f", "arguments": "{}"} for call in calls]
    message = {**ODD_MESSAGE, "content": [{"type": "text", "text": ""}]}
    events.append({"type": "response.completed", "response": {"object": "response", "output": [message]}})
    relay = NativeRelay(BEGUN)
    sent = relayed(b"".join(relay.feed(orjson.dumps(event)) for event in events))
    assert [event["output_index"] for event in sent[:-1]] == [0, 1, 0, 1, 0, 1]
    assert relay.final is not None
    said, *made = relay.final["output"]
    assert said["content"][0]["type"] == "output_text"
    assert [(item["call_id"], item["arguments"], item["status"]) for item in made] == [
        ("a", "{}", "completed"), ("b", "{}", "completed"),
    ]  # fmt: skip
    back = ChatFromResponses(completion_id="c", model="m", created=1)
    chunks = [chunk for event in events for chunk in back.feed(event) if isinstance(chunk, dict)]
    told = fold_stream(chunks)["choices"][0]["message"]["tool_calls"]
    assert [(call["id"], call["function"]["arguments"]) for call in told] == [("a", "{}"), ("b", "{}")]


def test_a_time_that_is_none_is_ours() -> None:
    made = native_response({"object": "response", "output": [], "created_at": "today"}, {**BEGUN, "created_at": 7})
    assert made["created_at"] == 7
