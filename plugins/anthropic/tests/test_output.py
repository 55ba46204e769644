"""`response_format` on models with and without structured outputs, there and back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tollgate_anthropic import AnthropicProvider, Settings
from tollgate_anthropic.output import INSTRUCTION, JSON_TOOL
from tollgate_anthropic.reading import checked_json

from gateway.api import Call, CallerFault, Unfence, UpstreamReply
from gateway.testing import all_splits, make_call, make_target, parsed, sse

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}
OLD = "claude-sonnet-4-0"
ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}


def wanted(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **more}}


def test_native(built: Any) -> None:
    out, call = built({"response_format": wanted(SCHEMA, strict=True)})
    assert out["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}
    assert "tools" not in out
    assert call.dropped == []


def test_native_closes_objects_and_tells_what_it_cannot_enforce(built: Any) -> None:
    schema = {
        "type": "object",
        "properties": {
            "age": {"type": "integer", "minimum": 0, "description": "In years."},
            "code": {"type": "string", "pattern": "^A", "format": "zip"},
            "kind": {"oneOf": [{"const": "a"}, {"$ref": "#/$defs/B"}]},
        },
        "$defs": {"B": {"type": "object", "properties": {}}},
    }
    out, call = built({"response_format": wanted(schema, strict=True)})
    sent = out["output_config"]["format"]["schema"]
    assert sent == {
        "type": "object",
        "properties": {
            "age": {"type": "integer", "description": "In years. {minimum: 0}"},
            "code": {"type": "string", "description": "{pattern: ^A, format: zip}"},
            "kind": {"anyOf": [{"const": "a"}, {"$ref": "#/$defs/B"}]},
        },
        "$defs": {"B": {"type": "object", "properties": {}, "additionalProperties": False}},
        "additionalProperties": False,
    }
    assert call.dropped == [
        f"response_format.json_schema.schema.{keyword}" for keyword in ("format", "minimum", "pattern")
    ]
    _, call = built({"response_format": wanted(schema)})
    assert call.dropped == []


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "object", "properties": {"next": {"$ref": "#"}}},
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/A"}},
            "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/B"}]}, "B": {"items": {"$ref": "#/$defs/A"}}},
        },
        {"type": "object", "properties": {"a": {"not": {"type": "null"}}}},
    ],
)
def test_a_schema_beyond_the_native_mode_is_forced_through_a_tool(built: Any, schema: dict[str, Any]) -> None:
    out, call = built({"response_format": wanted(schema)})
    assert "output_config" not in out
    assert out["tools"][0]["input_schema"] == schema
    assert out["tool_choice"] == {"type": "tool", "name": JSON_TOOL, "disable_parallel_tool_use": True}
    assert call.dropped == []


def test_beside_the_callers_tools_one_of_them_all_is_forced(built: Any) -> None:
    taken = {"type": "function", "function": {"name": JSON_TOOL}}
    out, _ = built({"response_format": wanted(SCHEMA), "tools": [ADD, taken]}, model=OLD)
    assert [tool["name"] for tool in out["tools"]] == ["add", JSON_TOOL, JSON_TOOL + "_"]
    assert out["tool_choice"] == {"type": "any"}


def test_forced_json_goes_before_thinking(built: Any) -> None:
    out, call = built({"response_format": wanted(SCHEMA), "reasoning_effort": "high"}, model=OLD)
    assert "thinking" not in out
    assert call.dropped == ["reasoning_effort"]


def test_a_tool_that_the_caller_forces_goes_before_json(built: Any) -> None:
    body = {"response_format": wanted(SCHEMA), "tools": [ADD], "tool_choice": "required"}
    out, call = built(body, model=OLD)
    assert [tool["name"] for tool in out["tools"]] == ["add"]
    assert call.dropped == ["response_format"]


def test_a_model_that_cannot_be_forced_is_told(built: Any) -> None:
    out, call = built({"response_format": wanted({"type": "object", "additionalProperties": True})}, "claude-fable-5-1")
    assert INSTRUCTION in out["system"][-1]["text"]
    assert call.dropped == ["response_format"]
    own = {"type": "enabled", "budget_tokens": 2000}
    out, call = built({"response_format": wanted(SCHEMA), "thinking": own}, model=OLD)
    assert "tools" not in out
    assert call.dropped == ["response_format"]


def test_json_object_is_an_instruction(built: Any) -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    out, call = built({"messages": messages, "response_format": {"type": "json_object"}})
    assert [block["text"] for block in out["system"]] == ["Be kind.", INSTRUCTION]
    assert call.dropped == []
    out, _ = built({"response_format": {"type": "text"}})
    assert "system" not in out


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"type": "xml"}, "response_format.type"),
        ({"type": "json_schema"}, "response_format.json_schema"),
        ("json", "response_format"),
        (wanted([]), "response_format.json_schema.schema"),
    ],
)
def test_what_makes_no_sense_is_refused(built: Any, given: Any, path: str) -> None:
    with pytest.raises(CallerFault) as caught:
        built({"response_format": given})
    assert caught.value.param == path


def _asked(body: dict[str, Any], model: str = OLD) -> tuple[AnthropicProvider, Call]:
    provider = AnthropicProvider("test", Settings())
    call = make_call({"model": "test/model", "messages": [{"role": "user", "content": "Hi"}], **body})
    provider.prepare(call, make_target(model))
    return provider, call


def _reply(*blocks: dict[str, Any], stop: str = "tool_use") -> UpstreamReply:
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"type": "message", "id": "msg_1", "content": list(blocks), "stop_reason": stop, "usage": usage}
    return UpstreamReply(200, {}, orjson.dumps(message))


def test_the_tools_input_is_the_content() -> None:
    provider, call = _asked({"response_format": wanted(SCHEMA)})
    block = {"type": "tool_use", "id": "toolu_1", "name": JSON_TOOL, "input": {"n": 7}}
    choice = (
        provider.prepare(call, make_target())
        .reader.read_reply(_reply({"type": "text", "text": "Here: "}, block))
        .body["choices"][0]
    )
    assert choice["message"]["content"] == '{"n":7}'
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "stop"
    kept = {"type": "text", "text": "Here: "}
    assert choice["message"]["reasoning_details"] == [{"index": 0, "type": "anthropic.block", "block": kept}]


def test_a_tool_of_the_callers_still_is_a_call() -> None:
    provider, call = _asked({"response_format": wanted(SCHEMA), "tools": [ADD]})
    block = {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {}}
    choice = provider.prepare(call, make_target()).reader.read_reply(_reply(block)).body["choices"][0]
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "add", "arguments": "{}"}
    assert choice["finish_reason"] == "tool_calls"


def test_another_call_reads_the_same_tool_as_a_tool() -> None:
    provider, _ = _asked({"response_format": wanted(SCHEMA)})
    block = {"type": "tool_use", "id": "toolu_1", "name": JSON_TOOL, "input": {"n": 7}}
    assert (
        provider.prepare(make_call(), make_target())
        .reader.read_reply(_reply(block))
        .body["choices"][0]["finish_reason"]
        == "tool_calls"
    )


def _stream(*pieces: str) -> bytes:
    start = {"type": "tool_use", "id": "toolu_1", "name": JSON_TOOL, "input": {}}
    events = [
        {"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 1, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": start},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": piece}}
            for piece in pieces
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]
    return b"".join(sse(event, event["type"]) for event in events)


@pytest.mark.parametrize("pieces", [("", '{"n"', ":7}"), ()])
def test_the_tools_input_is_streamed_as_content(pieces: tuple[str, ...]) -> None:
    provider, call = _asked({"response_format": wanted(SCHEMA), "stream": True})
    decoder = provider.prepare(call, make_target()).reader.open_stream()
    chunks = parsed(decoder.feed(_stream(*pieces)))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert "".join(delta.get("content", "") for delta in deltas) == ("".join(pieces) or "{}")
    assert not any("tool_calls" in delta for delta in deltas)
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ('{"a":1}', '{"a":1}'),
        ('```json\n{"a":1}\n```', '{"a":1}'),
        (' ```\n{"a": "```"}\n``` \n', '{"a": "```"}'),
        ('```{"a":1}```', '{"a":1}'),
        ("`x`", "`x`"),
        ("``", "``"),
        ("", ""),
        ("Sorry, no.", "Sorry, no."),
    ],
)
def test_a_code_fence_is_taken_off_at_every_split(said: str, meant: str) -> None:
    for name, pieces in all_splits(said.encode(), range(5)):
        unfence = Unfence()
        got = "".join(unfence.push(piece.decode()) for piece in pieces) + unfence.end()
        assert got == meant, name


def test_chatter_around_the_object_is_left_out_of_a_whole_answer() -> None:
    assert checked_json('Here you are: {"a":1} Enjoy!') == '{"a":1}'
    assert checked_json("no { json } here") == "no { json } here"
    provider, call = _asked({"response_format": {"type": "json_object"}})
    fenced = {"type": "text", "text": '```json\n{"a":1}\n```'}
    choice = provider.prepare(call, make_target()).reader.read_reply(_reply(fenced, stop="end_turn")).body["choices"][0]
    assert choice["message"]["content"] == '{"a":1}'
