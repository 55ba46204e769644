"""Validation of a Responses request: what passes, and the path in the message of what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.errors import CallerFault
from gateway.wire.responses.request import validate_responses

FIXTURES = Path(__file__).parents[1] / "fixtures" / "responses"

FULL: dict[str, Any] = {
    "model": "openai/gpt-4.1-mini",
    "instructions": "Be brief.",
    "max_output_tokens": 100,
    "temperature": 0.5,
    "top_p": 1,
    "top_logprobs": 3,
    "tools": [
        {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
        {"type": "custom", "name": "c", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
        {"type": "web_search"},
        {"type": "mcp", "server_label": "m", "server_url": "https://mcp.example"},
    ],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
    "parallel_tool_calls": False,
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}, "verbosity": "low"},
    "reasoning": {"effort": "high", "summary": "auto"},
    "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
    "metadata": {"a": "b"},
    "user": "u",
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "store": True,
    "previous_response_id": "resp_1",
    "truncation": "auto",
    "max_tool_calls": 3,
    "background": True,
    "stream": True,
    "stream_options": {"include_obfuscation": False},
    "service_tier": "flex",
    "brand_new": {"x": 1},
    "input": [
        {"role": "user", "content": "a"},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": "https://x.example/a.png", "detail": "low"},
                {"type": "input_image", "file_id": "file_1"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"},
                {"type": "input_file", "file_url": "https://x.example/a.pdf"},
                {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
                {"type": "brand_new_part"},
            ],
        },
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "t"}], "content": None},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "x"}]},
        {"type": "function_call", "id": "X", "callId": "X", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "id": "X", "callId": "X", "output": "x"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "c", "input": "text"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "x"},
        {"type": "item_reference", "id": "msg_1"},
        {"id": "msg_2"},
        {"type": "brand_new_item", "anything": 1},
    ],
}


def test_everything_of_the_api_passes_and_unknown_keys_travel_on() -> None:
    before = orjson.dumps(FULL)
    validate_responses(FULL)
    assert orjson.dumps(FULL) == before


def test_nulls_are_absent_fields() -> None:
    validate_responses({**dict.fromkeys(FULL), "input": "hi"})


def test_a_recorded_request_passes() -> None:
    validate_responses(orjson.loads((FIXTURES / "reasoning-and-call.request.json").read_bytes()))


@pytest.mark.parametrize(
    "body",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"conversation": {"id": "conv_1"}},
        {"prompt": {"id": "pmpt_1"}},
        {"input": [], "instructions": "Greet."},
    ],
)
def test_input_may_come_from_elsewhere(body: dict[str, Any]) -> None:
    validate_responses(body)


def item(**members: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": "a"}, members]}


def part(**members: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}, members]}]}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "input"),
    ({"input": []}, "input"),
    ({"input": 5}, "input"),
    ({"input": "a", "model": ""}, "model"),
    ({"input": "a", "temperature": 2.1}, "temperature"),
    ({"input": "a", "temperature": True}, "temperature"),
    ({"input": "a", "temperature": float("nan")}, "temperature"),
    ({"input": "a", "top_p": "1"}, "top_p"),
    ({"input": "a", "max_output_tokens": 0}, "max_output_tokens"),
    ({"input": "a", "max_output_tokens": 1.5}, "max_output_tokens"),
    ({"input": "a", "max_tool_calls": 0}, "max_tool_calls"),
    ({"input": "a", "top_logprobs": 21}, "top_logprobs"),
    ({"input": "a", "instructions": ["x"]}, "instructions"),
    ({"input": "a", "store": "yes"}, "store"),
    ({"input": "a", "stream": 1}, "stream"),
    ({"input": "a", "stream_options": []}, "stream_options"),
    ({"input": "a", "truncation": "middle"}, "truncation"),
    ({"input": "a", "include": ["a", 5]}, "include[1]"),
    ({"input": "a", "metadata": {"a": 1}}, "metadata.a"),
    ({"input": "a", "metadata": {str(n): "" for n in range(17)}}, "metadata"),
    ({"input": "a", "metadata": {"a" * 65: ""}}, "metadata"),
    ({"input": "a", "metadata": {"a": "b" * 513}}, "metadata.a"),
    ({"input": "a", "conversation": 5}, "conversation"),
    ({"input": "a", "conversation": {}}, "conversation.id"),
    ({"input": "a", "conversation": "c", "previous_response_id": "r"}, "previous_response_id"),
    ({"input": "a", "background": True, "store": False}, "background"),
    ({"input": "a", "reasoning": "high"}, "reasoning"),
    ({"input": "a", "reasoning": {"effort": 3}}, "reasoning.effort"),
    ({"input": "a", "reasoning": {"summary": "long"}}, "reasoning.summary"),
    ({"input": "a", "text": {"format": "json"}}, "text.format"),
    ({"input": "a", "text": {"format": {}}}, "text.format.type"),
    ({"input": "a", "text": {"format": {"type": "xml"}}}, "text.format.type"),
    ({"input": "a", "text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
    ({"input": "a", "text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
    ({"input": "a", "text": {"format": {"type": "json_schema", "name": "n", "schema": 1}}}, "text.format.schema"),
    ({"input": "a", "tools": {}}, "tools"),
    ({"input": "a", "tools": [{"name": "f"}]}, "tools[0].type"),
    ({"input": "a", "tools": [{"type": "function"}]}, "tools[0].name"),
    ({"input": "a", "tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].function"),
    ({"input": "a", "tools": [{"type": "function", "name": "f", "parameters": 1}]}, "tools[0].parameters"),
    ({"input": "a", "tools": [{"type": "mcp"}]}, "tools[0].server_label"),
    ({"input": "a", "tool_choice": "any"}, "tool_choice"),
    ({"input": "a", "tool_choice": {"type": "function"}}, "tool_choice.name"),
    ({"input": "a", "tool_choice": {"type": "allowed_tools", "tools": []}}, "tool_choice.mode"),
    ({"input": "a", "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": ["f"]}}, "tool_choice.tools[0]"),
    ({"input": "a", "api_base": "http://x"}, "api_base"),
    ({"input": "a", "apiBase": "http://x"}, "apiBase"),
    ({"input": "a", "user_config": {}}, "user_config"),
    ({"input": ["a"]}, "input[0]"),
    (item(type=5), "input[1].type"),
    (item(role="robot", content="x"), "input[1].role"),
    (item(role="user"), "input[1].content"),
    (item(role="user", content=5), "input[1].content"),
    (item(role="user", content=["x"]), "input[1].content[0]"),
    (item(role="user", content=[{}]), "input[1].content[0].type"),
    (item(type="item_reference"), "input[1].id"),
    (item(type="function_call", call_id="c", arguments="{}"), "input[1].name"),
    (item(type="function_call", call_id="c", name="f"), "input[1].arguments"),
    (item(type="function_call", call_id="c", name="f", arguments={}), "input[1].arguments"),
    (item(type="function_call", name="f", arguments="{}"), "input[1].call_id"),
    (item(type="function_call", call_id=5, name="f", arguments="{}"), "input[1].call_id"),
    (item(type="function_call_output", output="x"), "input[1].call_id"),
    (item(type="function_call_output", callId=[1], output="x"), "input[1].callId"),
    (item(type="function_call_output", call_id="c"), "input[1].output"),
    (item(type="function_call_output", call_id="c", output={"a": 1}), "input[1].output"),
    (item(type="custom_tool_call", call_id="c", name="f"), "input[1].input"),
    (item(type="shell_call", call_id=1.5, action={"commands": ["ls"]}), "input[1].call_id"),
    (item(type="apply_patch_call_output", call_id="c", callId=True), "input[1].callId"),
    (item(type="of_tomorrow", id=[]), "input[1].id"),
    (item(type="reasoning", summary="x"), "input[1].summary"),
    (item(type="reasoning", summary=[{"text": 1}]), "input[1].summary[0].text"),
    (item(type="reasoning", encrypted_content=1), "input[1].encrypted_content"),
    (part(type="input_text"), "input[0].content[1].text"),
    (part(type="input_image"), "input[0].content[1].image_url"),
    (part(type="input_image", image_url={"url": "x"}), "input[0].content[1].image_url"),
    (part(type="input_image", image_url="file:///etc/passwd"), "input[0].content[1].image_url"),
    (part(type="input_file"), "input[0].content[1].file_id"),
    (part(type="input_file", file_url="ftp://x"), "input[0].content[1].file_url"),
    (part(type="input_audio"), "input[0].content[1].input_audio"),
    (part(type="input_audio", input_audio={"data": "x"}), "input[0].content[1].input_audio.format"),
]


@pytest.mark.parametrize(("body", "path"), WRONG)
def test_the_wrong_field_is_named(body: dict[str, Any], path: str) -> None:
    with pytest.raises(CallerFault) as caught:
        validate_responses(body)
    assert caught.value.param == path
    assert caught.value.message.startswith(f"{path}: ")
    assert caught.value.status == 400


def test_a_body_that_is_no_object() -> None:
    with pytest.raises(CallerFault, match="JSON object"):
        validate_responses([])
