"""The compatibility matrix of OpenAI itself, and of a server that copied its dialect (`openai-compatible`).

`matrix_rows` is read by the generator of the documentation. A row: `parameter` (a name, or a value of one),
`provider`, `how` (passed: sent on untouched; mapped: said in other words; reported: left out, or replaced by the
nearest value, and listed in `x-gateway-dropped-params`), `note`, and `check`, which fails when the row stops being
true. Under strict mode every `reported` becomes a 400; that is checked for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from tollgate_openai import OpenAIProvider, OpenAISettings

from gateway.api import Call, CallerFault, Upload, UpstreamRequest, form_of_body, has_uploads, read_form
from gateway.testing import make_call, make_target

USER = [{"role": "user", "content": "Hi"}]
TOOL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {}}, "strict": True},
}
NAMED = {"type": "function", "function": {"name": "f"}}
ANSWER = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True}}
ASSISTANT = {"role": "assistant", "content": "a"}
PLAIN, REASONS, ON_REQUEST = "gpt-4.1", "o3", "gpt-5.1"
OPENAI, OTHER = "openai", "openai-compatible"
URLS = {OPENAI: "https://api.openai.com/v1", OTHER: "http://127.0.0.1:8000/v1"}

Body = dict[str, Any]
Check = Callable[[], None]


def send(body: Body, model: str = PLAIN, to: str = OPENAI, **more: Any) -> tuple[Body, Call]:
    call = make_call({"model": "test/model", "messages": USER, **body}, **more)
    settings = OpenAISettings.model_validate({"api_key": "key-0123456789", "base_url": URLS[to]})
    return orjson.loads(OpenAIProvider("test", settings).prepare(call, make_target(model)).request.body), call


def passes(body: Body, *models: str, to: str = OPENAI) -> Check:
    """The body is sent as it is, but for the model's name; strict mode has nothing against it."""

    def check() -> None:
        for model in models or (PLAIN,):
            out, call = send(body, model, to, strict=True)
            assert out == {"messages": USER, **body, "model": model}
            assert call.dropped == []

    return check


def gives(body: Body, expected: Body, model: str = PLAIN, to: str = OPENAI, absent: tuple[str, ...] = ()) -> Check:
    """The upstream body has these members, and lacks the absent ones; strict mode has nothing against it."""

    def check() -> None:
        out, call = send(body, model, to, strict=True)
        assert {key: out.get(key) for key in expected} == expected
        assert not set(absent) & set(out)
        assert call.dropped == []

    return check


def reports(body: Body, name: str, *models: str, sent: Any = None) -> Check:
    """The parameter is listed, and left out (or sent as `sent`); strict mode refuses it by name."""

    def check() -> None:
        for model in models:
            out, call = send(body, model)
            assert call.dropped == [name]
            assert (out.get(name), name in out) == (sent, sent is not None)
            with pytest.raises(CallerFault) as caught:
                send(body, model, strict=True)
            assert (caught.value.status, caught.value.param) == (400, name)

    return check


def strips(message: Body, kept: Body, name: str, path: str, to: str = OPENAI) -> Check:
    """A member of a message is left out and listed; strict mode refuses it by its path."""

    def check() -> None:
        out, call = send({"messages": [message]}, to=to)
        assert out["messages"] == [kept]
        assert call.dropped == [name]
        with pytest.raises(CallerFault) as caught:
            send({"messages": [message]}, to=to, strict=True)
        assert (caught.value.status, caught.value.param) == (400, path)

    return check


def takes_the_gateways_limit(model: str, key: str, to: str = OPENAI) -> Check:
    """One key for the limit, whichever the caller used; the gateway's own limit counts."""

    def check() -> None:
        for given in ("max_tokens", "max_completion_tokens"):
            for more, limit in (({}, 9), ({"max_output": 7}, 7)):
                out, call = send({given: 9}, model, to, **more)
                assert {name: out[name] for name in out if name.startswith("max_")} == {key: limit}
                assert call.dropped == []

    return check


def asks_for_usage(to: str) -> Check:
    body = {"stream": True, "stream_options": {"include_usage": False, "include_obfuscation": False}}
    return gives(body, {"stream_options": {"include_usage": True, "include_obfuscation": False}}, to=to)


def row(parameter: str, how: str, check: Check, note: str = "", provider: str = OPENAI) -> dict[str, Any]:
    return {"parameter": parameter, "provider": provider, "how": how, "note": note, "check": check}


def other(parameter: str, how: str, check: Check, note: str = "") -> dict[str, Any]:
    return row(parameter, how, check, note, OTHER)


def says(*parts: Body) -> Body:
    return {"messages": [{"role": "user", "content": list(parts)}]}


# What passes everywhere: at other servers, and at OpenAI on models that reason as on those that do not.
SAME: dict[str, Body] = {
    "messages": {"messages": [{"role": "system", "content": "A"}, *USER, ASSISTANT, *USER]},
    "messages: image_url": says({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}),
    "messages: input_audio": says({"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}}),
    "messages: file": says({"type": "file", "file": {"file_id": "file-1"}}),
    "messages: name": {"messages": [{**USER[0], "name": "Ann"}]},
    "n": {"n": 3},
    "seed": {"seed": 7},
    "tools": {"tools": [TOOL]},
    "tools: custom": {"tools": [{"type": "custom", "custom": {"name": "c"}}]},
    "tool_choice": {"tools": [TOOL], "tool_choice": NAMED},
    "tool_choice: allowed_tools": {
        "tools": [TOOL],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}},
    },
    "parallel_tool_calls": {"tools": [TOOL], "parallel_tool_calls": False},
    "response_format: json_object": {"response_format": {"type": "json_object"}},
    "response_format: json_schema": {"response_format": ANSWER},
    "verbosity": {"verbosity": "low"},
    "user": {"user": "ann@example.com"},
    "safety_identifier": {"safety_identifier": "s"},
    "metadata": {"metadata": {"team": "a"}},
    "service_tier": {"service_tier": "flex"},
    "store": {"store": True},
    "prediction": {"prediction": {"type": "content", "content": "x"}},
    "web_search_options": {"web_search_options": {"search_context_size": "low"}},
    "prompt_cache_key": {"prompt_cache_key": "k"},
    "prompt_cache_retention": {"prompt_cache_retention": "24h"},
    "prompt_cache_options": {"prompt_cache_options": {"mode": "explicit"}},
    "moderation": {"moderation": {"model": "omni-moderation-latest"}},
    "modalities": {"modalities": ["text", "audio"]},
    "audio": {"audio": {"voice": "alloy", "format": "wav"}},
    "any other": {"novel": {"deep": [1, None]}},
}
# The older form of tools, which OpenAI still takes and servers that copied its dialect do not.
OLDER: dict[str, Body] = {
    "functions": {"functions": [{"name": "f"}]},
    "function_call": {"functions": [{"name": "f"}], "function_call": "auto"},
}
# What OpenAI's models refuse while they reason.
SAMPLING: dict[str, Any] = {
    "temperature": 0.3,
    "top_p": 0.3,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "logit_bias": {"1": 5},
    "logprobs": True,
    "top_logprobs": 2,
}


def keeps_to_the_rule_of_names(to: str) -> Check:
    """The gateway is told which names it has to change."""

    def check() -> None:
        settings = OpenAISettings.model_validate({"api_key": "key-0123456789", "base_url": URLS[to]})
        rule = re.compile(OpenAIProvider("test", settings).profile(make_target(PLAIN)).tool_names)
        assert rule.fullmatch("get_weather")
        assert not any(rule.fullmatch(name) for name in ("a.b", "a:b", "x" * 65))

    return check


def knows_tools_only() -> None:
    """So the gateway says it in tools (tests/wire/chat/test_functions.py)."""
    settings = OpenAISettings.model_validate({"api_key": "key-0123456789", "base_url": URLS[OTHER]})
    assert "functions" not in OpenAIProvider("test", settings).profile(make_target(PLAIN)).understands


RENAMED = "renamed, and back in the answer"
DETAILS = [{"type": "anthropic.thinking", "text": "b", "signature": "s"}]
OPENROUTERS = {"type": "reasoning.text", "text": "b", "signature": "s"}
THOUGHT = {**ASSISTANT, "reasoning_content": "b"}
MARKED = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
SAID = {"role": "user", "content": [{"type": "text", "text": "x"}]}
DEVELOPER = {"messages": [{"role": "developer", "content": "A"}]}
SYSTEM = {"messages": [{"role": "system", "content": "A"}]}

FILE = Upload(b"RIFF", "a.wav", "audio/wav")
RETIRED = "images/variations"
"""No model of OpenAI's own does it any more."""
OTHER_ROUTES: dict[str, tuple[str, Body]] = {
    "images/generations": ("images", {"prompt": "x", "n": 2, "size": "1024x1024", "quality": "high", "new": 1}),
    "images/variations": ("image_variations", {"image": FILE}),
    "images/edits": ("image_edits", {"prompt": "x", "image": [FILE], "mask": FILE}),
    "audio/speech": ("speech", {"input": "x", "voice": "alloy", "speed": 2}),
    "audio/transcriptions": ("transcriptions", {"file": FILE, "language": "en"}),
    "audio/translations": ("translations", {"file": FILE, "prompt": "x"}),
    "moderations": ("moderations", {"input": ["x"]}),
}


def call_elsewhere(operation: str, body: Body, to: str, model: str = "m") -> tuple[UpstreamRequest, Call]:
    call = make_call({"model": "test/model", **body}, strict=True)
    call.operation = operation
    settings = OpenAISettings.model_validate({"api_key": "key-0123456789", "base_url": URLS[to]})
    return OpenAIProvider("test", settings).prepare(call, make_target(model)).request, call


def passes_elsewhere(route: str, to: str) -> Check:
    """The body goes to the same route as it is, in JSON, or as a form where there are files in it."""

    def check() -> None:
        operation, body = OTHER_ROUTES[route]
        request, call = call_elsewhere(operation, body, to)
        assert request.url == f"{URLS[to]}/{route}"
        assert call.dropped == []
        if has_uploads(body):
            fields = read_form(request.headers["content-type"], request.body)
            assert sorted(name for name, _ in fields) == sorted(
                name for name, _ in form_of_body({**body, "model": "m"})
            )
        else:
            assert orjson.loads(request.body) == {**body, "model": "m"}

    return check


def asks_for_json_instead(to: str) -> Check:
    def check() -> None:
        request, _ = call_elsewhere("transcriptions", {"file": FILE, "response_format": "text"}, to)
        assert ("response_format", "json") in read_form(request.headers["content-type"], request.body)

    return check


def refuses_svg() -> None:
    for more, path in (({"output_format": "svg"}, "output_format"), ({"svg": {"model": "x"}}, "svg")):
        with pytest.raises(CallerFault) as caught:
            call_elsewhere("images", {"prompt": "x", **more}, OPENAI)
        assert caught.value.param == path
        assert call_elsewhere("images", {"prompt": "x", **more}, OTHER)


def gives_images_in_base64() -> None:
    body = {"prompt": "x", "response_format": "b64_json"}
    request, _ = call_elsewhere("images", body, OPENAI, "gpt-image-2")
    assert orjson.loads(request.body) == {"prompt": "x", "model": "gpt-image-2"}
    with pytest.raises(CallerFault) as caught:
        call_elsewhere("images", {**body, "response_format": "url"}, OPENAI, "gpt-image-2")
    assert caught.value.param == "response_format"


matrix_rows: list[dict[str, Any]] = [
    *(row(route, "passed", passes_elsewhere(route, OPENAI)) for route in OTHER_ROUTES if route != RETIRED),
    *(other(route, "passed", passes_elsewhere(route, OTHER)) for route in OTHER_ROUTES),
    row("audio/transcriptions: text", "emulated", asks_for_json_instead(OPENAI), "asked for as json, for its usage"),
    other("audio/transcriptions: text", "emulated", asks_for_json_instead(OTHER), "asked for as json, for its usage"),
    row("images/generations: svg", "refused", refuses_svg, "another model writes it"),
    row("images/generations: response_format", "reported", gives_images_in_base64, "b64_json, but for old models"),
    *(row(name, "passed", passes(body, PLAIN, REASONS, ON_REQUEST)) for name, body in SAME.items()),
    *(row(name, "passed", passes(body, PLAIN, REASONS, ON_REQUEST)) for name, body in OLDER.items()),
    *(row(name, "passed", passes({name: value}, PLAIN, ON_REQUEST)) for name, value in SAMPLING.items()),
    *(
        row(f"{name} (while a model reasons)", "reported", reports({name: value}, name, REASONS, "gpt-5"))
        for name, value in SAMPLING.items()
    ),
    row("messages: system, developer", "passed", passes(DEVELOPER, PLAIN, REASONS)),
    row(
        "messages: system, developer (o1-mini, o1-preview)",
        "mapped",
        gives(DEVELOPER, {"messages": [{"role": "user", "content": "A"}]}, "o1-mini"),
        "as the user's",
    ),
    row(
        "messages: reasoning_content",
        "reported",
        strips(THOUGHT, ASSISTANT, "reasoning_content", "messages[0].reasoning_content"),
        "thoughts of another provider's model",
    ),
    row(
        "messages: reasoning_details",
        "reported",
        strips(
            {**THOUGHT, "reasoning_details": DETAILS}, ASSISTANT, "reasoning_details", "messages[0].reasoning_details"
        ),
        "thoughts of another provider's model",
    ),
    row(
        "messages: cache_control",
        "reported",
        strips({"role": "user", "content": [MARKED]}, SAID, "cache_control", "messages[0].content[0].cache_control"),
        "OpenAI caches by itself",
    ),
    row("model", "mapped", gives({"model": "openai/x"}, {"model": PLAIN})),
    row("stream", "passed", gives({"stream": True}, {"stream": True})),
    row("stream_options", "mapped", asks_for_usage(OPENAI), "usage is always asked for"),
    row("max_tokens", "passed", passes({"max_tokens": 9})),
    row(
        "max_tokens (models that can reason)",
        "mapped",
        takes_the_gateways_limit(REASONS, "max_completion_tokens"),
        "as max_completion_tokens",
    ),
    row("max_completion_tokens", "passed", passes({"max_completion_tokens": 9}, PLAIN, REASONS, ON_REQUEST)),
    row("stop", "passed", passes({"stop": ["END"]}, PLAIN, "o1")),
    row("stop (o3 and later)", "reported", reports({"stop": ["END"]}, "stop", REASONS, "gpt-5", ON_REQUEST)),
    row("reasoning_effort", "passed", passes({"reasoning_effort": "low"}, REASONS, "gpt-5", ON_REQUEST)),
    row(
        "reasoning_effort (models that do not reason)",
        "reported",
        reports({"reasoning_effort": "low"}, "reasoning_effort", PLAIN),
    ),
    row(
        "reasoning_effort: others",
        "reported",
        reports({"reasoning_effort": "xhigh"}, "reasoning_effort", REASONS, "gpt-5", sent="high"),
        "where a model has fewer, the nearest one is sent",
    ),
    row("tools: names outside the rule", "emulated", keeps_to_the_rule_of_names(OPENAI), RENAMED),
    other("tools: names outside the rule", "emulated", keeps_to_the_rule_of_names(OTHER), RENAMED),
    *(other(name, "passed", passes(body, to=OTHER)) for name, body in SAME.items()),
    *(other(name, "emulated", knows_tools_only, "told as tools, and answered in the older form") for name in OLDER),
    *(other(name, "passed", passes({name: value}, to=OTHER)) for name, value in SAMPLING.items()),
    other("messages: system, developer", "mapped", gives(DEVELOPER, SYSTEM, to=OTHER), "developer as system"),
    other("messages: reasoning_content", "passed", passes({"messages": [THOUGHT]}, to=OTHER)),
    other(
        "messages: reasoning_details",
        "passed",
        passes({"messages": [{**ASSISTANT, "reasoning_details": [OPENROUTERS]}]}, to=OTHER),
    ),
    other(
        "messages: reasoning_details (of other providers)",
        "reported",
        strips(
            {**ASSISTANT, "reasoning_details": DETAILS},
            THOUGHT,
            "reasoning_details",
            "messages[0].reasoning_details",
            OTHER,
        ),
        "their text as reasoning_content",
    ),
    other("messages: cache_control", "passed", passes(says(MARKED), to=OTHER)),
    other("model", "mapped", gives({"model": "local/x"}, {"model": PLAIN}, to=OTHER)),
    other("stream", "passed", gives({"stream": True}, {"stream": True}, to=OTHER)),
    other("stream_options", "mapped", asks_for_usage(OTHER), "usage is always asked for"),
    other("max_tokens", "passed", passes({"max_tokens": 9}, to=OTHER)),
    other("max_completion_tokens", "mapped", takes_the_gateways_limit("m", "max_tokens", OTHER), "as max_tokens"),
    other("stop", "passed", passes({"stop": ["END"]}, to=OTHER)),
    other("reasoning_effort", "passed", passes({"reasoning_effort": "low"}, to=OTHER)),
]


@pytest.mark.parametrize("cell", matrix_rows, ids=lambda cell: f"{cell['provider']}-{cell['parameter']}")
def test_a_cell_is_true(cell: dict[str, Any]) -> None:
    assert cell["how"] in ("passed", "mapped", "emulated", "refused", "reported")
    cell["check"]()


def test_no_cell_is_told_twice() -> None:
    cells = [(cell["provider"], cell["parameter"]) for cell in matrix_rows]
    assert len(set(cells)) == len(cells)


@pytest.mark.parametrize("provider", [OPENAI, OTHER])
def test_every_parameter_of_openais_has_a_row(provider: str) -> None:
    """The members of CreateChatCompletionRequest in OpenAI's document, version 2.3.0."""
    known = (
        "audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens messages"
        " metadata modalities model moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key"
        " prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed"
        " service_tier stop store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity"
        " web_search_options"
    ).split()
    mine = [entry["parameter"] for entry in matrix_rows if entry["provider"] == provider]
    assert set(known) <= {name.split(":")[0].split(" ")[0] for name in mine}


def test_a_model_that_reasons_on_request_refuses_sampling_then() -> None:
    for name, value in SAMPLING.items():
        out, call = send({name: value, "reasoning_effort": "low"}, ON_REQUEST)
        assert name not in out
        assert call.dropped == [name]
