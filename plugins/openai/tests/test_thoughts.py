"""Thoughts of earlier turns at servers that copied OpenAI's dialect, and what single ones of them want."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tollgate_openai import OpenAIProvider, OpenAISettings

from gateway.api import Call, CallerFault
from gateway.testing import make_call, make_target

LOCAL = "http://127.0.0.1:8000/v1"
SIGNED = {"index": 0, "type": "anthropic.thinking", "text": "why", "signature": "s"}
SEALED = {"type": "responses.reasoning", "item": {"type": "reasoning", "encrypted_content": "x"}}
OPENROUTERS = {"type": "reasoning.text", "text": "own", "signature": "s", "format": "anthropic-claude-v1"}
USER = {"role": "user", "content": "Hi"}
CALLS = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def provider(base_url: str = LOCAL, **quirks: Any) -> OpenAIProvider:
    settings = {"api_key": "key-0123456789", "base_url": base_url, "quirks": quirks}
    return OpenAIProvider("test", OpenAISettings.model_validate(settings))


def send(
    *messages: Any, model: str = "m", base_url: str = LOCAL, quirks: dict[str, Any] | None = None, **more: Any
) -> tuple[list[Any], Call]:
    strict = more.pop("strict", False)
    call = make_call({"model": "x", "messages": list(messages), **more}, strict=strict)
    request = provider(base_url, **quirks or {}).prepare(call, make_target(model)).request
    return orjson.loads(request.body)["messages"], call


def assistant(**members: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "a", **members}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (assistant(reasoning_details=[SIGNED]), assistant(reasoning_content="why")),
        (
            assistant(reasoning_details=[SIGNED, {**SIGNED, "text": "then"}, SEALED]),
            assistant(reasoning_content="why\n\nthen"),
        ),
        (assistant(reasoning_details=[SEALED]), assistant()),
        (
            assistant(reasoning_content="told", reasoning_details=[SIGNED, OPENROUTERS]),
            assistant(reasoning_content="told", reasoning_details=[OPENROUTERS]),
        ),
        (assistant(reasoning="told", reasoning_details=[SIGNED]), assistant(reasoning="told")),
    ],
)
def test_details_of_other_providers_are_told_as_text(given: Any, sent: Any) -> None:
    out, call = send(USER, given)
    assert out == [USER, sent]
    assert call.dropped == ["reasoning_details"]
    assert call.body["messages"] == [USER, given]
    with pytest.raises(CallerFault) as caught:
        send(USER, given, strict=True)
    assert caught.value.param == "messages[1].reasoning_details"


@pytest.mark.parametrize("details", [[OPENROUTERS], [{"type": "novel"}], [{"data": 1}], ["odd"], {"type": "a.b"}, None])
def test_what_may_be_the_servers_own_travels_on(details: Any) -> None:
    given = assistant(reasoning_content="b", reasoning_details=details)
    out, call = send({**USER, "reasoning_details": [SIGNED]}, given, "odd", strict=True)
    assert out == [{**USER, "reasoning_details": [SIGNED]}, given, "odd"]
    assert call.dropped == []


@pytest.mark.parametrize(
    "model", ["deepseek-v4-pro", "deepseek/deepseek-v4-flash", "deepseek-ai/DeepSeek-V10", "deepseek-reasoner"]
)
def test_deepseek_wants_thoughts_in_every_message_while_it_thinks(model: str) -> None:
    history = [USER, assistant(), assistant(tool_calls=CALLS, reasoning="b"), assistant(reasoning_content="c")]
    wanted = [USER, assistant(reasoning_content=""), assistant(tool_calls=CALLS, reasoning="b", reasoning_content="b")]
    out, call = send(*history, model=model)
    assert out == [*wanted, history[3]]
    assert call.dropped == []
    for off in ({"thinking": {"type": "disabled"}}, {"reasoning_effort": "none"}):
        assert send(*history, model=model, **off)[0] == history


@pytest.mark.parametrize("model", ["deepseek-chat", "deepseek-v3.2", "qwen3", "m"])
def test_nobody_else_gets_empty_ones(model: str) -> None:
    assert send(USER, assistant(), model=model)[0] == [USER, assistant()]


def test_a_server_that_knows_them_by_the_other_name() -> None:
    out, _ = send(USER, assistant(reasoning_content="b"), assistant(reasoning="c"), quirks={"thoughts": "reasoning"})
    assert out == [USER, assistant(reasoning="b"), assistant(reasoning="c")]


@pytest.mark.parametrize(
    ("base_url", "quirks"), [(LOCAL, {"thoughts": "refused"}), ("https://api.groq.com/openai/v1", {})]
)
def test_a_server_that_refuses_them(base_url: str, quirks: dict[str, Any]) -> None:
    given = assistant(reasoning_content="b", reasoning="b", reasoning_details=[OPENROUTERS])
    out, call = send(USER, given, base_url=base_url, quirks=quirks)
    assert out == [USER, assistant()]
    assert call.dropped == ["reasoning_details"]


def test_what_the_operator_says_counts_before_what_is_known_of_the_service() -> None:
    given = assistant(reasoning="b")
    groq = "https://api.groq.com/openai/v1"
    assert send(USER, given, base_url=groq, quirks={"thoughts": "as_given"})[0] == [USER, given]
    assert send(USER, given, base_url="https://notgroq.com/v1")[0] == [USER, given]


@pytest.mark.parametrize(("quirks", "known"), [({}, False), ({"top_k": True}, True)])
def test_top_k_of_other_dialects_goes_where_it_is_known(quirks: dict[str, Any], known: bool) -> None:
    assert ("top_k" in provider(**quirks).profile(make_target("m")).understands) is known
