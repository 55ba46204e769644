"""Bodies and headers that go to the upstream."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tollgate_openai import OpenAIProvider, OpenAISettings

from gateway.api import Call, CallerFault, GatewayFault, Target, UpstreamRequest
from gateway.testing import make_call, make_target

MESSAGES = [{"role": "user", "content": "Hello!"}]
SCHEMA: dict[str, Any] = {"type": "object", "properties": {}}
EITHER = {**SCHEMA, "anyOf": [{"required": ["a"]}, {"properties": {"b": {"type": "string"}}}]}


def provider(**settings: Any) -> OpenAIProvider:
    return OpenAIProvider("test", OpenAISettings.model_validate({"api_key": "key-0123456789", **settings}))


def local(**settings: Any) -> OpenAIProvider:
    return provider(base_url="http://127.0.0.1:8000/v1", **settings)


def build(of: OpenAIProvider, upstream: str, body: dict[str, Any], **more: Any) -> tuple[dict[str, Any], Call]:
    call = make_call({"model": "openai/x", "messages": MESSAGES, **body}, **more)
    request = of.prepare(call, make_target(upstream)).request
    return orjson.loads(request.body), call


def parameters_of(given: Any, of: OpenAIProvider, dialect: str) -> Any:
    function = {"name": "f", **({} if given is None else {"parameters": given})}
    tool = {"type": "function", "function": function} if dialect == "chat" else {"type": "function", **function}
    body = {"messages": MESSAGES} if dialect == "chat" else {"input": "Hello!"}
    call = make_call({"model": "openai/x", **body, "tools": [tool]}, dialect=dialect)
    sent = orjson.loads(of.prepare(call, make_target("gpt-4.1")).request.body)["tools"][0]
    assert call.body["tools"][0] == tool  # another target may take it as it is
    return (sent["function"] if dialect == "chat" else sent).get("parameters")


@pytest.mark.parametrize("dialect", ["chat", "responses"])
@pytest.mark.parametrize(("of", "flat"), [(provider(), True), (local(), False)], ids=["openai", "other"])
def test_schemas_of_functions_that_a_server_would_refuse(of: OpenAIProvider, flat: bool, dialect: str) -> None:
    assert parameters_of({"type": "object"}, of, dialect) == SCHEMA
    assert parameters_of({}, of, dialect) == SCHEMA
    # The Responses API has a value for it: null.
    assert parameters_of(None, of, dialect) == (SCHEMA if dialect == "chat" else None)
    made = parameters_of(EITHER, of, dialect)
    assert ("anyOf" not in made, "b" in made["properties"]) == (flat, flat)


@pytest.mark.parametrize("nothing", [{}, {"tools": []}, {"tools": None}])
def test_what_is_said_about_no_tools_is_left_out(nothing: dict[str, Any]) -> None:
    out, call = build(local(), "m", {**nothing, "tool_choice": "auto", "parallel_tool_calls": False})
    assert not out.keys() & {"tools", "tool_choice", "parallel_tool_calls"}
    assert call.dropped == []


def test_what_the_dialects_share_goes_through_untouched() -> None:
    given = {
        "messages": [{"role": "developer", "content": "x", "novel": 1}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": True}}],
        "temperature": 0.25,
        "seed": 7,
        "metadata": {"a": "b"},
        "some_new_parameter": {"deep": [1, 2.5, None, "\u00fc"]},
    }
    body, call = build(provider(), "gpt-4.1-mini", given)
    assert body == {"model": "gpt-4.1-mini", **given}
    assert call.dropped == []


def test_url_and_headers() -> None:
    of = provider(organization="org-1", project="proj-1", headers={"X-Title": "Tollgate"})
    request = of.prepare(make_call(), make_target()).request
    assert request == UpstreamRequest(
        "https://api.openai.com/v1/chat/completions",
        {
            "x-title": "Tollgate",
            "authorization": "Bearer key-0123456789",
            "openai-organization": "org-1",
            "openai-project": "proj-1",
            "content-type": "application/json",
            "accept": "application/json",
        },
        request.body,
    )


def test_no_key_no_authorization() -> None:
    request = local(api_key="").prepare(make_call(), make_target()).request
    assert "authorization" not in request.headers


def test_headers_of_one_request_do_not_leak_into_the_next() -> None:
    of = provider()
    of.prepare(make_call(), make_target()).request.headers["x-tampered"] = "1"
    assert "x-tampered" not in of.prepare(make_call(), make_target()).request.headers


def test_usage_is_always_asked_for_and_other_options_stay() -> None:
    options = {"include_usage": False, "include_obfuscation": False}
    body, call = build(provider(), "gpt-4.1", {"stream": True, "stream_options": options})
    assert body["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert call.body["stream_options"] == options


def test_a_server_without_usage_in_streams() -> None:
    body, _ = build(
        local(quirks={"stream_usage": False}), "m", {"stream": True, "stream_options": {"include_usage": True}}
    )
    assert "stream_options" not in body


def test_a_stream_that_the_gateway_takes_whole() -> None:
    body, _ = build(provider(), "gpt-4.1", {"stream": True, "stream_options": {}}, stream=False)
    assert "stream" not in body
    assert "stream_options" not in body


@pytest.mark.parametrize(
    ("of", "upstream", "given", "max_output", "sent"),
    [
        (provider(), "gpt-4.1", {}, None, {}),
        (provider(), "gpt-4.1", {}, 100, {"max_completion_tokens": 100}),
        (provider(), "gpt-4.1", {"max_tokens": 500}, None, {"max_tokens": 500}),
        (provider(), "gpt-4.1", {"max_tokens": 500}, 100, {"max_tokens": 100}),
        (provider(), "gpt-4.1", {"max_completion_tokens": 500}, 100, {"max_completion_tokens": 100}),
        (provider(), "gpt-4.1", {"max_tokens": 5, "max_completion_tokens": 7}, None, {"max_completion_tokens": 5}),
        (provider(), "o3", {"max_tokens": 500}, None, {"max_completion_tokens": 500}),
        (provider(), "gpt-5-mini", {"max_tokens": 500}, 100, {"max_completion_tokens": 100}),
        (local(), "llama", {"max_completion_tokens": 500}, None, {"max_tokens": 500}),
        (local(), "llama", {}, 100, {"max_tokens": 100}),
        (local(quirks={"limit": "max_completion_tokens"}), "llama", {}, 100, {"max_completion_tokens": 100}),
        (local(), "llama", {"max_tokens": None}, 100, {"max_tokens": 100}),
    ],
)
def test_one_key_for_the_output_limit(
    of: OpenAIProvider, upstream: str, given: dict[str, Any], max_output: int | None, sent: dict[str, Any]
) -> None:
    body, call = build(of, upstream, given, max_output=max_output)
    assert {key: value for key, value in body.items() if key.startswith("max_")} == sent
    assert call.dropped == []


def test_reasoning_models_lose_sampling_parameters_and_it_is_reported() -> None:
    given = {"temperature": 0.2, "top_p": 0.9, "logprobs": True, "top_logprobs": 3, "stop": ["x"], "seed": 1}
    body, call = build(provider(), "gpt-5-mini", given)
    assert {"temperature", "top_p", "logprobs", "top_logprobs", "stop"}.isdisjoint(body)
    assert body["seed"] == 1
    assert sorted(call.dropped) == ["logprobs", "stop", "temperature", "top_logprobs", "top_p"]


def test_values_that_ask_for_nothing_are_not_reported() -> None:
    given = {"temperature": 1, "top_p": 1.0, "presence_penalty": 0, "logprobs": False, "stop": None, "logit_bias": {}}
    body, call = build(provider(), "o3", given, strict=True)
    assert not given.keys() & body.keys()
    assert call.dropped == []


def test_a_strict_call_is_refused_instead() -> None:
    with pytest.raises(CallerFault) as caught:
        build(provider(), "o3", {"temperature": 0.5}, strict=True)
    assert (caught.value.status, caught.value.param) == (400, "temperature")
    assert caught.value.message.startswith("temperature: ")
    with pytest.raises(CallerFault) as caught:
        build(provider(), "gpt-5", {"reasoning_effort": "none"}, strict=True)
    assert caught.value.param == "reasoning_effort"


def test_sampling_stays_while_reasoning_is_off() -> None:
    for extra in ({}, {"reasoning_effort": "none"}):
        body, call = build(provider(), "gpt-5.1", {"temperature": 0.2, **extra})
        assert body["temperature"] == 0.2
        assert call.dropped == []
    body, call = build(provider(), "gpt-5.1", {"temperature": 0.2, "reasoning_effort": "low"})
    assert "temperature" not in body
    assert call.dropped == ["temperature"]


def test_efforts() -> None:
    body, call = build(provider(), "gpt-5", {"reasoning_effort": "none"})
    assert (body["reasoning_effort"], call.dropped) == ("minimal", ["reasoning_effort"])
    body, call = build(provider(), "gpt-4o", {"reasoning_effort": "low"})
    assert ("reasoning_effort" in body, call.dropped) == (False, ["reasoning_effort"])
    body, call = build(provider(), "gpt-4o", {"reasoning_effort": "none"}, strict=True)
    assert ("reasoning_effort" in body, call.dropped) == (False, [])
    body, call = build(local(), "qwen", {"reasoning_effort": "low"})
    assert (body["reasoning_effort"], call.dropped) == ("low", [])


def test_roles_that_a_server_does_not_know() -> None:
    messages = [{"role": "developer", "content": "a", "name": "n"}, {"role": "user", "content": "b"}]
    body, call = build(local(), "llama", {"messages": messages})
    assert body["messages"] == [{"role": "system", "content": "a", "name": "n"}, messages[1]]
    assert call.body["messages"] == messages
    body, _ = build(provider(), "o1-mini", {"messages": [{"role": "system", "content": "a"}]})
    assert body["messages"][0]["role"] == "user"


def test_a_model_overrides_its_instance() -> None:
    target = make_target("m", options={"quirks": {"limit": "max_completion_tokens", "unsupported": ["seed"]}})
    call = make_call({"messages": MESSAGES, "seed": 1}, max_output=9)
    body = orjson.loads(local(quirks={"limit": "max_tokens"}).prepare(call, target).request.body)
    assert body == {"model": "m", "messages": MESSAGES, "max_completion_tokens": 9}
    assert call.dropped == ["seed"]


def test_wrong_overrides_of_a_model_are_the_operators_fault() -> None:
    target = make_target("m", options={"quirks": {"limit": "tokens"}})
    with pytest.raises(GatewayFault) as caught:
        local().prepare(make_call(), target)
    assert "options.quirks" in caught.value.detail


def test_a_body_that_is_no_json_is_the_callers_fault() -> None:
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    for odd in (deep, "\ud800", 10**30):
        with pytest.raises(CallerFault, match="cannot be sent on as JSON"):
            build(provider(), "gpt-4.1", {"metadata": odd})


def test_bounds_of_pictures_follow_the_model() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    body = {"messages": [{"role": "user", "content": [picture]}]}
    of = provider()

    def bound(upstream: str, of: OpenAIProvider = of) -> int:
        return of.bound_input_tokens(body, Target("x", "test", upstream))

    assert 1445 <= bound("gpt-4o") < 2500
    assert 48_169 <= bound("gpt-4o-mini") < 50_000
    assert 3779 <= bound("gpt-4.1-nano") < 5000
    assert bound("llava", local()) >= 16_384
    assert bound("llava", local(quirks={"image_tokens": 600})) < 1500
    low = {"messages": [{"role": "user", "content": [{**picture, "image_url": {"url": "x", "detail": "low"}}]}]}
    assert of.bound_input_tokens(low, Target("x", "test", "gpt-4o")) < bound("gpt-4o")


def test_bounds_end_at_the_context() -> None:
    body = {"messages": [{"role": "user", "content": "x" * 10_000}]}
    assert provider().bound_input_tokens(body, Target("x", "test", "gpt-4o", context=4096)) == 4096
