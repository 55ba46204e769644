"""Tool calls of earlier turns: ids and arguments that a server refuses."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tollgate_openai import OpenAIProvider, OpenAISettings

from gateway.testing import make_call, make_target

OPENAI, LOCAL = "https://api.openai.com/v1", "http://127.0.0.1:8000/v1"
LONG = "ws_689e2d4880a0819d98acca37694989b00b15d90494fc6b87"


def send(call: Any, model: str, base_url: str) -> list[dict[str, Any]]:
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "r"},
    ]
    settings = OpenAISettings.model_validate({"api_key": "key-0123456789", "base_url": base_url})
    made = make_call({"model": "x", "messages": messages})
    request = OpenAIProvider("test", settings).prepare(made, make_target(model)).request
    assert made.body["messages"] == messages
    sent: list[dict[str, Any]] = orjson.loads(request.body)["messages"]
    return sent


def call(identity: str = "c1", arguments: Any = "{}") -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": "f", "arguments": arguments}}


@pytest.mark.parametrize(
    ("model", "base_url"),
    [("gpt-4.1", OPENAI), ("o3", OPENAI), ("gpt-4o", LOCAL), ("openai/gpt-5-mini", LOCAL), ("o4-mini", LOCAL)],
)
def test_ids_that_openai_finds_too_long_are_shortened_alike(model: str, base_url: str) -> None:
    _, made, result = send(call(LONG), model, base_url)
    assert made["tool_calls"][0]["id"] == result["tool_call_id"]
    assert len(result["tool_call_id"]) == 40
    other = send(call(LONG + "x"), model, base_url)[2]["tool_call_id"]
    assert other != result["tool_call_id"]
    assert send(call("c" * 40), model, base_url)[2]["tool_call_id"] == "c" * 40


@pytest.mark.parametrize("model", ["m", "gpt-oss-120b", "google/gemini-3-pro", "olmo"])
def test_ids_of_other_servers_may_carry_something(model: str) -> None:
    assert send(call(LONG), model, LOCAL)[2]["tool_call_id"] == LONG


@pytest.mark.parametrize("arguments", ['{"a":', "[1]", '"a"', "cut"])
def test_arguments_that_are_no_json_object_do_not_end_the_conversation(arguments: str) -> None:
    sent = send(call(arguments=arguments), "m", LOCAL)[1]["tool_calls"][0]["function"]["arguments"]
    assert orjson.loads(sent) == {"INVALID_JSON": arguments}
    assert send(call(arguments=arguments), "gpt-4.1", OPENAI)[1]["tool_calls"][0]["function"]["arguments"] == arguments


@pytest.mark.parametrize("base_url", [OPENAI, LOCAL])
@pytest.mark.parametrize("arguments", ["", None])
def test_no_arguments_are_an_empty_object(arguments: Any, base_url: str) -> None:
    assert send(call(arguments=arguments), "m", base_url)[1]["tool_calls"][0]["function"]["arguments"] == "{}"


@pytest.mark.parametrize("arguments", ['{"a": 1 }', {"a": 1}, 7])
def test_whatever_else_travels_on_as_it_is(arguments: Any) -> None:
    given = {**call(arguments=arguments), "extra_content": {"google": {"thought_signature": "x"}}}
    assert send(given, "m", LOCAL)[1]["tool_calls"] == [given]
    custom = {"id": "c", "type": "custom", "custom": {"name": "f", "input": "not json"}}
    assert send(custom, "m", LOCAL)[1]["tool_calls"] == [custom]
