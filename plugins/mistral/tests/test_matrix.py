"""The compatibility matrix of this provider: what becomes of every chat parameter, each cell with its proof.

`matrix_rows` is read by the generator of the documentation. A row: `parameter` (a name, or a value of one),
`provider`, `how` (mapped: said in Mistral's words; emulated: brought about by other means; refused: a 400 that names
it; reported: left out and listed in `x-gateway-dropped-params`), `note`, and `check`, which fails when the row stops
being true. Under strict mode every `reported` becomes a 400; that is checked for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from tollgate_mistral import Settings, create
from tollgate_mistral.draft import short_id

from gateway.api import Call, CallerFault
from gateway.testing import make_call, make_target

USER = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
OTHER = {"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}}
NAMED = {"type": "function", "function": {"name": "f"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def send(body: dict[str, Any], model: str = "mistral-small-latest", **more: Any) -> tuple[dict[str, Any], Call]:
    call = make_call({"model": "test/model", "messages": USER, **body}, **more)
    request = create("test", Settings()).prepare(call, make_target(model)).request
    return orjson.loads(request.body), call


def gives(
    body: dict[str, Any], expected: dict[str, Any], model: str = "mistral-small-latest", absent: tuple[str, ...] = ()
) -> Callable[[], None]:
    """The upstream body has these members, not the absent ones, and nothing was reported, not even when strict."""

    def check() -> None:
        out, call = send(body, model, strict=True)
        assert {key: out.get(key) for key in expected} == expected
        assert not set(absent) & set(out)
        assert call.dropped == []

    return check


def same(name: str, value: Any) -> Callable[[], None]:
    return gives({name: value}, {name: value})


def reports(body: dict[str, Any], name: str, model: str = "mistral-small-latest") -> Callable[[], None]:
    """The parameter is listed and not sent; strict mode refuses it by name."""

    def check() -> None:
        out, call = send(body, model)
        assert call.dropped == [name]
        assert name not in out
        with pytest.raises(CallerFault) as caught:
            send(body, model, strict=True)
        assert (caught.value.param, caught.value.status) == (name, 400)

    return check


def refuses(body: dict[str, Any], path: str) -> Callable[[], None]:
    def check() -> None:
        with pytest.raises(CallerFault) as caught:
            send(body)
        assert (caught.value.param, caught.value.status) == (path, 400)

    return check


def stands_in(body: dict[str, Any], name: str, sent: Any) -> Callable[[], None]:
    """Another value is sent, and that is reported."""

    def check() -> None:
        out, call = send(body)
        assert (out[name], call.dropped) == (sent, [name])
        with pytest.raises(CallerFault) as caught:
            send(body, strict=True)
        assert caught.value.param == name

    return check


def takes_the_gateways_limit() -> None:
    assert send({"max_tokens": 9})[0]["max_tokens"] == 9
    assert send({"max_completion_tokens": 9})[0]["max_tokens"] == 9
    assert send({"max_completion_tokens": 9, "max_tokens": 5})[0]["max_tokens"] == 5
    out, _ = send({"max_completion_tokens": 9}, max_output=7)
    assert out["max_tokens"] == 7
    assert "max_completion_tokens" not in out
    assert "max_tokens" not in send({})[0]


def always_streams_usage() -> None:
    out, call = send({"stream": True, "stream_options": {"include_usage": False}}, strict=True)
    assert out["stream"] is True
    assert "stream_options" not in out
    assert call.dropped == []


def shortens_ids() -> None:
    messages = [
        *USER,
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": ""},
    ]
    sent = send({"messages": messages}, strict=True)[0]["messages"]
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"] == short_id("call_1")


def keeps_to_the_rule_of_names() -> None:
    rule = re.compile(create("test", Settings()).profile(make_target()).tool_names)
    assert rule.fullmatch("get_weather")
    assert not any(rule.fullmatch(name) for name in ("a.b", "a:b", "x" * 65))


OLDER = "told as tools, and answered in the older form"


def knows_tools_only() -> None:
    """So the gateway says it in tools (tests/wire/chat/test_functions.py)."""
    profile = create("test", Settings(api_key="sk-test")).profile(make_target("some-model"))
    assert "functions" not in profile.understands


def row(parameter: str, how: str, check: Callable[[], None], note: str = "") -> dict[str, Any]:
    return {"parameter": parameter, "provider": "mistralai", "how": how, "note": note, "check": check}


def message(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}}
FILE = {"type": "file", "file": {"file_data": "https://example.com/a.pdf"}}

matrix_rows: list[dict[str, Any]] = [
    row("messages", "mapped", gives({}, {"messages": USER}), "instructions move to the top; see the README"),
    row("messages: image_url", "mapped", gives(message(PICTURE), message(PICTURE)), "Mistral fetches addresses itself"),
    row(
        "messages: input_audio",
        "mapped",
        gives(message(AUDIO), message({"type": "input_audio", "input_audio": "SUQz"})),
    ),
    row(
        "messages: file",
        "mapped",
        gives(message(FILE), message({"type": "document_url", "document_url": "https://example.com/a.pdf"})),
    ),
    row("messages: tool call ids", "emulated", shortens_ids, "nine letters or digits, always the same for an id"),
    row("messages: name", "reported", reports({"messages": [{**USER[0], "name": "Ann"}]}, "messages[].name")),
    row(
        "messages: assistant last",
        "mapped",
        gives(
            {"messages": [*USER, {"role": "assistant", "content": "A"}]},
            {"messages": [*USER, {"role": "assistant", "content": "A", "prefix": True}]},
        ),
        "continued, with prefix: true",
    ),
    row("model", "mapped", gives({"model": "mistralai/x"}, {"model": "mistral-small-latest"})),
    row("stream", "mapped", gives({"stream": True}, {"stream": True})),
    row("stream_options", "emulated", always_streams_usage, "Mistral always reports usage"),
    row("max_tokens", "mapped", takes_the_gateways_limit),
    row("max_completion_tokens", "mapped", takes_the_gateways_limit, "as max_tokens"),
    row("temperature", "mapped", same("temperature", 0.3)),
    row("temperature > 1.5", "reported", stands_in({"temperature": 1.8}, "temperature", 1.5), "1.5 is sent"),
    row("top_p", "mapped", same("top_p", 0.3)),
    row(
        "top_p with temperature 0",
        "mapped",
        gives({"temperature": 0, "top_p": 0.3}, {"temperature": 0}, absent=("top_p",)),
        "left out: it changes nothing there",
    ),
    row("frequency_penalty", "mapped", same("frequency_penalty", 0.5)),
    row("presence_penalty", "mapped", same("presence_penalty", 0.5)),
    row("stop", "mapped", same("stop", ["END"])),
    row("n", "mapped", same("n", 3)),
    row("seed", "mapped", gives({"seed": 7}, {"random_seed": 7}, absent=("seed",))),
    row("seed < 0", "mapped", gives({"seed": -1}, {"random_seed": 2**63 - 1}), "as one that is not negative"),
    row("tools", "mapped", same("tools", [TOOL])),
    row("tools: names outside the rule", "emulated", keeps_to_the_rule_of_names, "renamed, and back in the answer"),
    row("tools: custom", "refused", refuses({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type")),
    row("tool_choice", "mapped", gives({"tools": [TOOL], "tool_choice": NAMED}, {"tool_choice": NAMED})),
    row(
        "tool_choice: required",
        "mapped",
        gives({"tools": [TOOL], "tool_choice": "required"}, {"tool_choice": "any"}),
    ),
    row(
        "tool_choice: allowed_tools",
        "emulated",
        gives(
            {
                "tools": [TOOL, OTHER],
                "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}},
            },
            {"tools": [TOOL], "tool_choice": "any"},
        ),
        "the other tools are left out",
    ),
    row(
        "parallel_tool_calls",
        "mapped",
        gives({"tools": [TOOL], "parallel_tool_calls": False}, {"parallel_tool_calls": False}),
    ),
    row("functions", "emulated", knows_tools_only, OLDER),
    row("function_call", "emulated", knows_tools_only, OLDER),
    row("response_format: json_object", "mapped", same("response_format", {"type": "json_object"})),
    row("response_format: json_schema", "mapped", same("response_format", SCHEMA)),
    row("reasoning_effort", "mapped", same("reasoning_effort", "high")),
    row(
        "reasoning_effort: minimal",
        "mapped",
        gives({"reasoning_effort": "minimal"}, {"reasoning_effort": "none"}),
    ),
    row(
        "reasoning_effort: others",
        "reported",
        stands_in({"reasoning_effort": "low"}, "reasoning_effort", "high"),
        "most models know none and high; the next higher one is sent",
    ),
    row(
        "reasoning_effort (models that do not reason)",
        "reported",
        reports({"reasoning_effort": "low"}, "reasoning_effort", "codestral-latest"),
    ),
    row("metadata", "mapped", same("metadata", {"a": "b"})),
    row("prediction", "mapped", same("prediction", {"type": "content", "content": "x"})),
    row("prompt_cache_key", "mapped", same("prompt_cache_key", "k")),
    row("safe_prompt", "mapped", same("safe_prompt", True), "Mistral's own"),
    row("user", "reported", reports({"user": "u"}, "user")),
    row("safety_identifier", "reported", reports({"safety_identifier": "u"}, "safety_identifier")),
    row("service_tier", "reported", reports({"service_tier": "flex"}, "service_tier")),
    row("logprobs", "reported", reports({"logprobs": True}, "logprobs")),
    row("top_logprobs", "reported", reports({"top_logprobs": 2}, "top_logprobs")),
    row("logit_bias", "reported", reports({"logit_bias": {"1": 5}}, "logit_bias")),
    row("store", "reported", reports({"store": True}, "store")),
    row("verbosity", "reported", reports({"verbosity": "low"}, "verbosity")),
    row("web_search_options", "reported", reports({"web_search_options": {}}, "web_search_options")),
    row("prompt_cache_retention", "reported", reports({"prompt_cache_retention": "24h"}, "prompt_cache_retention")),
    row("prompt_cache_options", "reported", reports({"prompt_cache_options": {"mode": "x"}}, "prompt_cache_options")),
    row("moderation", "reported", reports({"moderation": {"model": "omni"}}, "moderation")),
    row("modalities: audio", "refused", refuses({"modalities": ["text", "audio"]}, "modalities")),
    row("audio", "reported", reports({"audio": {"voice": "alloy"}}, "audio")),
    row("any other", "mapped", same("guardrails", [{"x": 1}]), "sent under its own name"),
]


@pytest.mark.parametrize("cell", matrix_rows, ids=lambda cell: cell["parameter"])
def test_a_cell_is_true(cell: dict[str, Any]) -> None:
    assert cell["how"] in ("mapped", "emulated", "refused", "reported")
    cell["check"]()


def test_neutral_values_are_no_loss() -> None:
    _, call = send(
        {
            "logprobs": False,
            "logit_bias": {},
            "store": False,
            "modalities": ["text"],
            "seed": None,
            "verbosity": "medium",
            "service_tier": "auto",
            "stop": None,
            "user": None,
            "reasoning_effort": "none",
            "tools": [],
            "tool_choice": "auto",
            "parallel_tool_calls": True,
        },
        model="codestral-latest",
        strict=True,
    )
    assert call.dropped == []


def test_every_parameter_of_openais_has_a_row() -> None:
    """The members of CreateChatCompletionRequest in OpenAI's document, version 2.3.0."""
    known = (
        "audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens messages"
        " metadata modalities model moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key"
        " prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed"
        " service_tier stop store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity"
        " web_search_options"
    ).split()
    told = {entry["parameter"].split(":")[0].split(" ")[0] for entry in matrix_rows}
    assert set(known) <= told


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": "high"}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"stop": 7}, "stop"),
        ({"stop": [7]}, "stop[0]"),
        ({"seed": 1.5}, "seed"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": "maybe"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": 7}, "tool_choice"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": [OTHER]}}},
            "tool_choice.allowed_tools.tools",
        ),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
)
def test_values_that_make_no_sense_are_refused(body: dict[str, Any], path: str) -> None:
    refuses(body, path)()


def test_an_unknown_effort_passes_for_the_provider_to_judge() -> None:
    assert send({"reasoning_effort": "enormous"}, strict=True)[0]["reasoning_effort"] == "enormous"
    assert send({"reasoning_effort": "low"}, "a-new-model", strict=True)[0]["reasoning_effort"] == "low"


def test_optional_members_that_mistral_requires_are_filled_in() -> None:
    out, _ = send({"tools": [{"type": "function", "function": {"name": "f", "description": None}}]})
    assert out["tools"][0]["function"] == {"name": "f", "parameters": {"type": "object", "properties": {}}}
    out, _ = send({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": None}}})
    assert out["response_format"]["json_schema"] == {"name": "x", "schema": {"type": "object"}}
