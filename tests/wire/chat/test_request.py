"""Chat requests: each rule is one row."""

from __future__ import annotations

import base64
import copy
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import CallerFault
from gateway.wire.chat.request import FORBIDDEN_FIELDS, validate_chat
from gateway.wire.json_body import parse_json

ABSENT = object()
PNG = "data:image/png;base64,iVBORw0KGgo="

BASE: dict[str, Any] = {"model": "openai/gpt-4.1-mini", "messages": [{"role": "user", "content": "Hello"}]}


def changed(change: dict[str, Any]) -> dict[str, Any]:
    body = copy.deepcopy(BASE)
    for key, value in change.items():
        if value is ABSENT:
            del body[key]
        else:
            body[key] = value
    return body


def user(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def image(url: Any, **more: Any) -> dict[str, Any]:
    return user({"type": "image_url", "image_url": {"url": url, **more}})


def audio(value: Any) -> dict[str, Any]:
    return user({"type": "input_audio", "input_audio": value})


def file(value: Any) -> dict[str, Any]:
    return user({"type": "file", "file": value})


def assistant(**members: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", **members}]}


def call(**members: Any) -> dict[str, Any]:
    whole = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}, **members}
    return assistant(content=None, tool_calls=[whole])


def function(name: Any = "f", **members: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **members}}


def custom(name: Any = "c", **members: Any) -> dict[str, Any]:
    return {"type": "custom", "custom": {"name": name, **members}}


def schema(**members: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, **members}}}


IMAGE = "messages[0].content[0].image_url"
AUDIO = "messages[0].content[0].input_audio"
FILE = "messages[0].content[0].file"
CALL = "messages[1].tool_calls[0]"

# change, param, phrase
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"model": ABSENT}, "model", "is missing"),
    ({"model": None}, "model", "is missing"),
    ({"model": 5}, "model", "the number 5"),
    ({"model": ""}, "model", "empty string"),
    ({"model": "x" * 257}, "model", "at most 256"),
    ({"model": "a\nb"}, "model", "printable"),
    ({"messages": ABSENT}, "messages", "is missing"),
    ({"messages": None}, "messages", "is missing"),
    ({"messages": []}, "messages", "at least one message"),
    ({"messages": "Hello"}, "messages", "got a string"),
    ({"messages": {"role": "user"}}, "messages", "got an object"),
    ({"messages": ["Hello"]}, "messages[0]", "message object"),
    ({"messages": [{"content": "x"}]}, "messages[0].role", "is missing"),
    ({"messages": [{"role": "human", "content": "x"}]}, "messages[0].role", "use user"),
    ({"messages": [{"role": [], "content": "x"}]}, "messages[0].role", "got an empty array"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "is missing or null; expected a string or an array"),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "is missing or null"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "the number 5"),
    ({"messages": [{"role": "user", "content": []}]}, "messages[0].content", "non-empty"),
    ({"messages": [{"role": "user", "content": {"type": "text", "text": "x"}}]}, "messages[0].content", "an object"),
    ({"messages": [{"role": "user", "content": "x", "name": 1}]}, "messages[0].name", "a string"),
    ({"messages": [BASE["messages"][0], {"role": "user", "content": True}]}, "messages[1].content", "a boolean"),
    (user("x"), "messages[0].content[0]", '{"type": "text"'),
    (user({}), "messages[0].content[0].type", "one of text, image_url"),
    (user({"type": 1}), "messages[0].content[0].type", "one of text, image_url"),
    (user({"type": []}), "messages[0].content[0].type", "one of text, image_url"),
    (user({"type": "text"}), "messages[0].content[0].text", "is missing"),
    (user({"type": "text", "text": 5}), "messages[0].content[0].text", "a string"),
    (user({"type": "text", "text": "x"}, {"type": "text", "text": []}), "messages[0].content[1].text", "a string"),
    (user({"type": "input_text", "text": "x"}), "messages[0].content[0].type", "use 'text'"),
    (user({"type": "input_image", "image_url": PNG}), "messages[0].content[0].type", "use 'image_url'"),
    (
        user({"type": "refusal", "refusal": "no"}),
        "messages[0].content[0].type",
        "not allowed in a message of role user",
    ),
    (user({"type": "image_url"}), IMAGE, "is missing"),
    (user({"type": "image_url", "image_url": PNG}), IMAGE, '{"url": ...}'),
    (image(None), f"{IMAGE}.url", "http(s) or data: URL"),
    (image(""), f"{IMAGE}.url", "empty string"),
    (image("cat.png"), f"{IMAGE}.url", "http(s) or data: URL"),
    (image("file:///etc/passwd"), f"{IMAGE}.url", "http(s) or data: URL"),
    (image("ftp://example.com/cat.png"), f"{IMAGE}.url", "http(s) or data: URL"),
    (image("https://"), f"{IMAGE}.url", "http(s) or data: URL"),
    (image("https:///cat.png"), f"{IMAGE}.url", "http(s) or data: URL"),
    (image("https://example.com/a b"), f"{IMAGE}.url", "spaces or control"),
    (image("https://example.com/a\r\nx"), f"{IMAGE}.url", "spaces or control"),
    (image("https://example.com/" + "a" * 9000), f"{IMAGE}.url", "8192"),
    (image("data:,hello"), f"{IMAGE}.url", "media type and base64"),
    (image("data:image/png,iVBO"), f"{IMAGE}.url", "media type and base64"),
    (image("data:;base64,iVBO"), f"{IMAGE}.url", "media type and base64"),
    (image("data:png;base64,iVBO"), f"{IMAGE}.url", "media type and base64"),
    (image("data:image/png;base64"), f"{IMAGE}.url", "media type and base64"),
    (image("data:image/png;base64,"), f"{IMAGE}.url", "base64 data"),
    (image("data:image/png;base64,iVB"), f"{IMAGE}.url", "not valid base64"),
    (image("data:image/png;base64,i=B="), f"{IMAGE}.url", "not valid base64"),
    (image("data:image/png;base64,===="), f"{IMAGE}.url", "not valid base64"),
    (image("data:image/png;base64,iV\nO"), f"{IMAGE}.url", "no line breaks"),
    (image("data:image/png;base64,i_-O"), f"{IMAGE}.url", "standard alphabet"),
    (image("data:image/png;base64,iVBé"), f"{IMAGE}.url", "not valid base64"),
    (image(PNG, detail=5), f"{IMAGE}.detail", "a non-empty string"),
    (audio("x"), AUDIO, "an object"),
    (audio({"format": "wav"}), f"{AUDIO}.data", "base64 data"),
    (audio({"data": "AAAA"}), f"{AUDIO}.format", "is missing"),
    (audio({"data": "AAAA", "format": 1}), f"{AUDIO}.format", "a non-empty string"),
    (audio({"data": "A", "format": "wav"}), f"{AUDIO}.data", "not valid base64"),
    (audio({"data": "data:audio/wav;base64,AAAA", "format": "wav"}), f"{AUDIO}.data", "leave out"),
    (file([]), FILE, "an object"),
    (file({"filename": "a.pdf"}), FILE, "file_data (base64) or file_id"),
    (file({"file_id": 1}), f"{FILE}.file_id", "a non-empty string"),
    (file({"file_data": 1}), f"{FILE}.file_data", "base64 data"),
    (file({"file_data": "%%%%"}), f"{FILE}.file_data", "not valid base64"),
    (file({"file_data": "data:application/pdf;base64,%%%%"}), f"{FILE}.file_data", "not valid base64"),
    (file({"file_data": "AAAA", "filename": 3}), f"{FILE}.filename", "a string"),
    (
        {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}]},
        "messages[0].content[0].type",
        "role system; use one of text",
    ),
    (assistant(), "messages[1].content", "tool_calls"),
    (assistant(content=None), "messages[1].content", "tool_calls"),
    (assistant(content=[]), "messages[1].content", "tool_calls"),
    (assistant(content=None, tool_calls=[]), "messages[1].content", "tool_calls"),
    (
        assistant(content=[{"type": "image_url", "image_url": {"url": PNG}}]),
        "messages[1].content[0].type",
        "role assistant",
    ),
    (assistant(content="x", refusal=1), "messages[1].refusal", "a string"),
    (assistant(audio="a"), "messages[1].audio", "an object"),
    (assistant(audio={}), "messages[1].audio.id", "a non-empty string"),
    (assistant(tool_calls={}), "messages[1].tool_calls", "an array"),
    (assistant(tool_calls=["x"]), CALL, "a tool call object"),
    (assistant(function_call="f"), "messages[1].function_call", "an object"),
    (assistant(function_call={"name": "f"}), "messages[1].function_call.arguments", "JSON text"),
    (call(id=None), f"{CALL}.id", "a non-empty string"),
    (call(id=7), f"{CALL}.id", "the number 7"),
    (call(type=None), f"{CALL}.type", "is missing"),
    (call(type=1), f"{CALL}.type", "a non-empty string"),
    (call(function=None), f"{CALL}.function", "an object"),
    (call(function={"arguments": "{}"}), f"{CALL}.function.name", "a non-empty string"),
    (call(function={"name": "f", "arguments": {"a": 1}}), f"{CALL}.function.arguments", "serialise"),
    (call(type="custom"), f"{CALL}.custom", "an object"),
    (call(type="custom", custom={"name": "c"}), f"{CALL}.custom.input", "a string"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", "is missing"),
    (
        {"messages": [{"role": "tool", "content": "x", "tool_call_id": 5}]},
        "messages[0].tool_call_id",
        "non-empty string",
    ),
    (
        {"messages": [{"role": "tool", "content": None, "tool_call_id": "a"}]},
        "messages[0].content",
        "an empty string is allowed",
    ),
    ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].name", "is missing"),
    ({"stream": 1}, "stream", "true or false"),
    ({"stream": "true"}, "stream", "true or false"),
    ({"stream_options": {}}, "stream_options", "stream: true"),
    ({"stream_options": {}, "stream": False}, "stream_options", "stream: true"),
    ({"stream_options": [], "stream": True}, "stream_options", "an object"),
    ({"stream_options": {"include_usage": 1}, "stream": True}, "stream_options.include_usage", "true or false"),
    ({"max_tokens": 0}, "max_tokens", "at least 1"),
    ({"max_tokens": True}, "max_tokens", "a boolean"),
    ({"max_tokens": "10"}, "max_tokens", "a string"),
    ({"max_tokens": 10.0}, "max_tokens", "without a fraction"),
    ({"max_completion_tokens": -1}, "max_completion_tokens", "at least 1"),
    ({"max_tokens": 10, "max_completion_tokens": 11}, "max_tokens", "contradicts max_completion_tokens (10 and 11)"),
    ({"temperature": 2.1}, "temperature", "from 0 to 2, got 2.1"),
    ({"temperature": -1}, "temperature", "from 0 to 2"),
    ({"temperature": True}, "temperature", "a boolean"),
    ({"temperature": float("nan")}, "temperature", "from 0 to 2"),
    ({"top_p": 1.5}, "top_p", "from 0 to 1"),
    ({"frequency_penalty": 3}, "frequency_penalty", "from -2 to 2"),
    ({"presence_penalty": "1"}, "presence_penalty", "a string"),
    ({"n": 0}, "n", "from 1 to 128"),
    ({"n": 129}, "n", "from 1 to 128"),
    ({"seed": 1.5}, "seed", "at most 64 bits"),
    ({"seed": 2**63}, "seed", "at most 64 bits"),
    ({"stop": ""}, "stop", "empty string"),
    ({"stop": []}, "stop", "1 to 4 strings"),
    ({"stop": ["a"] * 5}, "stop", "array of 5 elements"),
    ({"stop": ["a", ""]}, "stop[1]", "non-empty string"),
    ({"stop": 5}, "stop", "the number 5"),
    ({"logprobs": 1}, "logprobs", "true or false"),
    ({"top_logprobs": 3}, "top_logprobs", "logprobs: true"),
    ({"top_logprobs": 3, "logprobs": False}, "top_logprobs", "logprobs: true"),
    ({"top_logprobs": 21, "logprobs": True}, "top_logprobs", "from 0 to 20"),
    ({"logit_bias": []}, "logit_bias", "an object"),
    ({"logit_bias": {"50256": 101}}, "logit_bias.50256", "from -100 to 100"),
    ({"response_format": "json"}, "response_format", '{"type": "json_object"}'),
    ({"response_format": {}}, "response_format.type", "one of text, json_object"),
    ({"response_format": {"type": "json"}}, "response_format.type", "use json_object"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "a name and a schema"),
    (schema(name=""), "response_format.json_schema.name", "non-empty"),
    (schema(schema=[]), "response_format.json_schema.schema", "an object"),
    (schema(strict="yes"), "response_format.json_schema.strict", "true or false"),
    ({"tools": {}}, "tools", "an array"),
    ({"tools": ["f"]}, "tools[0]", "a tool object"),
    ({"tools": [{"function": {"name": "f"}}]}, "tools[0].type", "is missing or null; expected 'function'"),
    ({"tools": [{"type": "function", "name": "f"}]}, "tools[0].function", "stand inside 'function'"),
    ({"tools": [{"type": "function"}]}, "tools[0].function", "an object"),
    ({"tools": [function(None)]}, "tools[0].function.name", "the name of a function"),
    ({"tools": [function("get weather")]}, "tools[0].function.name", "'get weather' is not a function name"),
    ({"tools": [function("f" * 129)]}, "tools[0].function.name", "at most 128"),
    ({"tools": [function("f\n")]}, "tools[0].function.name", "not a function name"),
    ({"tools": [function(parameters="{}")]}, "tools[0].function.parameters", "an object"),
    ({"tools": [function(description=1)]}, "tools[0].function.description", "a string"),
    ({"tools": [function(), function("g", strict="no")]}, "tools[1].function.strict", "true or false"),
    ({"tools": [custom("")]}, "tools[0].custom.name", "the name of a function"),
    ({"tools": [custom(format="text")]}, "tools[0].custom.format", "an object"),
    ({"tools": [custom(format={})]}, "tools[0].custom.format.type", "non-empty string"),
    ({"tool_choice": "any"}, "tool_choice", "use required"),
    ({"tool_choice": 1}, "tool_choice", "none, auto, required or an object"),
    ({"tool_choice": "required"}, "tool_choice", "at least one tool"),
    ({"tool_choice": {}}, "tool_choice.type", "non-empty string"),
    ({"tool_choice": {"type": "auto"}}, "tool_choice.type", "plain strings"),
    ({"tool_choice": {"type": "function", "name": "f"}, "tools": [function()]}, "tool_choice.function", "an object"),
    ({"tool_choice": function(""), "tools": [function()]}, "tool_choice.function.name", "non-empty"),
    (
        {"tool_choice": function("g"), "tools": [function()]},
        "tool_choice.function.name",
        "'g' is not defined in tools; defined: f",
    ),
    ({"tool_choice": function("c"), "tools": [custom("c")]}, "tool_choice.function.name", "defined: none"),
    ({"tool_choice": custom("x"), "tools": [custom("c")]}, "tool_choice.custom.name", "'x' is not defined"),
    ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools", "a mode and tools"),
    (
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "none"}}},
        "tool_choice.allowed_tools.mode",
        "auto, required",
    ),
    (
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}},
        "tool_choice.allowed_tools.tools",
        "at least one",
    ),
    (
        {
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [function("g")]}},
            "tools": [function()],
        },
        "tool_choice.allowed_tools.tools[0].function.name",
        "'g' is not defined",
    ),
    ({"parallel_tool_calls": "no"}, "parallel_tool_calls", "true or false"),
    ({"functions": []}, "functions", "at least one"),
    ({"functions": [{"parameters": {}}]}, "functions[0].name", "the name of a function"),
    ({"function_call": "required"}, "function_call", "none, auto"),
    ({"function_call": {"name": "g"}, "functions": [{"name": "f"}]}, "function_call.name", "not defined in functions"),
    ({"reasoning_effort": 3}, "reasoning_effort", "a non-empty string"),
    ({"verbosity": True}, "verbosity", "a non-empty string"),
    ({"service_tier": {}}, "service_tier", "a non-empty string"),
    ({"modalities": "text"}, "modalities", "an array"),
    ({"modalities": ["text", 1]}, "modalities[1]", "a non-empty string"),
    ({"audio": "alloy"}, "audio", "an object"),
    ({"audio": {"voice": 1}}, "audio.voice", "a non-empty string"),
    ({"prediction": {"type": "content"}}, "prediction.content", "a string or an array"),
    ({"web_search_options": True}, "web_search_options", "an object"),
    ({"user": 1}, "user", "a string"),
    ({"store": "yes"}, "store", "true or false"),
    ({"metadata": []}, "metadata", "an object"),
    ({"metadata": {str(n): "x" for n in range(17)}}, "metadata", "at most 16"),
    ({"metadata": {"a": 1}}, "metadata.a", "write numbers and flags as text"),
    ({"metadata": {"a": "x" * 513}}, "metadata.a", "at most 512"),
    ({"metadata": {"k" * 65: "x"}}, "metadata." + "k" * 64, "at most 64"),
    ({"api_base": "http://evil.example"}, "api_base", "operator's configuration"),
    ({"apiBase": "http://evil.example"}, "apiBase", "operator's configuration"),
    ({"API-BASE": "http://evil.example"}, "API-BASE", "operator's configuration"),
    ({"base_url": "http://evil.example"}, "base_url", "operator's configuration"),
    ({"api_key": "abc"}, "api_key", "operator's credentials"),
    ({"user_config": {}}, "user_config", "operator's configuration"),
    ({"organization": "x"}, "organization", "operator's credentials"),
    ({"extra_headers": {"a": "b"}}, "extra_headers", "not part of the request body"),
]


@pytest.mark.parametrize(("change", "param", "phrase"), WRONG, ids=[f"{n}-{row[1]}" for n, row in enumerate(WRONG)])
def test_refuses(change: dict[str, Any], param: str, phrase: str) -> None:
    with pytest.raises(CallerFault) as caught:
        validate_chat(changed(change), allow_missing_model=False)
    fault = caught.value
    assert (fault.param, fault.status, fault.type) == (param, 400, "invalid_request_error")
    assert phrase in fault.message
    assert fault.message.startswith(f"{param}: ")
    assert len(fault.message) < 500


def test_every_forbidden_field_is_refused_and_its_value_never_shown() -> None:
    for name in FORBIDDEN_FIELDS:
        with pytest.raises(CallerFault) as caught:
            validate_chat(changed({name: "hunter2"}), allow_missing_model=False)
        assert caught.value.param == name
        assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    "name",
    ["Model", "MAX_TOKENS", "max_to\u212aens", "me\u017f\u017fages", "N", "Tools", "Tool_Choice", "Best_Of", "Prompt",
     "service_Tier", "provider[order][]", "Extra_Body[model]"],
)  # fmt: skip
def test_other_spellings_of_what_is_checked_are_refused(name: str) -> None:
    """Go's `encoding/json` matches the names of members in any case."""
    with pytest.raises(CallerFault) as caught:
        validate_chat(changed({name: "x"}), allow_missing_model=False)
    assert (caught.value.param, caught.value.code) == (name, "forbidden_parameter")


RIGHT: list[dict[str, Any]] = [
    {},
    {"model": "gpt-4o"},
    {"messages": [{"role": role, "content": "x"} for role in ("system", "developer", "user", "assistant")]},
    {"messages": [{"role": "user", "content": ""}]},
    {"messages": [{"role": "user", "content": "x", "name": "Ann", "cache_control": {"type": "ephemeral"}}]},
    user({"type": "text", "text": ""}),
    user({"type": "text", "text": "x", "prompt_cache_breakpoint": {}}, {"type": "video_url", "video_url": {"url": 5}}),
    image("https://example.com/cat.jpg?x=1#y"),
    image("HTTP://[2001:db8::1]:8080/cat.jpg", detail="high"),
    image(PNG, detail=None),
    image("data:image/svg+xml;charset=utf-8;base64," + base64.b64encode(b"<svg/>").decode()),
    image("DATA:image/png;BASE64,iVBO"),
    audio({"data": "AAAA", "format": "flac"}),
    file({"file_id": "file-1"}),
    file({"file_data": "AAAA", "filename": "a.pdf"}),
    file({"file_data": "data:application/pdf;base64,AA=="}),
    file({"file_data": "https://example.com/a.pdf"}),
    assistant(content="x", tool_calls=[]),
    assistant(content=[], tool_calls=[{"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]),
    assistant(content=None, refusal="no"),
    assistant(audio={"id": "a"}),
    assistant(content=None, function_call={"name": "f", "arguments": "not json"}),
    assistant(content=None, reasoning_content="hm"),
    assistant(content=[{"type": "text", "text": "x"}, {"type": "refusal", "refusal": "no"}, {"type": "thinking"}]),
    call(),
    call(function={"name": "anything goes in history", "arguments": ""}),
    call(type="custom", custom={"name": "c", "input": ""}),
    call(type="builtin_function"),
    {"messages": [{"role": "tool", "content": "", "tool_call_id": "a"}]},
    {
        "messages": [
            {"role": "tool", "content": [{"type": "image_url", "image_url": {"url": PNG}}], "tool_call_id": "a"}
        ]
    },
    {"messages": [{"role": "function", "content": None, "name": "f"}]},
    {"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False, "new": 1}},
    {"max_tokens": 5, "max_completion_tokens": 5},
    {"max_completion_tokens": 2**62},
    {"temperature": 0, "top_p": 1, "frequency_penalty": -2, "presence_penalty": 2.0},
    {"n": 128, "seed": -(2**63), "stop": "x"},
    {"stop": ["a", "b", "c", "d"]},
    {"logprobs": True, "top_logprobs": 0},
    {"logit_bias": {"1": -100, "2": 0.5}},
    {"response_format": {"type": "text"}},
    schema(strict=None),
    {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
    {"tools": [], "tool_choice": "auto"},
    {"tools": [function("mcp.server:tool-1_x", strict=None, parameters=None)]},
    {"tools": [{"type": "web_search"}, custom(format={"type": "grammar", "grammar": {}})]},
    {"tools": [function(str(n)) for n in range(200)], "tool_choice": "required"},
    {"tools": [function(), custom()], "tool_choice": custom()},
    {"tools": [function()], "tool_choice": {"type": "web_search"}},
    {
        "tools": [function()],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [function()]}},
    },
    {"functions": [{"name": "f", "parameters": {}}], "function_call": {"name": "f"}},
    {"reasoning_effort": "a level of next week", "verbosity": "low", "service_tier": "flex"},
    {"modalities": ["text", "audio"], "audio": {"voice": {"id": "v"}, "format": "wav"}},
    {"prediction": {"type": "content", "content": "x"}, "web_search_options": {}},
    {"metadata": {"a": "x" * 512}, "store": False, "user": ""},
    {"top_k": 40, "repetition_penalty": 1.1, "chat_template_kwargs": {"enable_thinking": False}},
]


@pytest.mark.parametrize("change", RIGHT, ids=range(len(RIGHT)))
def test_accepts_and_changes_nothing(change: dict[str, Any]) -> None:
    body = changed(change)
    before = copy.deepcopy(body)
    validate_chat(body, allow_missing_model=False)
    assert body == before


def test_null_means_absent() -> None:
    names = {key for row, _, _ in WRONG for key in row if key not in ("model", "messages")}
    assert len(names) > 30
    validate_chat(changed(dict.fromkeys(names)), allow_missing_model=False)


def test_a_missing_model_may_be_allowed() -> None:
    validate_chat(changed({"model": ABSENT}), allow_missing_model=True)
    validate_chat(changed({"model": None}), allow_missing_model=True)
    with pytest.raises(CallerFault):
        validate_chat(changed({"model": 5}), allow_missing_model=True)


def test_an_integer_beyond_64_bits_gives_a_clear_message() -> None:
    body = parse_json(b'{"messages":[{"role":"user","content":"x"}],"seed":123456789012345678901234567890}')
    with pytest.raises(CallerFault, match="within 64 bits") as caught:
        validate_chat(body, allow_missing_model=True)
    assert caught.value.param == "seed"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(-3, 3)
    | st.sampled_from(["", "user", "text", "function", PNG]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "role",
                    "content",
                    "type",
                    "text",
                    "image_url",
                    "url",
                    "tool_calls",
                    "function",
                    "name",
                    "file",
                    "tools",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)
KEYS = st.sampled_from(
    ["model", "messages", "tools", "tool_choice", "functions", "function_call", "stop", "response_format"]
)


@given(st.dictionaries(KEYS, JSON, max_size=4), st.lists(JSON, max_size=3))
def test_hostile_bodies_give_nothing_but_faults(body: dict[str, Any], messages: list[Any]) -> None:
    body.setdefault("messages", messages)
    found: CallerFault | None = None
    try:
        validate_chat(body, allow_missing_model=True)
    except CallerFault as fault:
        found = fault
    assert found is None or (found.param and found.status == 400)


def test_a_large_body_is_fast() -> None:
    """100 messages, 200 KB; the limits are ten times what was measured, so that only another order shows."""
    messages = [{"role": "user" if n % 2 else "assistant", "content": "lorem ipsum " * 170} for n in range(100)]
    raw = orjson.dumps({"model": "m", "messages": messages})

    def best(work: Any) -> float:
        times = []
        for _ in range(5):
            started = time.process_time()
            work()
            times.append(time.process_time() - started)
        return min(times)

    body = parse_json(raw)
    assert best(lambda: parse_json(raw)) < 0.005
    assert best(lambda: validate_chat(body, allow_missing_model=False)) < 0.0005
    big = changed(image("data:image/png;base64," + "A" * 20_000_000))
    assert best(lambda: validate_chat(big, allow_missing_model=False)) < 0.2
