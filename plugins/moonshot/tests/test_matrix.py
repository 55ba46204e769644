"""The compatibility matrix of this provider: what becomes of every chat parameter, each cell with its proof.

`matrix_rows` is read by the generator of the documentation. A row: `parameter` (a name, or a value of one),
`provider`, `how` (mapped: said in Moonshot's words; emulated: brought about by other means; refused: a 400 that names
it; reported: left out and listed in `x-gateway-dropped-params`), `note`, and `check`, which fails when the row stops
being true. Under strict mode every `reported` becomes a 400; that is checked for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from tollgate_moonshot import Settings, create
from tollgate_moonshot.tools import ASK, ASK_FOR

from gateway.api import Call, CallerFault
from gateway.testing import make_call, make_target

USER = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "get", "parameters": {"type": "object", "properties": {}}}}
OTHER = {"type": "function", "function": {"name": "put", "parameters": {"type": "object", "properties": {}}}}
NAMED = {"type": "function", "function": {"name": "get"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True}}
V1, K2_THINKING, K3 = "moonshot-v1-8k", "kimi-k2-thinking", "kimi-k3"
PIXEL = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def send(body: dict[str, Any], model: str = "kimi-k2.5", **more: Any) -> tuple[dict[str, Any], Call]:
    call = make_call({"model": "test/model", "messages": USER, **body}, **more)
    request = create("test", Settings()).prepare(call, make_target(model)).request
    return orjson.loads(request.body), call


def gives(
    body: dict[str, Any], expected: dict[str, Any], model: str = "kimi-k2.5", absent: tuple[str, ...] = ()
) -> Callable[[], None]:
    """The upstream body has these members, not the absent ones, and nothing was reported, not even when strict."""

    def check() -> None:
        out, call = send(body, model, strict=True)
        assert {key: out.get(key) for key in expected} == expected
        assert not set(absent) & set(out)
        assert call.dropped == []

    return check


def same(name: str, value: Any, model: str = "kimi-k2.5") -> Callable[[], None]:
    return gives({name: value}, {name: value}, model)


def reports(body: dict[str, Any], name: str, model: str = "kimi-k2.5") -> Callable[[], None]:
    """The parameter is listed and not sent; strict mode refuses it by name."""

    def check() -> None:
        out, call = send(body, model)
        assert call.dropped == [name]
        assert name not in out
        with pytest.raises(CallerFault) as caught:
            send(body, model, strict=True)
        assert (caught.value.param, caught.value.status) == (name, 400)

    return check


def refuses(body: dict[str, Any], path: str, model: str = "kimi-k2.5") -> Callable[[], None]:
    def check() -> None:
        with pytest.raises(CallerFault) as caught:
            send(body, model)
        assert (caught.value.param, caught.value.status) == (path, 400)

    return check


def stands_in(body: dict[str, Any], name: str, sent: Any, model: str) -> Callable[[], None]:
    """Another value is sent, and that is reported."""

    def check() -> None:
        out, call = send(body, model)
        assert (out[name], call.dropped) == (sent, [name])
        with pytest.raises(CallerFault) as caught:
            send(body, model, strict=True)
        assert caught.value.param == name

    return check


def takes_the_gateways_limit() -> None:
    assert send({"max_tokens": 9})[0]["max_completion_tokens"] == 9
    assert send({"max_completion_tokens": 9, "max_tokens": 5})[0]["max_completion_tokens"] == 5
    assert send({"max_completion_tokens": 9}, V1)[0]["max_tokens"] == 9
    out, _ = send({"max_completion_tokens": 9}, V1, max_output=7)
    assert out["max_tokens"] == 7
    assert "max_completion_tokens" not in out
    assert not {"max_tokens", "max_completion_tokens"} & set(send({})[0])


def counts_choices() -> None:
    out, call = send({"n": 3}, strict=True)
    assert "n" not in out
    assert create("test", Settings()).profile(make_target()).max_choices == 1
    assert call.dropped == []


def asks_for_a_call() -> None:
    for choice, instruction, names in (
        ("required", ASK, ["get", "put"]),
        (NAMED, ASK_FOR.format(name="get"), ["get"]),
    ):
        body = {"tools": [TOOL, OTHER], "tool_choice": choice}
        for model in (V1, K2_THINKING):
            out, call = send(body, model)
            assert out["tool_choice"] == "auto"
            assert [tool["function"]["name"] for tool in out["tools"]] == names
            assert out["messages"] == [*USER, {"role": "system", "content": instruction}]
            assert call.dropped == ["tool_choice"]
            with pytest.raises(CallerFault) as caught:
                send(body, model, strict=True)
            assert caught.value.param == "tool_choice"


def gives_up_thinking() -> None:
    off = {"type": "disabled"}
    body = {"tools": [TOOL], "tool_choice": "required"}
    out, call = send(body, strict=True)
    assert (out["thinking"], out["tool_choice"]) == (off, "required")
    assert call.dropped == []
    for asked, name in (
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"thinking": {"type": "enabled"}}, "thinking"),
    ):
        out, call = send({**body, **asked})
        assert (out["thinking"], call.dropped) == (off, [name])
    out, call = send({**body, "reasoning_effort": "none"}, strict=True)
    assert (out["thinking"], call.dropped) == (off, [])


def keeps_to_the_rule_of_names() -> None:
    rule = re.compile(create("test", Settings()).profile(make_target("kimi-k2.5")).tool_names)
    assert rule.fullmatch("get_weather")
    assert not any(rule.fullmatch(name) for name in ("f", "1abc", "server.tool", "a:b", "x" * 65))


def always_asks_for_usage() -> None:
    out, _ = send({"stream": True, "stream_options": {"include_usage": False, "x": 1}}, strict=True)
    assert out["stream_options"] == {"include_usage": True, "x": 1}
    assert send({"stream": True})[0]["stream_options"] == {"include_usage": True}
    assert "stream_options" not in send({})[0]


OLDER = "told as tools, and answered in the older form"


def knows_tools_only() -> None:
    """So the gateway says it in tools (tests/wire/chat/test_functions.py)."""
    profile = create("test", Settings(api_key="sk-test")).profile(make_target("some-model"))
    assert "functions" not in profile.understands


def row(parameter: str, how: str, check: Callable[[], None], note: str = "") -> dict[str, Any]:
    return {"parameter": parameter, "provider": "moonshotai", "how": how, "note": note, "check": check}


def message(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}}
PART = "messages[0].content[0]"

matrix_rows: list[dict[str, Any]] = [
    row("messages", "mapped", gives({}, {"messages": USER})),
    row("messages: image_url (data URL)", "mapped", gives(message(PIXEL), message(PIXEL))),
    row(
        "messages: image_url (address)",
        "emulated",
        lambda: (
            refuses(message(PICTURE), f"{PART}.image_url.url")()
            if create("test", Settings()).media_urls(message(PICTURE)) == ["https://example.com/a.png"]
            else pytest.fail("the address is not listed")
        ),
        "fetched by the gateway and sent as data",
    ),
    row("messages: file", "refused", refuses(message({"type": "file", "file": {"file_id": "f"}}), PART)),
    row("messages: input_audio", "refused", refuses(message({"type": "input_audio", "input_audio": {}}), PART)),
    row(
        "messages: reasoning_content",
        "mapped",
        gives(
            {"messages": [*USER, {"role": "assistant", "content": "a", "reasoning_content": "b"}, *USER]},
            {"messages": [*USER, {"role": "assistant", "content": "a", "reasoning_content": "b"}, *USER]},
        ),
    ),
    row("messages: name", "mapped", same("messages", [{**USER[0], "name": "Ann"}])),
    row(
        "messages: partial", "mapped", same("messages", [*USER, {"role": "assistant", "content": "A", "partial": True}])
    ),
    row("model", "mapped", gives({"model": "moonshotai/x"}, {"model": "kimi-k2.5"})),
    row("stream", "mapped", gives({"stream": True}, {"stream": True})),
    row("stream_options", "mapped", always_asks_for_usage, "usage is always asked for"),
    row("max_tokens", "mapped", takes_the_gateways_limit, "as max_completion_tokens from Kimi K2.5 on"),
    row("max_completion_tokens", "mapped", takes_the_gateways_limit, "as max_tokens before Kimi K2.5"),
    row("temperature", "mapped", same("temperature", 0.3, V1)),
    row("temperature > 1", "reported", stands_in({"temperature": 1.5}, "temperature", 1, V1), "1 is sent"),
    row("temperature (Kimi K2.5 and later)", "reported", reports({"temperature": 0.3}, "temperature"), "fixed"),
    row("top_p", "mapped", same("top_p", 0.3, V1)),
    row("top_p (Kimi K2.5 and later)", "reported", reports({"top_p": 0.3}, "top_p"), "fixed"),
    row("frequency_penalty", "mapped", same("frequency_penalty", 0.5, V1)),
    row("frequency_penalty (Kimi K2.5 and later)", "reported", reports({"frequency_penalty": 1}, "frequency_penalty")),
    row("presence_penalty", "mapped", same("presence_penalty", 0.5, V1)),
    row("presence_penalty (Kimi K2.5 and later)", "reported", reports({"presence_penalty": 1}, "presence_penalty")),
    row("stop", "mapped", same("stop", ["END"])),
    row("stop: over 32 bytes", "refused", refuses({"stop": ["x", "y" * 33]}, "stop[1]")),
    row("stop: over 5", "refused", refuses({"stop": list("abcdef")}, "stop")),
    row("n", "emulated", counts_choices, "several calls"),
    row("seed", "reported", reports({"seed": 1}, "seed")),
    row("tools", "mapped", same("tools", [TOOL])),
    row("tools: names outside the rule", "emulated", keeps_to_the_rule_of_names, "renamed, and back in the answer"),
    row("tools: custom", "refused", refuses({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type")),
    row(
        "tools: $web_search",
        "mapped",
        same("tools", [{"type": "builtin_function", "function": {"name": "$web_search"}}]),
        "only where the operator lets `builtin_function` through (`hosted_tools`): Moonshot bills each search",
    ),
    row("tool_choice", "mapped", gives({"tools": [TOOL], "tool_choice": "none"}, {"tool_choice": "none"})),
    row(
        "tool_choice: required, named (Kimi K3)",
        "emulated",
        gives({"tools": [TOOL, OTHER], "tool_choice": NAMED}, {"tools": [TOOL], "tool_choice": "required"}, K3),
        "required is native; of named tools the others are left out",
    ),
    row(
        "tool_choice: required, named (Kimi K2.5, K2.6)",
        "mapped",
        gives_up_thinking,
        "thinking is switched off, which is reported when it was asked for",
    ),
    row(
        "tool_choice: required, named (other models)",
        "reported",
        asks_for_a_call,
        "an instruction asks for the call; of named tools the others are left out",
    ),
    row(
        "tool_choice: allowed_tools",
        "emulated",
        gives({"tools": [TOOL, OTHER], "tool_choice": ALLOWED}, {"tools": [TOOL], "tool_choice": "auto"}),
        "the other tools are left out",
    ),
    row(
        "parallel_tool_calls: false",
        "reported",
        reports({"tools": [TOOL], "parallel_tool_calls": False}, "parallel_tool_calls"),
    ),
    row("functions", "emulated", knows_tools_only, OLDER),
    row("function_call", "emulated", knows_tools_only, OLDER),
    row("response_format: json_object", "mapped", same("response_format", {"type": "json_object"})),
    row("response_format: json_schema", "mapped", same("response_format", SCHEMA)),
    row("reasoning_effort (Kimi K3)", "mapped", same("reasoning_effort", "low", K3)),
    row(
        "reasoning_effort: others (Kimi K3)",
        "reported",
        stands_in({"reasoning_effort": "medium"}, "reasoning_effort", "high", K3),
        "low, high and max are known; the next higher one is sent",
    ),
    row(
        "reasoning_effort (Kimi K2.5, K2.6)",
        "mapped",
        gives({"reasoning_effort": "high"}, {"thinking": {"type": "enabled"}}, absent=("reasoning_effort",)),
        "on, or off for none and minimal",
    ),
    row(
        "reasoning_effort: none (Kimi K2.5, K2.6)",
        "mapped",
        gives({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
    ),
    row(
        "reasoning_effort: none (models that always think)",
        "reported",
        reports({"reasoning_effort": "none"}, "reasoning_effort", K2_THINKING),
    ),
    row(
        "reasoning_effort (models that never think)",
        "reported",
        reports({"reasoning_effort": "low"}, "reasoning_effort", V1),
    ),
    row("thinking", "mapped", same("thinking", {"type": "enabled", "keep": "all"}), "Moonshot's own"),
    row(
        "thinking: disabled (models that always think)",
        "reported",
        reports({"thinking": {"type": "disabled"}}, "thinking", K3),
    ),
    row("thinking (models that never think)", "reported", reports({"thinking": {"type": "enabled"}}, "thinking", V1)),
    row("prompt_cache_key", "mapped", same("prompt_cache_key", "k")),
    row("safety_identifier", "mapped", same("safety_identifier", "u")),
    row("user", "mapped", gives({"user": "u"}, {"safety_identifier": "u"}, absent=("user",)), "as safety_identifier"),
    row("logprobs", "mapped", same("logprobs", True)),
    row("top_logprobs", "mapped", same("top_logprobs", 2)),
    row("metadata", "reported", reports({"metadata": {"a": "b"}}, "metadata")),
    row("service_tier", "reported", reports({"service_tier": "flex"}, "service_tier")),
    row("logit_bias", "reported", reports({"logit_bias": {"1": 5}}, "logit_bias")),
    row("store", "reported", reports({"store": True}, "store")),
    row("verbosity", "reported", reports({"verbosity": "low"}, "verbosity")),
    row("prediction", "reported", reports({"prediction": {"type": "content", "content": "x"}}, "prediction")),
    row("web_search_options", "reported", reports({"web_search_options": {}}, "web_search_options")),
    row("prompt_cache_retention", "reported", reports({"prompt_cache_retention": "24h"}, "prompt_cache_retention")),
    row("prompt_cache_options", "reported", reports({"prompt_cache_options": {"mode": "x"}}, "prompt_cache_options")),
    row("moderation", "reported", reports({"moderation": {"model": "omni"}}, "moderation")),
    row("modalities: audio", "refused", refuses({"modalities": ["text", "audio"]}, "modalities")),
    row("audio", "reported", reports({"audio": {"voice": "alloy"}}, "audio")),
    row("any other", "mapped", same("novel", [{"x": 1}]), "sent under its own name"),
]


@pytest.mark.parametrize("cell", matrix_rows, ids=lambda cell: cell["parameter"])
def test_a_cell_is_true(cell: dict[str, Any]) -> None:
    assert cell["how"] in ("mapped", "emulated", "refused", "reported")
    cell["check"]()


@pytest.mark.parametrize("model", [V1, K2_THINKING, "kimi-k2.5", K3])
def test_neutral_values_are_no_loss(model: str) -> None:
    _, call = send(
        {
            "temperature": 1,
            "top_p": 1,
            "presence_penalty": 0,
            "frequency_penalty": 0.0,
            "logit_bias": {},
            "store": False,
            "modalities": ["text"],
            "seed": None,
            "verbosity": "medium",
            "service_tier": "auto",
            "stop": None,
            "user": "",
            "reasoning_effort": "max" if model == K3 else None,
            "tools": [],
            "tool_choice": "auto",
            "parallel_tool_calls": True,
        },
        model=model,
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
        ({"user": 7}, "user"),
        ({"thinking": True}, "thinking"),
        ({"reasoning_effort": 7}, "reasoning_effort"),
        ({"tools": 7}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": "maybe"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.type"),
        ({"tools": [OTHER], "tool_choice": NAMED}, "tool_choice.function.name"),
        ({"tools": [OTHER], "tool_choice": ALLOWED}, "tool_choice.allowed_tools.tools"),
    ],
)
def test_values_that_make_no_sense_are_refused(body: dict[str, Any], path: str) -> None:
    refuses(body, path)()


def test_a_named_tool_keeps_its_companions_where_the_model_takes_the_name() -> None:
    body = {"tools": [TOOL, OTHER], "tool_choice": NAMED}
    for model in ("kimi-k2.5", "somebody-else"):
        out, _ = send(body, model, strict=True)
        assert (out["tools"], out["tool_choice"]) == ([TOOL, OTHER], NAMED)


def test_thoughts_on_models_without_the_parameter() -> None:
    out, call = send({"thinking": {"type": "enabled"}}, K3, strict=True)
    assert "thinking" not in out
    assert call.dropped == []
    out, call = send({"reasoning_effort": "high"}, K2_THINKING, strict=True)
    assert not {"thinking", "reasoning_effort"} & set(out)
    assert call.dropped == []
