"""The compatibility matrix of this provider: what becomes of every chat parameter, each cell with its proof.

`matrix_rows` is read by the generator of the documentation. A row: `parameter` (a name, or a value of one),
`provider`, `how` (mapped: said in Google's words; emulated: brought about by other means; refused: a 400 that
names it; reported: left out and listed in `x-gateway-dropped-params`), `note`, and `check`, which fails when the
row stops being true. Under strict mode every `reported` becomes a 400; that is checked for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from tollgate_google import Settings, create

from gateway.api import Call, CallerFault, Upload
from gateway.testing import make_call, make_target

USER = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "f"}}
FUNCTIONS = [{"functionDeclarations": [{"name": "f"}]}]
ANSWER = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
G20, G25, G3, NEW = "gemini-2.0-flash", "gemini-2.5-flash", "gemini-3-flash-preview", "gemini-3.8-flash"


def send(body: dict[str, Any], model: str = G25, **more: Any) -> tuple[dict[str, Any], Call]:
    call = make_call({"model": "test/model", "messages": USER, **body}, **more)
    request = create("test", Settings(api_key="k")).prepare(call, make_target(model)).request
    return orjson.loads(request.body), call


def gives(body: dict[str, Any], expected: dict[str, Any], model: str = G25) -> Callable[[], None]:
    """The upstream body has these members, and nothing was reported."""

    def check() -> None:
        out, call = send(body, model)
        assert {key: out.get(key) for key in expected} == expected
        assert call.dropped == []

    return check


def configures(body: dict[str, Any], expected: dict[str, Any], model: str = G25) -> Callable[[], None]:
    """The upstream body has exactly this `generationConfig`, and nothing was reported."""
    return gives(body, {"generationConfig": expected}, model)


def reports(body: dict[str, Any], *names: str, model: str = G25) -> Callable[[], None]:
    """The parameters are listed and not sent; strict mode refuses the first of them by name."""

    def check() -> None:
        out, call = send(body, model)
        assert call.dropped == list(names)
        assert not set(names) & (set(out) | set(out.get("generationConfig", {})))
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


def takes_the_gateways_limit() -> None:
    for body, limit, sent in (
        ({"max_tokens": 9}, None, 9),
        ({"max_completion_tokens": 9, "max_tokens": 5}, None, 9),
        ({"max_tokens": 9}, 7, 7),
        ({"generationConfig": {"maxOutputTokens": 99}}, 7, 7),
        ({"google": {"max_output_tokens": 99}}, 7, 7),
        ({}, 7, 7),
    ):
        assert send(body, max_output=limit)[0]["generationConfig"] == {"maxOutputTokens": sent}
    assert "generationConfig" not in send({})[0]


def streams_by_its_address() -> None:
    call = make_call({"messages": USER, "stream": True, "stream_options": {"include_usage": False}})
    request = create("test", Settings(api_key="k")).prepare(call, make_target(G25)).request
    assert request.url.endswith(":streamGenerateContent?alt=sse")
    assert request.stream
    assert not {"stream", "stream_options"} & set(orjson.loads(request.body))
    assert call.dropped == []


def names_the_model_in_the_address() -> None:
    call = make_call({"messages": USER, "model": "google/public-name"})
    request = create("test", Settings(api_key="k")).prepare(call, make_target(G25)).request
    assert request.url.endswith(f"/models/{G25}:generateContent")
    assert b"model" not in request.body


def counts_choices() -> None:
    assert send({"n": 3})[0]["generationConfig"] == {"candidateCount": 3}
    out, call = send({"n": 9})
    assert out["generationConfig"] == {"candidateCount": 8}
    assert call.dropped == ["n"]
    provider = create("test", Settings())
    assert [provider.profile(make_target(model)).max_choices for model in (G25, G3)] == [8, 1]


def folds_seeds() -> None:
    assert send({"seed": 7})[0]["generationConfig"] == {"seed": 7}
    seeds = [send({"seed": value})[0]["generationConfig"]["seed"] for value in (2**40 + 1, 2**40 + 1, -1)]
    assert seeds == [1, 1, 2**31 - 1]


def sends_results_as_objects() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    history = [
        *USER,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "x"},
    ]
    out, _ = send({"messages": history})
    assert out["contents"][2]["parts"] == [{"functionResponse": {"id": "c", "name": "f", "response": {"result": "x"}}}]


def asks_for_json_in_words() -> None:
    out, call = send({"response_format": {"type": "json_object"}, "tools": [TOOL]})
    assert "JSON" in out["systemInstruction"]["parts"][0]["text"]
    assert call.dropped == []


def keeps_to_the_rule_of_names() -> None:
    rule = re.compile(create("test", Settings()).profile(make_target(G25)).tool_names)
    assert rule.fullmatch("get_weather")
    assert not any(rule.fullmatch(name) for name in ("1a", "a:b", "x" * 65))


OLDER = "told as tools, and answered in the older form"


def knows_tools_only() -> None:
    """So the gateway says it in tools (tests/wire/chat/test_functions.py)."""
    profile = create("test", Settings(api_key="sk-test")).profile(make_target("some-model"))
    assert "functions" not in profile.understands


def row(parameter: str, how: str, check: Callable[[], None], note: str = "") -> dict[str, Any]:
    return {"parameter": parameter, "provider": "google", "how": how, "note": note, "check": check}


def user(part: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [part]}]}


def parts(*made: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": list(made)}]}


BLOB = {"inlineData": {"mimeType": "image/png", "data": "QQ=="}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}}


def draw(body: dict[str, Any], **more: Any) -> tuple[dict[str, Any], Call]:
    call = make_call({"prompt": "x", **body}, **more)
    call.operation = "image_edits" if "image" in body else "images"
    request = create("test", Settings(api_key="k")).prepare(call, make_target("gemini-2.5-flash-image")).request
    return orjson.loads(request.body), call


def draws(body: dict[str, Any], **config: Any) -> Callable[[], None]:
    def check() -> None:
        out, call = draw(body, strict=True)
        assert out["generationConfig"] == {"responseModalities": ["IMAGE"], **config}
        assert call.dropped == []

    return check


def speech(body: dict[str, Any], **more: Any) -> tuple[dict[str, Any], Call]:
    call = make_call({"input": "x", "response_format": "wav", **body}, **more)
    call.operation = "speech"
    request = create("test", Settings(api_key="k")).prepare(call, make_target("gemini-2.5-flash-preview-tts")).request
    return orjson.loads(request.body), call


def speaks(body: dict[str, Any]) -> Callable[[], None]:
    def check() -> None:
        out, call = speech(body, strict=True)
        assert out["generationConfig"]["responseModalities"] == ["AUDIO"]
        assert call.dropped == []

    return check


def reports_of_speech() -> None:
    _, call = speech({"voice": "alloy", "speed": 2})
    assert set(call.dropped) == {"voice", "speed"}


def does_not_speak_mp3() -> None:
    with pytest.raises(CallerFault) as caught:
        speech({"response_format": "mp3"})
    assert caught.value.param == "response_format"


def does_not_draw(body: dict[str, Any], path: str) -> Callable[[], None]:
    def check() -> None:
        with pytest.raises(CallerFault) as caught:
            draw(body)
        assert caught.value.param == path

    return check


def reports_quality() -> None:
    assert draw({"quality": "high"})[1].dropped == ["quality"]
    with pytest.raises(CallerFault):
        draw({"quality": "high"}, strict=True)


matrix_rows: list[dict[str, Any]] = [
    row("images/generations", "mapped", draws({})),
    row(
        "images/generations: size",
        "mapped",
        draws({"size": "1024x1024"}, imageConfig={"aspectRatio": "1:1"}),
        "the nearest shape, in 1K, 2K or 4K",
    ),
    row("images/generations: n (Gemini)", "refused", does_not_draw({"n": 2}, "n"), "Imagen makes several"),
    row("images/generations: quality, style, moderation", "reported", reports_quality),
    row("audio/speech", "mapped", speaks({"voice": "Puck"}), "in `wav` and `pcm`; whole"),
    row("audio/speech: voice (OpenAI's names), speed", "reported", reports_of_speech),
    row("audio/speech: response_format (others)", "refused", does_not_speak_mp3),
    row("images/edits", "mapped", draws({"image": [Upload(b"1")]})),
    row("images/edits: mask", "refused", does_not_draw({"image": [Upload(b"1")], "mask": Upload(b"2")}, "mask")),
    row("messages", "mapped", gives({}, parts({"text": "Hi"}))),
    row(
        "messages: system, developer",
        "mapped",
        gives(
            {"messages": [{"role": "developer", "content": "A"}, *USER]},
            {"systemInstruction": {"parts": [{"text": "A"}]}},
        ),
        "systemInstruction, wherever they stand",
    ),
    row("messages: image_url", "mapped", gives(user(IMAGE), parts(BLOB)), "the gateway fetches other URLs than data:"),
    row(
        "messages: input_audio",
        "mapped",
        gives(
            user({"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}}),
            parts({"inlineData": {"mimeType": "audio/wav", "data": "QQ=="}}),
        ),
    ),
    row(
        "messages: file",
        "mapped",
        gives(
            user({"type": "file", "file": {"file_data": "QQ==", "filename": "a.pdf"}}),
            parts({"inlineData": {"mimeType": "application/pdf", "data": "QQ=="}}),
        ),
        "file_id: only of Google's Files API",
    ),
    row(
        "messages: video_url",
        "mapped",
        gives(
            user({"type": "video_url", "video_url": {"url": "https://youtu.be/x"}}),
            parts({"fileData": {"fileUri": "https://youtu.be/x"}}),
        ),
    ),
    row("messages: tool", "mapped", sends_results_as_objects, "JSON objects as they are, else {result: text}"),
    row("messages: name", "reported", reports({"messages": [{**USER[0], "name": "Ann"}]}, "messages[].name")),
    row(
        "messages: cache_control",
        "reported",
        reports({"messages": [{**USER[0], "cache_control": {"type": "ephemeral"}}]}, "messages[].cache_control"),
    ),
    row("model", "mapped", names_the_model_in_the_address),
    row("stream", "mapped", streams_by_its_address),
    row("stream_options", "emulated", streams_by_its_address, "Google always reports usage"),
    row("max_tokens", "mapped", takes_the_gateways_limit),
    row("max_completion_tokens", "mapped", takes_the_gateways_limit),
    row("temperature", "mapped", configures({"temperature": 1.5}, {"temperature": 1.5})),
    row("temperature (Gemini 3.6 and later)", "reported", reports({"temperature": 0.3}, "temperature", model=NEW)),
    row("top_p", "mapped", configures({"top_p": 0.3}, {"topP": 0.3})),
    row("top_p (Gemini 3.6 and later)", "reported", reports({"top_p": 0.3}, "top_p", model=NEW)),
    row("top_k", "mapped", configures({"top_k": 5}, {"topK": 5})),
    row("stop", "mapped", configures({"stop": ["a", "b"]}, {"stopSequences": ["a", "b"]}), "at most 5"),
    row("stop: more than 5", "refused", refuses({"stop": list("abcdef")}, "stop")),
    row("seed", "mapped", folds_seeds, "folded to 31 bits"),
    row("n", "mapped", counts_choices, "candidateCount, where the model has it; else several calls of the gateway"),
    row("n (Gemini 3)", "reported", reports({"n": 2}, "n", model=G3), "when the gateway did not split the call"),
    row("presence_penalty", "mapped", configures({"presence_penalty": 0.5}, {"presencePenalty": 0.5})),
    row("presence_penalty (Gemini 3)", "reported", reports({"presence_penalty": 0.5}, "presence_penalty", model=G3)),
    row("frequency_penalty", "mapped", configures({"frequency_penalty": 0.5}, {"frequencyPenalty": 0.5})),
    row("frequency_penalty (Gemini 3)", "reported", reports({"frequency_penalty": 1}, "frequency_penalty", model=G3)),
    row("logprobs", "mapped", configures({"logprobs": True}, {"responseLogprobs": True})),
    row("logprobs (Gemini 3)", "reported", reports({"logprobs": True}, "logprobs", model=G3)),
    row(
        "top_logprobs",
        "mapped",
        configures({"logprobs": True, "top_logprobs": 3}, {"responseLogprobs": True, "logprobs": 3}),
    ),
    row("logit_bias", "reported", reports({"logit_bias": {"1": 5}}, "logit_bias")),
    row("tools", "mapped", gives({"tools": [TOOL]}, {"tools": FUNCTIONS})),
    row(
        "tools: strict",
        "mapped",
        gives(
            {"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]},
            {"toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}}},
        ),
        "mode VALIDATED",
    ),
    row("tools: names outside the rule", "emulated", keeps_to_the_rule_of_names, "renamed, and back in the answer"),
    row("tools: custom", "refused", refuses({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type")),
    row(
        "tool_choice: auto, none",
        "mapped",
        gives({"tools": [TOOL], "tool_choice": "none"}, {"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}),
    ),
    row(
        "tool_choice: required",
        "mapped",
        gives({"tools": [TOOL], "tool_choice": "required"}, {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}),
    ),
    row(
        "tool_choice: function",
        "mapped",
        gives(
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
            {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}}},
        ),
    ),
    row(
        "tool_choice: allowed_tools",
        "emulated",
        gives(
            {
                "tools": [TOOL, {"type": "function", "function": {"name": "g"}}],
                "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOL]}},
            },
            {"tools": FUNCTIONS},
        ),
        "the other tools are left out",
    ),
    row(
        "parallel_tool_calls",
        "reported",
        reports({"tools": [TOOL], "parallel_tool_calls": False}, "parallel_tool_calls"),
        "false cannot be said to Gemini",
    ),
    row("functions", "emulated", knows_tools_only, OLDER),
    row("function_call", "emulated", knows_tools_only, OLDER),
    row(
        "response_format: json_schema",
        "mapped",
        configures(
            {"response_format": ANSWER},
            {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}},
        ),
    ),
    row(
        "response_format: json_schema with tools (before Gemini 3)",
        "reported",
        reports({"response_format": ANSWER, "tools": [TOOL]}, "response_format"),
        "the schema is only told",
    ),
    row(
        "response_format: json_object",
        "mapped",
        configures({"response_format": {"type": "json_object"}}, {"responseMimeType": "application/json"}),
    ),
    row("response_format: json_object with tools (before Gemini 3)", "emulated", asks_for_json_in_words),
    row(
        "reasoning_effort",
        "mapped",
        configures({"reasoning_effort": "low"}, {"thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True}}),
        "thinkingBudget or thinkingLevel, by model",
    ),
    row(
        "reasoning_effort (Gemini 3)",
        "mapped",
        configures(
            {"reasoning_effort": "low"}, {"thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True}}, G3
        ),
    ),
    row(
        "reasoning_effort (models without thinking)",
        "reported",
        reports({"reasoning_effort": "low"}, "reasoning_effort", model=G20),
    ),
    row("web_search_options", "mapped", gives({"web_search_options": {}}, {"tools": [{"googleSearch": {}}]})),
    row(
        "web_search_options: user_location",
        "reported",
        reports({"web_search_options": {"user_location": {"type": "approximate"}}}, "web_search_options.user_location"),
    ),
    row("user", "reported", reports({"user": "u"}, "user")),
    row("safety_identifier", "reported", reports({"safety_identifier": "u"}, "safety_identifier")),
    row("metadata", "reported", reports({"metadata": {"a": "b"}}, "metadata")),
    row("service_tier", "mapped", gives({"service_tier": "flex"}, {"serviceTier": "flex"})),
    row("service_tier: scale", "reported", reports({"service_tier": "scale"}, "service_tier")),
    row(
        "modalities",
        "mapped",
        configures({"modalities": ["text", "image"]}, {"responseModalities": ["TEXT", "IMAGE"]}),
        "audio models answer in audio alone",
    ),
    row(
        "audio",
        "mapped",
        configures(
            {"modalities": ["text", "audio"], "audio": {"voice": "Kore", "format": "wav"}},
            {
                "responseModalities": ["AUDIO"],
                "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
            },
        ),
        "Google's names of voices; wav or pcm16",
    ),
    row("prediction", "reported", reports({"prediction": {"type": "content", "content": "x"}}, "prediction")),
    row("store", "reported", reports({"store": True}, "store")),
    row("verbosity", "reported", reports({"verbosity": "low"}, "verbosity")),
    row("prompt_cache_key", "reported", reports({"prompt_cache_key": "k"}, "prompt_cache_key")),
    row("prompt_cache_retention", "reported", reports({"prompt_cache_retention": "24h"}, "prompt_cache_retention")),
    row("prompt_cache_options", "reported", reports({"prompt_cache_options": {"mode": "x"}}, "prompt_cache_options")),
    row("moderation", "reported", reports({"moderation": {"model": "omni"}}, "moderation")),
    row(
        "safety_settings",
        "mapped",
        gives({"safety_settings": [{"category": "c"}]}, {"safetySettings": [{"category": "c"}]}),
    ),
    row("cached_content", "refused", refuses({"cached_content": "cachedContents/x"}, "cachedContent"), "is nobody's"),
    row(
        "extra_body.google",
        "mapped",
        configures({"extra_body": {"google": {"media_resolution": "M"}}}, {"mediaResolution": "M"}),
        "also as google, and under Google's own names",
    ),
    row(
        "candidateCount",
        "refused",
        refuses({"generationConfig": {"candidateCount": 4}}, "generationConfig.candidateCount"),
    ),
    row("any other", "mapped", gives({"novel_key": 1}, {"novel_key": 1}), "sent under its own name"),
]


@pytest.mark.parametrize("cell", matrix_rows, ids=lambda cell: cell["parameter"])
def test_a_cell_is_true(cell: dict[str, Any]) -> None:
    assert cell["how"] in ("mapped", "emulated", "refused", "reported")
    cell["check"]()


def test_parameters_are_unique() -> None:
    names = [cell["parameter"] for cell in matrix_rows]
    assert len(set(names)) == len(names)


def test_neutral_values_are_no_loss() -> None:
    neutral = {
        "temperature": 1, "top_p": 1, "logprobs": False, "logit_bias": {}, "frequency_penalty": 0,
        "presence_penalty": 0.0, "store": False, "modalities": ["text"], "seed": None, "verbosity": "medium",
        "stop": None, "metadata": {}, "n": 1, "service_tier": "auto", "top_logprobs": 0, "parallel_tool_calls": True,
        "tools": [], "response_format": {"type": "text"}, "reasoning_effort": None,
    }  # fmt: skip
    for model in (NEW, G25, "somebody-else"):
        _, call = send(neutral, model=model, strict=True)
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
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"stop": 7}, "stop"),
        ({"stop": [7]}, "stop"),
        ({"seed": "x"}, "seed"),
        ({"n": 0}, "n"),
        ({"logprobs": "yes"}, "logprobs"),
        ({"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
        ({"modalities": ["smell"]}, "modalities"),
        ({"modalities": "text"}, "modalities"),
        ({"audio": "loud"}, "audio"),
        ({"google": 7}, "google"),
        ({"contents": []}, "contents"),
        ({"google": {"system_instruction": {}}}, "google.system_instruction"),
        ({"generationConfig": 7}, "generationConfig"),
    ],
)
def test_values_that_make_no_sense_are_refused(body: dict[str, Any], path: str) -> None:
    with pytest.raises(CallerFault) as caught:
        send(body)
    assert caught.value.param == path


def test_a_tier_of_another_kind_is_reported() -> None:
    assert send({"service_tier": ["x"]})[1].dropped == ["service_tier"]
    assert send({"extra_body": {"other": 1}})[1].dropped == ["extra_body"]
    assert send({"audio": {"voice": "Kore", "format": "mp3"}})[1].dropped == ["audio.format"]
