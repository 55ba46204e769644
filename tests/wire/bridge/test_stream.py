"""Chat chunks as Responses events: order, numbering, ids, schemas, and the final object they add up to."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gateway.errors import Fault, GatewayFault, UpstreamFault
from gateway.wire.bridge.back_reply import ChatFromResponses
from gateway.wire.bridge.reply import response_from_chat
from gateway.wire.bridge.request import chat_from_responses
from gateway.wire.bridge.stream import BridgeStream
from gateway.wire.chat.request import fold_stream
from gateway.wire.responses.events import DeltaTemplate, encode_event, encode_events, error_event
from gateway.wire.responses.fold import ResponseFold
from gateway.wire.responses.ids import item_id_for_call
from gateway.wire.responses.items import canonical_items
from gateway.wire.responses.sealed_reasoning import unseal
from gateway.wire.sse import EventReader

FIXTURES = Path(__file__).parents[1] / "fixtures" / "responses"
Json = dict[str, Any]


@functools.cache
def validators(file: str) -> dict[str, Draft202012Validator]:
    """Validators of a document's events by their type."""
    schemas = orjson.loads((FIXTURES / file).read_bytes())["$defs"]
    made = {}
    for name, schema in schemas.items():
        kind = schema.get("properties", {}).get("type", {}).get("enum", [None])[0]
        if name.endswith("Event") and kind:
            made[kind] = Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schemas})
    return made


# Extensions of OpenAI that the Open Responses document of 2026-04-24 does not know.
_OPENAI_ONLY = ("reasoning_text", "custom", "image_generation_call", "web_search_call")


def check(events: list[Json], response: Json) -> list[str]:
    """Everything that is always true of a whole stream. Returns the types in order."""
    fold = ResponseFold()
    assert events[0]["sequence_number"] == 0
    openai_only = any(kind in orjson.dumps(events).decode() for kind in _OPENAI_ONLY)
    for event in events:
        fold.add(event)
        validators("openai-schemas.json")[event["type"]].validate(event)
        if not openai_only and event["type"] != "error":
            validators("open-responses-schemas.json")[event["type"]].validate(event)
    assert fold.problems == []
    assert fold.final == response
    assert fold.added_up == response
    ids = [item["id"] for item in response["output"]]
    assert len(set(ids)) == len(ids)
    return [event["type"].removeprefix("response.") for event in events]


def chunk(delta: Json | None = None, finish: str | None = None, **members: Any) -> Json:
    choice = {"index": 0, "delta": delta or {}, "logprobs": members.pop("logprobs", None), "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [choice], **members}


def call(index: int, arguments: str = "", name: str | None = None, call_id: str | None = None) -> Json:
    function: Json = {"arguments": arguments}
    entry: Json = {"index": index, "function": function}
    if name is not None:
        function["name"] = name
    if call_id is not None:
        entry.update({"id": call_id, "type": "function"})
    return {"tool_calls": [entry]}


USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
USAGE_CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [], "usage": USAGE}


def bridge(request: Json | None = None, **options: Any) -> BridgeStream:
    return BridgeStream(request or {"input": "x"}, response_id="resp_1", model="a/b", now=100, **options)


def run(*chunks: Json, request: Json | None = None, **options: Any) -> tuple[list[Json], Json]:
    stream = bridge(request, **options)
    events = stream.start()
    for entry in chunks:
        events += stream.feed(entry)
    events += stream.finish(105)
    return events, stream.response


BEGIN = ["created", "in_progress"]
TEXT = ["output_item.added", "content_part.added"]
TEXT_END = ["output_text.done", "content_part.done", "output_item.done"]


# -- the sequence -----------------------------------------------------------------------------------------------


def test_plain_text() -> None:
    events, response = run(
        chunk({"role": "assistant", "content": ""}), chunk({"content": "Hel"}), chunk({"content": "lo"}),
        chunk({}, "stop"), USAGE_CHUNK,
    )  # fmt: skip
    assert check(events, response) == [*BEGIN, *TEXT, *["output_text.delta"] * 2, *TEXT_END, "completed"]
    assert response["status"] == "completed"
    assert response["model"] == "a/b"
    assert (response["created_at"], response["completed_at"]) == (100, 105)
    assert response["output"] == [
        {
            "id": "msg_gw1_0",
            "type": "message",
            "status": "completed",
            "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": "Hello"}],
            "role": "assistant",
        }
    ]
    assert response["usage"] == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 12,
    }


def test_the_sequence_is_that_of_openai() -> None:
    recorded = [orjson.loads(data) for data in EventReader().feed_data((FIXTURES / "text.sse").read_bytes())]
    deltas = [event["delta"] for event in recorded if event["type"] == "response.output_text.delta"]
    events, _ = run(*[chunk({"content": delta}) for delta in deltas], chunk({}, "stop"), USAGE_CHUNK)
    assert [event["type"] for event in events] == [event["type"] for event in recorded]
    for ours, theirs in zip(events, recorded, strict=True):
        assert theirs.keys() - ours.keys() <= {"obfuscation"}


@pytest.mark.parametrize("name", ["parallel-calls", "refusal", "web-search", "incomplete"])
def test_recorded_conversations_have_the_same_shape_through_the_bridge(name: str) -> None:
    """OpenAI's recorded answer, said in chat chunks, and bridged back: item for item what OpenAI made of it."""
    data = (FIXTURES / f"{name}.sse").read_bytes()
    recorded = [orjson.loads(payload) for payload in EventReader().feed_data(data)]
    machine = ChatFromResponses(completion_id="c", model="m", created=1)
    chunks = [chunk for event in recorded for chunk in machine.feed(event)]
    events, response = run(*[entry for entry in chunks if isinstance(entry, dict)])
    check(events, response)
    final = recorded[-1]["response"]
    theirs = [item for item in final["output"] if not item["type"].endswith("search_call")]
    assert response["status"] == final["status"]
    assert response["incomplete_details"] == final["incomplete_details"]
    strip = ("id", "logprobs")
    ours = [{key: value for key, value in item.items() if key not in strip} for item in response["output"]]
    assert ours == [{key: value for key, value in item.items() if key not in strip} for item in theirs]


def test_reasoning_text_then_answer() -> None:
    events, response = run(
        chunk({"reasoning_content": "hm"}), chunk({"reasoning_content": " ok"}), chunk({"content": "yes"}),
        chunk({}, "stop"), USAGE_CHUNK,
    )  # fmt: skip
    assert check(events, response) == [
        *BEGIN, "output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.delta",
        "reasoning_text.done", "content_part.done", "output_item.done",
        *TEXT, "output_text.delta", *TEXT_END, "completed",
    ]  # fmt: skip
    assert response["output"][0] == {
        "id": "rs_gw1_0",
        "type": "reasoning",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "hm ok"}],
    }


def test_reasoning_is_a_summary_when_summaries_were_asked_for() -> None:
    events, response = run(
        chunk({"reasoning": "hm"}), chunk({"content": "yes"}), chunk({}, "stop"), USAGE_CHUNK,
        request={"input": "x", "reasoning": {"summary": "auto"}},
    )  # fmt: skip
    types = check(events, response)
    assert types[2:8] == [
        "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
        "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done",
    ]  # fmt: skip
    assert response["output"][0]["summary"] == [{"type": "summary_text", "text": "hm"}]


def test_parallel_calls_interleave_and_close_in_order() -> None:
    events, response = run(
        chunk(call(0, "", "f", "call_A")), chunk(call(1, '{"b"', "g", "functions.g:1")), chunk(call(0, '{"a"')),
        chunk(call(1, ":2}")), chunk(call(0, ":1}")), chunk({}, "tool_calls"), USAGE_CHUNK,
    )  # fmt: skip
    assert check(events, response) == [
        *BEGIN, "output_item.added", "output_item.added", *["function_call_arguments.delta"] * 4,
        *["function_call_arguments.done", "output_item.done"] * 2, "completed",
    ]  # fmt: skip
    assert [(item["call_id"], item["arguments"], item["status"]) for item in response["output"]] == [
        ("call_A", '{"a":1}', "completed"),
        ("functions.g:1", '{"b":2}', "completed"),
    ]
    assert [item["id"] for item in response["output"]] == ["fc_call_A", item_id_for_call("functions.g:1")]


def test_text_closes_before_a_call_and_opens_anew_after_one() -> None:
    events, response = run(
        chunk({"content": "a"}),
        chunk(call(0, "{}", "f", "c1")),
        chunk({"content": "b"}),
        chunk({}, "stop"),
        USAGE_CHUNK,
    )
    check(events, response)
    assert [item["type"] for item in response["output"]] == ["message", "function_call", "message"]


def test_refusals_have_their_own_part() -> None:
    events, response = run(
        chunk({"content": "Well"}),
        chunk({"refusal": "I can"}),
        chunk({"refusal": "not"}),
        chunk({}, "stop"),
        USAGE_CHUNK,
    )
    assert check(events, response)[6:12] == [
        "content_part.done", "content_part.added", *["refusal.delta"] * 2, "refusal.done", "content_part.done",
    ]  # fmt: skip
    assert response["output"][0]["content"][1] == {"type": "refusal", "refusal": "I cannot"}


def test_logprobs_and_annotations() -> None:
    logprobs = {
        "content": [
            {
                "token": "é",
                "logprob": -0.5,
                "bytes": None,
                "top_logprobs": [{"token": "e", "logprob": -1, "bytes": [101]}],
            },
            {"token": "x", "logprob": None},
            "rubbish",
        ]
    }
    citation = {
        "type": "url_citation",
        "url_citation": {"url": "https://x", "title": "t", "start_index": 0, "end_index": 1},
    }
    events, response = run(
        chunk({"annotations": [{"type": "url_citation"}]}), chunk({"content": "é"}, logprobs=logprobs),
        chunk({"annotations": [citation, 5, {}]}), chunk({}, "stop"), USAGE_CHUNK,
    )  # fmt: skip
    check(events, response)
    (part,) = response["output"][0]["content"]
    assert part["logprobs"] == [
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "top_logprobs": [{"token": "e", "logprob": -1, "bytes": [101]}],
        },
        {"token": "x", "logprob": -9999.0, "bytes": [120], "top_logprobs": []},
    ]
    assert [annotation["url"] for annotation in part["annotations"]] == ["", "https://x"]
    assert part["annotations"][1] == {
        "type": "url_citation", "url": "https://x", "title": "t", "start_index": 0, "end_index": 1,
    }  # fmt: skip


def test_images_that_a_model_made() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    events, response = run(
        chunk({"content": "here", "images": [image]}),
        chunk({}, "stop"), USAGE_CHUNK,
    )  # fmt: skip
    check(events, response)
    assert response["output"][1] == {
        "id": "ig_gw1_1", "type": "image_generation_call", "status": "completed", "result": "AAAA",
    }  # fmt: skip


def test_audio_is_reported_not_lost_silently() -> None:
    stream = bridge()
    stream.feed(chunk({"audio": {"data": "AA"}}))
    stream.feed(chunk({"audio": {"data": "AA"}}))
    assert stream.dropped == ["audio"]


# -- tools of the custom kind -----------------------------------------------------------------------------------

CUSTOM = {"input": "x", "tools": [{"type": "custom", "name": "c"}]}


def test_native_custom_calls() -> None:
    def custom(**members: Any) -> Json:
        return {"tool_calls": [{"index": 0, "custom": members}]}

    first = {"tool_calls": [{"index": 0, "id": "call_1", "type": "custom", "custom": {"name": "c", "input": ""}}]}
    events, response = run(
        chunk(first), chunk(custom(input="SELECT ")), chunk(custom(input="1")), chunk({}, "tool_calls"), USAGE_CHUNK,
        request=CUSTOM,
    )  # fmt: skip
    assert check(events, response)[2:] == [
        "output_item.added", *["custom_tool_call_input.delta"] * 2, "custom_tool_call_input.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    recorded = orjson.loads((FIXTURES / "custom-call.json").read_bytes())
    assert response["output"][0].keys() == recorded["output"][0].keys()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input": "SELECT \\"a\\"\\n\\u00e9 \\ud83d\\ude00 é😀 \\\\ end"}', 'SELECT "a"\né 😀 é😀 \\ end'),
        ('{"input":""}', ""),
        (' { "input" : "x" } ', "x"),
        ('{"other": 1}', '{"other": 1}'),
        ("not json", "not json"),
        ('{"input": 5}', '{"input": 5}'),
        ('{"input": "cut off', "cut off"),
        ('{"input": "cut \\', "cut "),
        ("", ""),
    ],
)
def test_emulated_custom_calls_are_unwrapped_at_every_split(arguments: str, text: str) -> None:
    for size in (1, 2, 3, 7, 1000):
        pieces = [arguments[at : at + size] for at in range(0, len(arguments), size)]
        first = chunk(call(0, "", "c", "call_1"))
        events, response = run(
            first, *[chunk(call(0, piece)) for piece in pieces], chunk({}, "tool_calls"), USAGE_CHUNK,
            request=CUSTOM, emulated={"c"},
        )  # fmt: skip
        check(events, response)
        assert response["output"][0]["type"] == "custom_tool_call"
        assert response["output"][0]["input"] == text


# -- reasoning details ------------------------------------------------------------------------------------------

SIGNATURE = {"type": "thinking", "signature": "s"}


def details_of(item: Json) -> Any:
    return unseal(item["encrypted_content"], "p")


def test_signatures_travel_in_the_reasoning_item() -> None:
    chunks = [
        chunk({"reasoning_content": "hm"}), chunk({"reasoning_details": [SIGNATURE]}), chunk(call(0, "{}", "f", "c1")),
        chunk({}, "tool_calls"), USAGE_CHUNK,
    ]  # fmt: skip
    events, response = run(*chunks)
    check(events, response)
    assert details_of(response["output"][0]) == ([SIGNATURE], "")
    _, asked = run(*chunks, request={"input": "x", "include": ["reasoning.encrypted_content"]})
    assert details_of(asked["output"][0]) == ([SIGNATURE], "hm")


def test_late_signatures_do_not_tear_the_text() -> None:
    events, response = run(
        chunk({"content": "a"}), chunk({"content": "b", "reasoning_details": [SIGNATURE]}), chunk({"content": "c"}),
        chunk({}, "stop"), USAGE_CHUNK,
    )  # fmt: skip
    check(events, response)
    assert [item["type"] for item in response["output"]] == ["message", "reasoning"]
    assert response["output"][0]["content"][0]["text"] == "abc"
    assert details_of(response["output"][1]) == ([SIGNATURE], "")


def test_signatures_before_calls_stand_before_them() -> None:
    events, response = run(
        chunk({"content": "a"}), chunk({**call(0, "{}", "f", "c1"), "reasoning_details": [SIGNATURE]}),
        chunk({}, "stop"), USAGE_CHUNK,
    )  # fmt: skip
    check(events, response)
    assert [item["type"] for item in response["output"]] == ["message", "reasoning", "function_call"]


def test_a_whole_turn_comes_back_to_the_provider_as_it_was() -> None:
    """Out through the bridge, into the client's list, in again: the chat message that the provider made."""
    extra = {"extra_content": {"google": {"thought_signature": "t"}}}
    message = {
        "role": "assistant",
        "content": "let me look",
        "reasoning_content": "hm",
        "reasoning_details": [SIGNATURE, {"type": "redacted", "data": "x"}],
        "tool_calls": [
            {"id": "functions.f:0", "type": "function", "function": {"name": "f", "arguments": "{}"}, **extra},
            {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": '{"a":1}'}},
        ],
    }
    completion = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}], "usage": USAGE}
    for request in ({"input": "q"}, {"input": "q", "reasoning": {"summary": "auto"}}):
        response = response_from_chat(completion, request, response_id="resp_1", model="a/b", now=1)
        results = [
            {"type": "function_call_output", "callId": item["id"], "id": item["id"], "output": "1"}
            for item in response["output"]
            if item["type"] == "function_call"
        ]
        sent_back = canonical_items([{"role": "user", "content": "q"}, *response["output"], *results])
        body = chat_from_responses({"input": sent_back}, sent_back).body
        assert body["messages"][1] == message
        assert [entry["tool_call_id"] for entry in body["messages"][2:]] == ["functions.f:0", "call_2"]


# -- ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
        ("brand_new", "completed", None),
    ],
)
def test_finish_reasons(finish: str, status: str, reason: str | None) -> None:
    events, response = run(chunk({"content": "a"}), chunk({}, finish), USAGE_CHUNK)
    assert check(events, response)[-1] == status
    assert response["status"] == response["output"][0]["status"] == status
    assert response["incomplete_details"] == (None if reason is None else {"reason": reason})


def test_only_the_last_item_of_a_cut_answer_is_incomplete() -> None:
    events, response = run(
        chunk({"content": "a"}), chunk(call(0, "{}", "f", "c1")), chunk(call(1, "{", "g", "c2")), chunk({}, "length"),
        USAGE_CHUNK,
    )  # fmt: skip
    check(events, response)
    assert [item["status"] for item in response["output"]] == ["completed", "completed", "incomplete"]


def test_an_answer_of_nothing_is_an_empty_message() -> None:
    events, response = run(chunk({"content": ""}), chunk({}, "stop"), USAGE_CHUNK)
    check(events, response)
    assert response["output"][0]["content"][0]["text"] == ""
    _, thoughts_only = run(chunk({"reasoning_content": "h"}), chunk({}, "length"), USAGE_CHUNK)
    assert [item["type"] for item in thoughts_only["output"]] == ["reasoning"]


def test_the_gateways_own_end_and_estimate_count() -> None:
    stream = bridge()
    events = stream.start() + stream.feed(chunk({"content": "a"}))
    events += stream.finish(105, usage={"prompt_tokens": 1, "completion_tokens": 2}, reason="length")
    check(events, stream.response)
    assert stream.response["status"] == "incomplete"
    assert stream.response["usage"]["total_tokens"] == 3
    assert stream.finish(106) == [] == stream.fail(GatewayFault("x"), 106)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (UpstreamFault("cut", code="upstream_cut"), "server_error"),
        (UpstreamFault("slow", status=429), "rate_limit_exceeded"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_failures_keep_what_was_said(fault: Fault, code: str, nested: bool) -> None:
    stream = bridge()
    events = stream.start()
    for entry in (chunk({"content": "a"}), chunk(call(0, "{", "f", "c1")), chunk(call(1, "{"))):
        events += stream.feed(entry)
    events += stream.fail(fault, 105, nested=nested)
    assert check(events, stream.response)[-2:] == ["error", "failed"]
    assert stream.response["status"] == "failed"
    assert stream.response["error"] == {"code": code, "message": fault.message}
    assert [item["status"] for item in stream.response["output"]] == ["completed", "incomplete"] + ["incomplete"] * (
        len(stream.response["output"]) - 2
    )
    assert ("error" in events[-2]) is nested
    if nested:
        assert events[-2]["error"]["message"] == fault.message


def test_failing_before_anything_was_said() -> None:
    stream = bridge()
    events = stream.fail(UpstreamFault("x"), 105)
    check(events, stream.response)
    assert stream.response["output"] == []


def test_background_begins_queued() -> None:
    stream = bridge({"input": "x", "background": True}, background=True)
    events = stream.start() + stream.feed(chunk({"content": "a"})) + stream.finish(105)
    assert check(events, stream.response)[:3] == ["created", "queued", "in_progress"]
    assert events[0]["response"]["status"] == "queued"


def test_the_tier_of_the_upstream_is_told() -> None:
    _, response = run(chunk({"content": "a"}, service_tier="priority"), chunk({}, "stop"))
    assert response["service_tier"] == "priority"


# -- several rounds, with tools of the gateway's own --------------------------------------------------------------


def test_rounds_of_the_gateways_own_tools_make_one_response() -> None:
    stream = bridge(hosted={"web_search"})
    events = stream.start()
    for entry in (
        chunk({"content": "Searching."}),
        chunk(call(0, '{"q"', "web_search", "call_1")),
        chunk(call(0, ":1}")),
        chunk({}, "tool_calls"),
        USAGE_CHUNK,
    ):
        events += stream.feed(entry)
    events += stream.next_round()
    assert stream.hosted_calls == [{"id": "call_1", "name": "web_search", "arguments": '{"q":1}'}]
    item = {
        "id": "ws_gw1_9",
        "type": "web_search_call",
        "status": "in_progress",
        "action": {"type": "search", "query": "1"},
    }
    index, opened = stream.server_item(item)
    events += opened
    for step in ("in_progress", "searching", "completed"):
        events += stream.server_event(f"response.web_search_call.{step}", index, item_id=item["id"])
    events += stream.server_item_done(index, {**item, "status": "completed"})
    for entry in (chunk({"content": "Found."}), chunk({}, "stop"), USAGE_CHUNK):
        events += stream.feed(entry)
    events += stream.finish(105)
    check(events, stream.response)
    assert [entry["type"] for entry in stream.response["output"]] == ["message", "web_search_call", "message"]
    assert stream.response["usage"]["total_tokens"] == 24
    assert stream.usage == stream.response["usage"]


# -- odd upstreams ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunks", "calls"),
    [
        # No index: the place in the list counts. No id: one is made.
        ([{"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}], [("f", "{}")]),
        # The same index for two calls with different ids.
        ([call(0, "{}", "f", "c1"), call(0, "[]", "g", "c2")], [("f", "{}"), ("g", "[]")]),
        # Name and id repeated with every fragment.
        ([call(0, "{", "f", "c1"), call(0, "}", "f", "c1")], [("f", "{}")]),
        # The name comes after the first arguments.
        ([call(0, "{", None, "c1"), call(0, "}", "f")], [("f", "{}")]),
        # The same id twice within one answer.
        ([call(0, "{}", "f", "c1"), call(1, "{}", "g", "c1")], [("f", "{}"), ("g", "{}")]),
        # Arguments as an object; nulls; the older function_call.
        (
            [{"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": {"a": 1}}}]}],
            [("f", '{"a":1}')],
        ),
        ([{"tool_calls": [None, {"index": 0, "id": None, "function": None}]}], []),
        ([{"function_call": {"name": "f", "arguments": "{"}}, {"function_call": {"arguments": "}"}}], [("f", "{}")]),
        # Arguments without any name.
        ([call(0, "{}", None, "c1")], [("", "{}")]),
    ],
)
def test_calls_of_odd_upstreams(chunks: list[Json], calls: list[tuple[str, str]]) -> None:
    events, response = run(*[chunk(delta) for delta in chunks], chunk({}, "tool_calls"), USAGE_CHUNK)
    check(events, response)
    made = [item for item in response["output"] if item["type"] == "function_call"]
    assert [(item["name"], item["arguments"]) for item in made] == calls
    assert len({item["call_id"] for item in made}) == len(made)


def test_nesting_without_end_is_the_upstreams_fault() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    for delta in (
        {"reasoning_details": [{"x": deep}]},
        {"annotations": [{"type": "x", "x": deep}]},
        {"tool_calls": [{"index": 0, "x": deep, "function": {"name": "f"}}]},
        {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": {"x": deep}}}]},
    ):
        with pytest.raises(UpstreamFault, match="nests too deeply"):
            bridge().feed(chunk(delta))


def test_what_json_cannot_say_is_the_upstreams_fault() -> None:
    stream = bridge()
    stream.start()
    stream.feed(chunk({"content": "a"}))
    with pytest.raises(UpstreamFault, match="cannot be written"):
        stream.feed_bytes(chunk({"content": "\ud800"}))


# -- bytes ------------------------------------------------------------------------------------------------------


@given(st.text(), st.integers(0, 10**6))
def test_templates_write_what_the_encoder_writes(text: str, number: int) -> None:
    for extra in (None, {"logprobs": []}):
        template = DeltaTemplate("response.x.delta", {"item_id": 'a"b', "output_index": 3}, extra)
        assert template.encode(text, number) == encode_event(template.event(text, number))


def test_an_event_on_the_wire() -> None:
    event = error_event(UpstreamFault("no", code="c"), 3)
    assert encode_event(event) == (
        b'event: error\ndata: {"type":"error","code":"c","message":"no","param":null,"sequence_number":3}\n\n'
    )


def test_raw_chunks_that_are_no_chunks() -> None:
    for raw in (b"[]", b"{", b""):
        with pytest.raises(UpstreamFault, match="not a JSON object"):
            bridge().feed_raw(raw)


def test_a_plain_chunk_costs_microseconds() -> None:
    stream = bridge()
    stream.feed_bytes(chunk({"content": "a"}))
    entry = chunk({"content": " Hello"})
    best = 1.0
    for _ in range(5):
        begun = time.process_time()
        for _ in range(1000):
            stream.feed_bytes(entry)
        best = min(best, time.process_time() - begun)
    assert best < 1000 * 30e-6  # measured: under 1 us; the limit leaves room for a busy machine


def test_members_of_calls_are_not_lost_on_the_short_way() -> None:
    stream = bridge()
    stream.feed_bytes(chunk(call(0, "", "f", "c1")))
    fragment = call(0, "{}")
    fragment["tool_calls"][0]["extra_content"] = {"s": 1}
    stream.feed_bytes(chunk(fragment))
    stream.finish(105)
    (item,) = [item for item in stream.response["output"] if item["type"] == "reasoning"]
    assert details_of(item)[0] == [{"type": "chat.tool_call", "id": "c1", "members": {"extra_content": {"s": 1}}}]


# -- whatever comes ---------------------------------------------------------------------------------------------

TEXTS = st.sampled_from(["", "a", "é😀", '"\\', "\n"])
JUNK = st.sampled_from([None, 5, "x", [], {}, [None], [5], {"x": 1}, float("inf"), True])
DELTAS = st.one_of(
    st.fixed_dictionaries({"content": TEXTS}),
    st.fixed_dictionaries({"content": TEXTS}),
    st.fixed_dictionaries({"reasoning_content": TEXTS}),
    st.fixed_dictionaries({"reasoning_details": st.lists(st.just(SIGNATURE), max_size=2)}),
    st.fixed_dictionaries({"refusal": TEXTS}),
    st.builds(
        call,
        st.integers(0, 2),
        st.sampled_from(["", "{", '{"input":"', "x\\u00", '"}']),
        st.sampled_from([None, "f", "c", "e", "web_search"]),
        st.sampled_from([None, "", "call_1", "call_2", "f.x:0"]),
    ),
    st.fixed_dictionaries({"annotations": st.just([{"type": "url_citation", "url_citation": {"url": "u"}}])}),
    st.fixed_dictionaries({"images": st.just([{"image_url": {"url": "data:image/png;base64,AA"}}])}),
    st.dictionaries(
        st.sampled_from(
            ["content", "reasoning_content", "reasoning", "reasoning_details", "refusal", "tool_calls", "function_call"]
        ),
        JUNK,
        max_size=3,
    ),
)
CHUNKS = st.one_of(
    st.builds(chunk, DELTAS),
    st.builds(chunk, DELTAS),
    st.builds(chunk, DELTAS, st.sampled_from([None, "stop", "length", "tool_calls", 5])),
    st.just(USAGE_CHUNK),
    st.dictionaries(st.sampled_from(["choices", "usage", "service_tier", "error"]), JUNK, max_size=3),
)
REQUESTS = st.sampled_from(
    [
        {"input": "x"},
        {"input": "x", "reasoning": {"summary": "auto"}},
        {"input": "x", "include": ["reasoning.encrypted_content"], "tools": [{"type": "custom", "name": "c"}]},
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(CHUNKS, max_size=12), REQUESTS, st.sampled_from(["finish", "fail", "round"]))
def test_any_chunks_make_a_sound_stream(chunks: list[Json], request_body: Json, end: str) -> None:
    options: Json = {"emulated": {"e"}, "hosted": {"web_search"}}
    stream, wire = bridge(request_body, **options), bridge(request_body, **options)
    events = stream.start()
    sent = encode_events(wire.start())
    for number, entry in enumerate(chunks):
        events += stream.feed(entry)
        sent += wire.feed_bytes(entry)
        if end == "round" and number == len(chunks) // 2:
            events += stream.next_round()
            sent += encode_events(wire.next_round())
    last = (lambda one: one.fail(UpstreamFault("x"), 105)) if end == "fail" else (lambda one: one.finish(105))
    events += last(stream)
    sent += encode_events(last(wire))
    check(events, stream.response)
    # The short way of bytes says the same as the long way of dicts, and any reader of the wire gets it.
    assert [orjson.loads(data) for data in EventReader().feed_data(sent)] == orjson.loads(orjson.dumps(events))
    assert wire.response == stream.response


@settings(max_examples=60, deadline=None)
@given(st.lists(st.builds(chunk, DELTAS), min_size=1, max_size=8))
def test_a_whole_answer_makes_a_sound_response(chunks: list[Json]) -> None:
    completion = fold_stream([*chunks, chunk({}, "stop"), USAGE_CHUNK])
    response = response_from_chat(completion, {"input": "x"}, response_id="resp_1", model="a/b", now=1)
    validators("openai-schemas.json")["response.completed"].validate(
        {"type": "response.completed", "response": response, "sequence_number": 0}
    )
    text = "".join(
        part["text"]
        for item in response["output"]
        if item["type"] == "message"
        for part in item["content"]
        if "text" in part
    )
    content = completion["choices"][0]["message"]["content"]
    if content is None or isinstance(content, str):
        assert text == (content or "")


@pytest.mark.parametrize("completion", [{}, {"choices": []}, {"choices": [5]}, {"choices": [{"message": None}]}])
def test_an_answer_without_message_is_the_upstreams_fault(completion: Json) -> None:
    with pytest.raises(UpstreamFault):
        response_from_chat(completion, {"input": "x"}, response_id="resp_1", model="a/b", now=1)
