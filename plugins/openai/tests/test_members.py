"""Message members of other providers: left out at OpenAI itself, untouched everywhere else."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tollgate_openai import OpenAIProvider, OpenAISettings

from gateway.api import Call, CallerFault
from gateway.testing import make_call, make_target

MARK = {"type": "ephemeral"}
DETAILS = [{"type": "anthropic.thinking", "signature": "s"}]
USER = {"role": "user", "content": "Hi"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
EXTRA = {"extra_content": {"google": {"thought_signature": "s"}}}


def send(*messages: Any, base_url: str = "https://api.openai.com/v1", **more: Any) -> tuple[list[Any], Call]:
    call = make_call({"model": "openai/x", "messages": list(messages)}, **more)
    settings = OpenAISettings.model_validate({"api_key": "key-0123456789", "base_url": base_url})
    request = OpenAIProvider("test", settings).prepare(call, make_target("gpt-4.1")).request
    return orjson.loads(request.body)["messages"], call


def assistant(**members: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "a", **members}


MARKED = {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": MARK, "novel": 1}, "odd"]}
PLAIN = {"role": "user", "content": [{"type": "text", "text": "x", "novel": 1}, "odd"]}


@pytest.mark.parametrize(
    ("given", "sent", "dropped", "path"),
    [
        (assistant(reasoning_content="b"), assistant(), ["reasoning_content"], "reasoning_content"),
        (assistant(reasoning_details=DETAILS), assistant(), ["reasoning_details"], "reasoning_details"),
        (
            assistant(reasoning_content="b", reasoning_details=DETAILS),
            assistant(),
            ["reasoning_details"],
            "reasoning_details",
        ),
        (MARKED, PLAIN, ["cache_control"], "content[0].cache_control"),
        (assistant(reasoning="b"), assistant(), ["reasoning"], "reasoning"),
        (
            assistant(tool_calls=[{**CALL, **EXTRA}, CALL]),
            assistant(tool_calls=[CALL, CALL]),
            ["extra_content"],
            "tool_calls[0].extra_content",
        ),
        ({**USER, "cache_control": MARK}, USER, ["cache_control"], "cache_control"),
    ],
)
def test_what_openai_refuses_is_left_out_and_reported_once(
    given: Any, sent: Any, dropped: list[str], path: str
) -> None:
    out, call = send(USER, given, given)
    assert out == [USER, sent, sent]
    assert call.dropped == dropped
    assert call.body["messages"] == [USER, given, given]
    with pytest.raises(CallerFault) as caught:
        send(USER, given, strict=True)
    assert (caught.value.status, caught.value.param) == (400, f"messages[1].{path}")


def test_a_second_attempt_reports_nothing_twice() -> None:
    call = make_call({"model": "openai/x", "messages": [assistant(reasoning_details=DETAILS)]})
    provider = OpenAIProvider("test", OpenAISettings.model_validate({"api_key": "key-0123456789"}))
    for _ in range(2):
        provider.prepare(call, make_target("gpt-4.1"))
    assert call.dropped == ["reasoning_details"]


def test_members_that_say_nothing_are_no_loss() -> None:
    given = {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": None}]}
    out, call = send(given, assistant(reasoning_content="", reasoning_details=[]), strict=True)
    assert out == [{"role": "user", "content": [{"type": "text", "text": "x"}]}, assistant()]
    assert call.dropped == []


def test_everything_else_stays() -> None:
    messages = [{**USER, "reasoning_content": "no assistant"}, assistant(novel={"deep": [1]}), PLAIN]
    out, call = send(*messages, strict=True)
    assert out == messages
    assert call.dropped == []


def test_compatible_servers_get_them_untouched() -> None:
    own = [{"type": "reasoning.text", "text": "b"}]
    messages = [MARKED, assistant(reasoning_content="b", reasoning_details=own, cache_control=MARK)]
    messages.append(assistant(tool_calls=[{**CALL, **EXTRA}]))
    out, call = send(*messages, base_url="http://127.0.0.1:8000/v1", strict=True)
    assert out == messages
    assert call.dropped == []


@pytest.mark.parametrize("messages", [[None, 7, "x", []], [{"role": 7, "content": 7}, {"content": [None, 7, {}]}]])
def test_shapes_that_are_none(messages: list[Any]) -> None:
    assert send(*messages)[0] == messages


def search(base_url: str = "https://api.openai.com/v1", **more: Any) -> tuple[Any, Call]:
    options = {"search_context_size": "low", "filters": {"allowed_domains": ["a.example"]}, "max_uses": 3}
    call = make_call({"model": "openai/x", "messages": [USER], "web_search_options": options}, **more)
    settings = OpenAISettings.model_validate({"api_key": "key-0123456789", "base_url": base_url})
    body = OpenAIProvider("test", settings).prepare(call, make_target("gpt-4o-search-preview")).request.body
    assert call.body["web_search_options"] is options
    return orjson.loads(body)["web_search_options"], call


def test_what_only_other_searches_can_be_told() -> None:
    sent, call = search()
    assert sent == {"search_context_size": "low"}
    assert call.dropped == ["web_search_options.filters", "web_search_options.max_uses"]
    with pytest.raises(CallerFault) as caught:
        search(strict=True)
    assert caught.value.param == "web_search_options.filters"
    sent, call = search("http://127.0.0.1:8000/v1", strict=True)
    assert sent == call.body["web_search_options"]
