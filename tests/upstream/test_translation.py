"""Which form of a call a target is told, and what is given back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.api import CallerFault, ChatReader, Profile, ResponsesReader, UpstreamReply
from gateway.call import Form
from gateway.testing import make_call, make_target
from gateway.upstream.translation import speak

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def told(dialects: set[str], forms: dict[str, Form] | None = None, **more: Any) -> Any:
    call = make_call(dict(CHAT), **more)
    call.forms = forms or {}
    call.freeze()
    return call, speak(call, make_target(profile=Profile(dialects=frozenset(dialects))))


def test_chat_to_chat_is_the_call_itself() -> None:
    call, spoken = told({"chat"})
    assert spoken.call is call
    reader = ResponsesReader(call)
    assert spoken.reader(reader) is reader


@pytest.mark.parametrize(
    ("dialects", "dialect"),
    [({"chat"}, "chat"), ({"chat", "responses"}, "responses"), ({"responses"}, "responses"), ({"chat", "own"}, "own")],
)
def test_a_target_gets_the_form_that_it_speaks(dialects: set[str], dialect: str) -> None:
    forms = {"chat": Form(CHAT, ("x",)), "responses": Form({"input": "Hi"}, ("y",)), "own": Form({"z": 1})}
    call, spoken = told(dialects, forms)
    assert spoken.call.dialect == dialect
    assert spoken.call.body == forms[dialect].body if dialect != "chat" else spoken.call.body == CHAT
    assert call.dropped == list(forms[dialect].dropped)


@pytest.mark.parametrize("dialects", [{"chat"}, {"responses"}])
def test_what_a_client_tells_openai_of_itself_reaches_nobody_else(dialects: set[str]) -> None:
    call = make_call({**CHAT, "client_metadata": {"x": "y"}, "access_programs": ["z"], "own": 1})
    call.freeze()
    spoken = speak(call, make_target(profile=Profile(dialects=frozenset(dialects))))
    assert not {"client_metadata", "access_programs"} & spoken.call.body.keys()
    assert {"client_metadata", "access_programs"} <= set(call.dropped)
    assert spoken.call.body["own"] == 1


def test_a_form_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(CallerFault, match="hosted"):
        told({"chat"}, {"chat": Form(CHAT, fault=CallerFault("hosted")), "responses": Form({})})


def test_what_is_not_carried_is_refused_when_strict() -> None:
    with pytest.raises(CallerFault):
        told({"chat"}, {"chat": Form(CHAT, ("x",))}, strict=True)


def test_chat_is_bridged_to_a_target_that_speaks_responses_only_and_back() -> None:
    _, spoken = told({"responses"})
    assert spoken.call.dialect == "responses"
    assert "input" in spoken.call.body
    reader = spoken.reader(ResponsesReader(spoken.call))
    assert reader.dialect == "chat"
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]}
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    body = {"object": "response", "status": "completed", "output": [item], "usage": usage}
    answer = reader.read_reply(UpstreamReply(200, {}, orjson.dumps(body)))
    assert answer.dialect == "chat"
    assert answer.body["choices"][0]["message"]["content"] == "Hello"
    assert (answer.usage or {})["prompt_tokens"] == 3
    tally = reader.open_tally(1)
    tally.add(reader.unfold(UpstreamReply(200, {}, orjson.dumps(body))))
    assert (tally.complete, tally.text_bytes, tally.finish_reason) == (True, 5, "stop")


FUNCTIONS = {**CHAT, "functions": [{"name": "f"}], "function_call": {"name": "f"}}
SAID = {
    "role": "assistant",
    "content": "x",
    "x_gateway": [{"event": "done", "item": {"type": "mcp_call", "name": "t"}}],
}
IMAGE = {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}


def test_the_older_form_of_tools_is_said_in_tools_and_back() -> None:
    call = make_call(FUNCTIONS)
    spoken = speak(call, make_target(profile=Profile()))
    assert spoken.call.body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert "functions" not in spoken.call.body
    tool_call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [tool_call]}
    body = {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    answer = spoken.reader(ChatReader(spoken.call)).read_reply(UpstreamReply(200, {}, orjson.dumps(body)))
    choice = answer.body["choices"][0]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert choice["finish_reason"] == "function_call"
    known = speak(call, make_target(profile=Profile(understands=frozenset({"functions"}))))
    assert known.call is call


def test_each_target_is_told_in_what_it_understands() -> None:
    result = {"role": "tool", "tool_call_id": "c", "content": [IMAGE], "is_error": True}
    call = make_call({"messages": [SAID, result]})
    rich = Profile(understands=frozenset({"activity", "tool_media", "tool_marks"}))
    assert speak(call, make_target(profile=rich)).call is call
    assert call.dropped == []
    plain = speak(call, make_target(profile=Profile())).call.body["messages"]
    assert plain[0]["content"] == "(Called the tool t)\n\nx"
    assert [message["role"] for message in plain] == ["assistant", "tool", "user"]
    assert call.dropped == ["messages[1].content (media moved into the next message)"]
    items = speak(call, make_target(profile=Profile(dialects=frozenset({"responses"})))).call.body["input"]
    assert [part["type"] for part in items[1]["output"]] == ["input_text", "input_image"]


def test_what_stands_elsewhere_is_no_loss_but_a_lost_mark_is_when_strict() -> None:
    result = {"role": "tool", "tool_call_id": "c", "content": [IMAGE]}
    speak(make_call({"messages": [result]}, strict=True), make_target(profile=Profile()))
    marked = make_call({"messages": [{**result, "cache_control": {"type": "ephemeral"}}]}, strict=True)
    with pytest.raises(CallerFault, match="cache_control"):
        speak(marked, make_target(profile=Profile()))
