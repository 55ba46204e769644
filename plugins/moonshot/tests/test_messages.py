"""The conversation: roles, thoughts given back, parts, tool calls and results, names of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from tollgate_moonshot import Settings, create

from gateway.api import Call, CallerFault

Built = Callable[..., tuple[dict[str, Any], Call]]

CALL = {"id": "get:0", "type": "function", "function": {"name": "get", "arguments": '{"a":1}'}}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def user(content: Any = "Hi") -> dict[str, Any]:
    return {"role": "user", "content": content}


def asked(**more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [CALL], **more}


def result(content: Any = "42") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "get:0", "content": content}


def test_what_the_dialects_share_goes_through_untouched(built: Built) -> None:
    messages = [
        {"role": "system", "content": "a", "name": "n"},
        user([{"type": "image_url", "image_url": {"url": PIXEL}}, {"type": "text", "text": "b"}]),
        {"role": "assistant", "content": "c", "partial": True, "novel": 1},
    ]
    body, call = built({"messages": messages}, strict=True)
    assert body["messages"] == messages
    assert call.dropped == []


def test_developers_speak_as_the_system(built: Built) -> None:
    assert built({"messages": [{"role": "developer", "content": "a"}, user()]})[0]["messages"][0]["role"] == "system"


def test_thoughts_go_back_as_they_came(built: Built) -> None:
    for given in (
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "h"}, {"text": "m"}, {"text": 7}]},
        {"reasoning_content": "hm", "reasoning": "other"},
    ):
        sent = built({"messages": [user(), asked(**given), result()]}, "kimi-k2-thinking")[0]["messages"][1]
        assert sent == {**asked(content=""), "reasoning_content": "hm"}


def test_calls_without_thoughts_get_a_stand_in_while_the_model_thinks(built: Built) -> None:
    messages = [user(), asked(), result()]

    def thought(model: str, **more: Any) -> str | None:
        found: str | None = built({"messages": messages, **more}, model)[0]["messages"][1].get("reasoning_content")
        return found

    assert thought("kimi-k2-thinking") == " "
    assert thought("kimi-k2.5") == " "
    assert thought("kimi-k2.5", thinking={"type": "disabled"}) is None
    assert thought("kimi-k2.5", reasoning_effort="none") is None
    assert thought("moonshot-v1-8k") is None
    assert (
        "reasoning_content"
        not in built({"messages": [user(), {"role": "assistant", "content": "x"}, user()]})[0]["messages"][1]
    )


def test_what_answers_hold_comes_back_without_other_makers_members(built: Built) -> None:
    message = {
        "role": "assistant",
        "content": "4",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
        "reasoning_details": [{"type": "anthropic.redacted_thinking", "data": "x"}],
    }
    body, call = built({"messages": [user(), message, user()]}, strict=True)
    assert body["messages"][1] == {"role": "assistant", "content": "4"}
    _, call = built({"messages": [user(), {**message, "audio": {"id": "a"}}, user()]})
    assert call.dropped == ["messages[].audio"]


def test_empty_messages(built: Built) -> None:
    body, _ = built({"messages": [user(), asked(), result(""), {"role": "assistant", "content": ""}, user()]})
    assert [message["content"] for message in body["messages"]] == ["Hi", "", "(no output)", "Hi"]


def test_empty_texts_beside_others_are_left_out(built: Built) -> None:
    empty, said = {"type": "text", "text": ""}, {"type": "text", "text": "b"}
    assert built({"messages": [user([empty, said, empty])]})[0]["messages"][0]["content"] == [said]
    assert built({"messages": [user([empty])]})[0]["messages"][0]["content"] == [empty]


def test_refusals_are_given_back_as_text(built: Built) -> None:
    body, _ = built({"messages": [user(), {"role": "assistant", "content": None, "refusal": "No."}, user()]})
    assert body["messages"][1] == {"role": "assistant", "content": "No."}
    parts = [{"type": "refusal", "refusal": "No."}]
    body, _ = built({"messages": [user(), {"role": "assistant", "content": parts}, user()]})
    assert body["messages"][1]["content"] == [{"type": "text", "text": "No."}]


@pytest.mark.parametrize(
    ("messages", "path"),
    [
        ([user([{"type": "file", "file": {"file_data": "JVBERi0x"}}])], "messages[0].content[0]"),
        ([user([{"type": "input_audio", "input_audio": {"data": "UklG"}}])], "messages[0].content[0]"),
        (
            [user(["x", {"type": "image_url", "image_url": {"url": "https://example.com/a"}}][1:])],
            "messages[0].content[0].image_url.url",
        ),
        ([user([{"type": "image_url", "image_url": "HTTP://example.com/a"}])], "messages[0].content[0].image_url"),
        (
            [user([{"type": "video_url", "video_url": {"url": "https://example.com/a"}}])],
            "messages[0].content[0].video_url.url",
        ),
        ([user([7])], "messages[0].content[0]"),
        ([{"role": "bot"}], "messages[0].role"),
        ([{"role": ["user"]}], "messages[0].role"),
        ([{"role": "tool", "content": "1"}], "messages[0].tool_call_id"),
        ([asked(tool_calls=[{"id": "c", "type": "custom"}])], "messages[0].tool_calls[0].type"),
        ([asked(tool_calls=7)], "messages[0].tool_calls"),
        (["x"], "messages[0]"),
        ("x", "messages"),
    ],
)
def test_what_cannot_be_sent_is_named(built: Built, messages: Any, path: str) -> None:
    with pytest.raises(CallerFault) as caught:
        built({"messages": messages})
    assert caught.value.param == path


def test_media_urls_lists_what_must_be_fetched() -> None:
    of = create("test", Settings())
    content = [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image_url", "image_url": "http://example.com/b.png"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "video_url", "video_url": {"url": "https://example.com/c.mp4"}},
        {"type": "image_url", "image_url": {"url": PIXEL}},
        {"type": "image_url", "image_url": {"url": "ms://file-1"}},
        {"type": "text", "text": "https://example.com"},
        {"type": ["image_url"], "image_url": 7},
        7,
    ]
    assert of.media_urls({"messages": [user(content), 7, user(7)]}) == [
        "https://example.com/a.png",
        "http://example.com/b.png",
        "https://example.com/c.mp4",
    ]
    assert of.media_urls({"messages": None}) == of.media_urls({}) == []


def test_cache_marks_are_reported(built: Built) -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    body, call = built({"messages": [{**user([{"type": "text", "text": "a", **mark}]), **mark}]})
    assert body["messages"] == [user([{"type": "text", "text": "a"}])]
    assert call.dropped == ["cache_control"]


def test_builtin_tools_travel_on(built: Built) -> None:
    search = {"type": "builtin_function", "function": {"name": "$web_search"}}
    called = {"id": "a", "type": "builtin_function", "function": {"name": "$web_search", "arguments": "{}"}}
    messages = [user(), asked(tool_calls=[called], reasoning_content="hm"), {**result(), "tool_call_id": "a"}]
    body, call = built({"messages": messages, "tools": [search]}, strict=True)
    assert body["tools"] == [search]
    assert body["messages"][1]["tool_calls"] == [called]
    assert call.dropped == []


@pytest.mark.parametrize("arguments", ['{"a":', "[1]"])
def test_arguments_that_are_no_json_object_do_not_end_the_conversation(built: Built, arguments: str) -> None:
    call = {**CALL, "function": {"name": "get", "arguments": arguments}}
    sent = built({"messages": [user(), asked(tool_calls=[call]), result()]})[0]["messages"][1]["tool_calls"][0]
    assert orjson.loads(sent["function"]["arguments"]) == {"INVALID_JSON": arguments}
