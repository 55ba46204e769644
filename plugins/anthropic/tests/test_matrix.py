"""The compatibility matrix of this provider: what becomes of every chat parameter, each cell with its proof.

`matrix_rows` is read by the generator of the documentation. A row: `parameter` (a name, or a value of one),
`provider`, `how` (mapped: said in Anthropic's words; emulated: brought about by other means; refused: a 400 that
names it; reported: left out and listed in `x-gateway-dropped-params`), `note`, and `check`, which fails when the
row stops being true. Under strict mode every `reported` becomes a 400; that is checked for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from tollgate_anthropic import Settings, create

from gateway.api import Call, CallerFault
from gateway.testing import make_call, make_target

USER = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
CLOSED = {"type": "object", "properties": {}, "additionalProperties": False}
ANSWER = {"type": "json_schema", "json_schema": {"name": "x", "schema": CLOSED}}
OLD, NEW = "claude-sonnet-4-0", "claude-opus-4-7"


def send(body: dict[str, Any], model: str = "claude-sonnet-4-5", **more: Any) -> tuple[dict[str, Any], Call]:
    call = make_call({"model": "test/model", "messages": USER, **body}, **more)
    request = create("test", Settings(api_key="k")).prepare(call, make_target(model)).request
    return orjson.loads(request.body), call


def gives(body: dict[str, Any], expected: dict[str, Any], model: str = "claude-sonnet-4-5") -> Callable[[], None]:
    """The upstream body has these members, and nothing was reported."""

    def check() -> None:
        out, call = send(body, model)
        assert {key: out.get(key) for key in expected} == expected
        assert call.dropped == []

    return check


def reports(body: dict[str, Any], *names: str, model: str = "claude-sonnet-4-5") -> Callable[[], None]:
    """The parameters are listed and not sent; strict mode refuses the first of them by name."""

    def check() -> None:
        out, call = send(body, model)
        assert call.dropped == list(names)
        assert not set(names) & set(out)
        with pytest.raises(CallerFault) as caught:
            send(body, model, strict=True)
        assert caught.value.param == names[0]

    return check


def refuses(body: dict[str, Any], path: str) -> Callable[[], None]:
    def check() -> None:
        with pytest.raises(CallerFault) as caught:
            send(body)
        assert caught.value.param == path
        assert caught.value.status == 400

    return check


def clamps_temperature() -> None:
    out, call = send({"temperature": 1.5})
    assert out["temperature"] == 1
    assert call.dropped == ["temperature"]


def counts_choices() -> None:
    out, _ = send({"n": 3})
    assert "n" not in out
    assert create("test", Settings()).profile(make_target()).max_choices == 1


def takes_the_gateways_limit() -> None:
    assert send({"max_tokens": 9})[0]["max_tokens"] == 9
    assert send({"max_completion_tokens": 9, "max_tokens": 5})[0]["max_tokens"] == 9
    assert send({"max_tokens": 9}, max_output=7)[0]["max_tokens"] == 7
    assert send({})[0]["max_tokens"] == 64_000
    assert send({"max_tokens": 10**6})[0]["max_tokens"] == 64_000
    assert send({}, model="somebody-else")[0]["max_tokens"] == 4096


def drops_blank_stops() -> None:
    out, call = send({"stop": ["END", "\n\n"]})
    assert out["stop_sequences"] == ["END"]
    assert call.dropped == ["stop"]


def hides_addresses() -> None:
    sent = send({"user": "ann@example.com"})[0]["metadata"]["user_id"]
    assert sent.startswith("sha256-")
    assert "ann" not in sent
    assert send({"user": "ann@example.com"})[0]["metadata"]["user_id"] == sent
    assert send({"user": "+49 228 123456"})[0]["metadata"]["user_id"].startswith("sha256-")


def keeps_user_id_of_metadata() -> None:
    out, call = send({"metadata": {"user_id": "u1", "team": "a"}})
    assert out["metadata"] == {"user_id": "u1"}
    assert call.dropped == ["metadata"]


def forces_a_schema() -> None:
    out, _ = send({"response_format": ANSWER}, OLD)
    assert out["tool_choice"]["name"] == out["tools"][0]["name"]


def instructs_for_json() -> None:
    assert "JSON" in send({"response_format": {"type": "json_object"}})[0]["system"][0]["text"]


def always_streams_usage() -> None:
    out, call = send({"stream": True, "stream_options": {"include_usage": False}})
    assert out["stream"] is True
    assert "stream_options" not in out
    assert call.dropped == []


def keeps_to_the_rule_of_names() -> None:
    rule = re.compile(create("test", Settings()).profile(make_target("claude-sonnet-4-5")).tool_names)
    assert rule.fullmatch("get_weather")
    assert not any(rule.fullmatch(name) for name in ("a.b", "a:b", "x" * 129))


OLDER = "told as tools, and answered in the older form"


def knows_tools_only() -> None:
    """So the gateway says it in tools (tests/wire/chat/test_functions.py)."""
    profile = create("test", Settings(api_key="sk-test")).profile(make_target("some-model"))
    assert "functions" not in profile.understands


def row(parameter: str, how: str, check: Callable[[], None], note: str = "") -> dict[str, Any]:
    return {"parameter": parameter, "provider": "anthropic", "how": how, "note": note, "check": check}


matrix_rows: list[dict[str, Any]] = [
    row("messages", "mapped", gives({}, {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]})),
    row(
        "messages: input_audio",
        "refused",
        refuses(
            {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
            "messages[0].content[0]",
        ),
    ),
    row("messages: name", "reported", reports({"messages": [{**USER[0], "name": "Ann"}]}, "messages[].name")),
    row("model", "mapped", gives({"model": "anthropic/claude"}, {"model": "claude-sonnet-4-5"})),
    row("stream", "mapped", gives({"stream": True}, {"stream": True})),
    row("stream_options", "emulated", always_streams_usage, "Anthropic always reports usage"),
    row("max_tokens", "mapped", takes_the_gateways_limit),
    row("max_completion_tokens", "mapped", takes_the_gateways_limit),
    row("temperature", "mapped", gives({"temperature": 0.3}, {"temperature": 0.3})),
    row("temperature > 1", "reported", clamps_temperature, "1 is sent"),
    row("temperature (Claude 4.7 and later)", "reported", reports({"temperature": 0.3}, "temperature", model=NEW)),
    row("top_p", "mapped", gives({"top_p": 0.3}, {"top_p": 0.3})),
    row("top_p with temperature (Claude 4.5, 4.6)", "reported", reports({"temperature": 0, "top_p": 0.3}, "top_p")),
    row("top_p with temperature (before)", "mapped", gives({"temperature": 0, "top_p": 0.3}, {"top_p": 0.3}, OLD)),
    row("top_p (Claude 4.7 and later)", "reported", reports({"top_p": 0.3}, "top_p", model=NEW)),
    row("top_k", "mapped", gives({"top_k": 5}, {"top_k": 5}), "Anthropic's own"),
    row("stop", "mapped", gives({"stop": "END"}, {"stop_sequences": ["END"]})),
    row("stop: white space alone", "reported", drops_blank_stops),
    row("n", "emulated", counts_choices, "several calls"),
    row(
        "tools",
        "mapped",
        gives({"tools": [TOOL]}, {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]}),
    ),
    row("tools: names outside the rule", "emulated", keeps_to_the_rule_of_names, "renamed, and back in the answer"),
    row("tools: custom", "refused", refuses({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type")),
    row("tool_choice", "mapped", gives({"tools": [TOOL], "tool_choice": "required"}, {"tool_choice": {"type": "any"}})),
    row(
        "tool_choice: allowed_tools",
        "emulated",
        gives(
            {
                "tools": [TOOL, {"type": "function", "function": {"name": "g"}}],
                "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"name": "g"}]}},
            },
            {
                "tool_choice": {"type": "auto"},
                "tools": [{"name": "g", "input_schema": {"type": "object", "properties": {}}}],
            },
        ),
        "the other tools are left out",
    ),
    row(
        "parallel_tool_calls",
        "mapped",
        gives(
            {"tools": [TOOL], "parallel_tool_calls": False},
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
    ),
    row("functions", "emulated", knows_tools_only, OLDER),
    row("function_call", "emulated", knows_tools_only, OLDER),
    row(
        "response_format: json_schema",
        "mapped",
        gives({"response_format": ANSWER}, {"output_config": {"format": {"type": "json_schema", "schema": CLOSED}}}),
    ),
    row("response_format: json_schema (before Claude 4.5)", "emulated", forces_a_schema, "a forced tool"),
    row("response_format: json_object", "emulated", instructs_for_json, "an instruction"),
    row(
        "reasoning_effort",
        "mapped",
        gives({"reasoning_effort": "low"}, {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        "a budget, or adaptive thinking with an effort, by model",
    ),
    row(
        "reasoning_effort (models without thinking)",
        "reported",
        reports({"reasoning_effort": "low"}, "reasoning_effort", model="claude-3-5-haiku-20241022"),
    ),
    row(
        "thinking",
        "mapped",
        gives({"thinking": {"type": "disabled"}}, {"thinking": {"type": "disabled"}}),
        "Anthropic's own",
    ),
    row(
        "web_search_options",
        "mapped",
        gives(
            {"web_search_options": {}},
            {"tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 5}]},
        ),
        "search_context_size sets the number of searches",
    ),
    row("user", "mapped", gives({"user": "u-1"}, {"metadata": {"user_id": "u-1"}})),
    row("user: addresses", "mapped", hides_addresses, "as a digest: Anthropic refuses addresses"),
    row("safety_identifier", "mapped", gives({"safety_identifier": "s", "user": "u"}, {"metadata": {"user_id": "s"}})),
    row("metadata", "reported", keeps_user_id_of_metadata, "only user_id is carried"),
    row("service_tier", "mapped", gives({"service_tier": "default"}, {"service_tier": "standard_only"})),
    row("service_tier: flex", "reported", reports({"service_tier": "flex"}, "service_tier")),
    row("seed", "reported", reports({"seed": 1}, "seed")),
    row("logprobs", "reported", reports({"logprobs": True}, "logprobs")),
    row("top_logprobs", "reported", reports({"top_logprobs": 2}, "top_logprobs")),
    row("logit_bias", "reported", reports({"logit_bias": {"1": 5}}, "logit_bias")),
    row("frequency_penalty", "reported", reports({"frequency_penalty": 0.5}, "frequency_penalty")),
    row("presence_penalty", "reported", reports({"presence_penalty": 0.5}, "presence_penalty")),
    row("prediction", "reported", reports({"prediction": {"type": "content", "content": "x"}}, "prediction")),
    row("store", "reported", reports({"store": True}, "store")),
    row("verbosity", "reported", reports({"verbosity": "low"}, "verbosity")),
    row("prompt_cache_key", "reported", reports({"prompt_cache_key": "k"}, "prompt_cache_key")),
    row("prompt_cache_retention", "reported", reports({"prompt_cache_retention": "24h"}, "prompt_cache_retention")),
    row("prompt_cache_options", "reported", reports({"prompt_cache_options": {"mode": "x"}}, "prompt_cache_options")),
    row("moderation", "reported", reports({"moderation": {"model": "omni"}}, "moderation")),
    row("modalities: audio", "refused", refuses({"modalities": ["text", "audio"]}, "modalities")),
    row("audio", "reported", reports({"audio": {"voice": "alloy"}}, "audio")),
    row("speed", "refused", refuses({"speed": "fast"}, "speed"), "changes the price"),
    row("inference_geo", "refused", refuses({"inference_geo": "us"}, "inference_geo"), "changes the price"),
    row("any other", "mapped", gives({"brand_new": "us"}, {"brand_new": "us"}), "sent under its own name"),
]


@pytest.mark.parametrize("cell", matrix_rows, ids=lambda cell: cell["parameter"])
def test_a_cell_is_true(cell: dict[str, Any]) -> None:
    assert cell["how"] in ("mapped", "emulated", "refused", "reported")
    cell["check"]()


def test_neutral_values_are_no_loss() -> None:
    _, call = send(
        {
            "temperature": 1,
            "top_p": 1,
            "logprobs": False,
            "logit_bias": {},
            "frequency_penalty": 0,
            "presence_penalty": 0.0,
            "store": False,
            "modalities": ["text"],
            "seed": None,
            "verbosity": "medium",
            "stop": None,
            "metadata": {},
        },
        model=NEW,
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
        ({"stop": [7]}, "stop"),
        ({"user": 7}, "user"),
        ({"metadata": "x"}, "metadata"),
        ({"betas": "x"}, "betas"),
        ({"betas": ["a b"]}, "betas"),
    ],
)
def test_values_that_make_no_sense_are_refused(body: dict[str, Any], path: str) -> None:
    with pytest.raises(CallerFault) as caught:
        send(body)
    assert caught.value.param == path


def test_parameters_that_need_a_beta_bring_it_along() -> None:
    call = make_call({"messages": USER, "mcp_servers": [{"type": "url", "name": "a", "url": "https://example.com"}]})
    request = create("test", Settings()).prepare(call, make_target("claude-sonnet-4-5")).request
    assert request.headers["anthropic-beta"].startswith("mcp-client-")
