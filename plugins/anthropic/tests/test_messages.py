"""Chat messages to `system` and `messages`."""

from __future__ import annotations

from typing import Any

import pytest
from tollgate_anthropic.messages import CONTINUE, OPENING

from gateway.api import CallerFault

CALL = {"id": "toolu_1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
TWO_CALLS = [CALL, {"id": "toolu_2", "type": "function", "function": {"name": "add", "arguments": ""}}]


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def test_system_and_developer_messages_become_system_blocks(built: Any) -> None:
    mark = {"type": "ephemeral"}
    out, _ = built(
        {
            "messages": [
                {"role": "system", "content": "One."},
                {"role": "developer", "content": [{"type": "text", "text": "Two.", "cache_control": mark}]},
                {"role": "user", "content": "Hi"},
            ]
        }
    )
    assert out["system"] == [text("One."), {**text("Two."), "cache_control": mark}]
    assert out["messages"] == [{"role": "user", "content": [text("Hi")]}]


def test_a_later_system_message_moves_to_the_top_or_stays_where_the_model_allows_it(built: Any) -> None:
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Go"},
        {"role": "system", "content": "Be brief."},
    ]
    out, _ = built({"messages": messages})
    assert out["system"] == [text("Be brief.")]
    assert [turn["role"] for turn in out["messages"]] == ["user", "assistant", "user"]
    out, _ = built({"messages": messages}, model="claude-opus-4-8")
    assert "system" not in out
    assert out["messages"][-1] == {"role": "system", "content": [text("Be brief.")]}
    out, _ = built({"messages": [*messages, {"role": "user", "content": "Now"}]}, model="claude-opus-4-8")
    assert out["system"] == [text("Be brief.")]


def test_consecutive_turns_are_merged(built: Any) -> None:
    out, _ = built(
        {
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "user", "content": "b"},
                {"role": "assistant", "content": "c"},
                {"role": "assistant", "content": None},
                {"role": "user", "content": "d"},
            ]
        }
    )
    assert out["messages"] == [
        {"role": "user", "content": [text("a"), text("b")]},
        {"role": "assistant", "content": [text("c")]},
        {"role": "user", "content": [text("d")]},
    ]


def test_an_empty_turn_vanishes_and_its_neighbours_join(built: Any) -> None:
    out, _ = built(
        {
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": ""},
                {"role": "user", "content": [text("b"), text(" \n"), text("c"), text("")]},
            ]
        }
    )
    assert out["messages"] == [{"role": "user", "content": [text("a"), text("b \n"), text("c")]}]


def test_a_conversation_without_content_is_refused(built: Any) -> None:
    with pytest.raises(CallerFault, match=r"^messages: at least one") as caught:
        built({"messages": [{"role": "user", "content": " "}]})
    assert caught.value.param == "messages"


def test_instructions_alone_become_the_users_turn(built: Any) -> None:
    out, _ = built({"messages": [{"role": "system", "content": "Tell a joke."}]})
    assert "system" not in out
    assert out["messages"] == [{"role": "user", "content": [text("Tell a joke.")]}]


def test_the_first_turn_is_the_users(built: Any) -> None:
    out, _ = built({"messages": [{"role": "assistant", "content": "Welcome!"}, {"role": "user", "content": "Hi"}]})
    assert out["messages"][0] == {"role": "user", "content": [text(OPENING)]}
    assert [turn["role"] for turn in out["messages"]] == ["user", "assistant", "user"]


def test_a_final_assistant_message_is_continued_without_trailing_space(built: Any) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "The answer is \n"}]
    out, _ = built({"messages": messages})
    assert out["messages"][-1] == {"role": "assistant", "content": [text("The answer is")]}
    for body, model in (({}, "claude-opus-4-6"), ({"reasoning_effort": "low"}, "claude-sonnet-4-5")):
        out, _ = built({"messages": messages, **body}, model=model)
        assert out["messages"][-1] == {"role": "user", "content": [text(CONTINUE)]}


def test_results_stand_first_in_one_user_turn(built: Any) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    out, _ = built(
        {
            "messages": [
                {"role": "user", "content": "Add"},
                {"role": "assistant", "content": "Sure.", "tool_calls": TWO_CALLS},
                {"role": "user", "content": "And hurry"},
                {"role": "tool", "tool_call_id": "toolu_2", "content": [text("two"), image], "is_error": True},
                {"role": "tool", "tool_call_id": "toolu_1", "content": "", "cache_control": {"type": "ephemeral"}},
            ]
        }
    )
    assert out["messages"][1]["content"] == [
        text("Sure."),
        {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1}},
        {"type": "tool_use", "id": "toolu_2", "name": "add", "input": {}},
    ]
    assert out["messages"][2]["content"] == [
        {
            "type": "tool_result",
            "tool_use_id": "toolu_2",
            "content": [text("two"), {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}],
            "is_error": True,
        },
        {"type": "tool_result", "tool_use_id": "toolu_1", "cache_control": {"type": "ephemeral"}},
        text("And hurry"),
    ]


def test_a_result_that_is_json_is_sent_as_its_text(built: Any) -> None:
    out, _ = built({"messages": _round(CALL, {"sum": 3})})
    assert out["messages"][-1]["content"][0]["content"] == '{"sum":3}'


def test_foreign_ids_become_plain_ones_the_same_every_time(built: Any) -> None:
    foreign = {**CALL, "id": "functions.add:0|é"}
    first, _ = built({"messages": _round(foreign, "1")})
    again, _ = built({"messages": _round(foreign, "1")})
    assert first == again
    sent = first["messages"][1]["content"][0]["id"]
    assert first["messages"][2]["content"][0]["tool_use_id"] == sent
    assert sent.isascii()
    assert sent.replace("_", "").replace("-", "").isalnum()


def test_ids_used_again_in_a_later_turn_stay_apart(built: Any) -> None:
    messages = [*_round(CALL, "1"), *_round(CALL, "2")]
    out, _ = built({"messages": messages})
    uses = [b["id"] for turn in out["messages"] for b in turn["content"] if b["type"] == "tool_use"]
    results = [b["tool_use_id"] for turn in out["messages"] for b in turn["content"] if b["type"] == "tool_result"]
    assert uses == results
    assert len(set(uses)) == 2


@pytest.mark.parametrize("arguments", ["{", "[1]", '{"a": "cut o'])
def test_arguments_that_are_no_json_object_do_not_end_the_conversation(built: Any, arguments: str) -> None:
    call = {**CALL, "function": {"name": "add", "arguments": arguments}}
    out, _ = built({"messages": _round(call, "1")})
    assert [b["input"] for b in out["messages"][1]["content"]] == [{"INVALID_JSON": arguments}]


def test_arguments_that_are_no_text_are_refused(built: Any) -> None:
    call = {**CALL, "function": {"name": "add", "arguments": 7}}
    with pytest.raises(CallerFault, match="must be a string") as caught:
        built({"messages": _round(call, "1")})
    assert caught.value.param == "messages[1].tool_calls[0].function.arguments"


def test_arguments_too_deep_to_be_sent_are_refused(built: Any) -> None:
    deep = '{"a":' * 300 + "1" + "}" * 300
    with pytest.raises(CallerFault, match="too deeply"):
        built({"messages": _round({**CALL, "function": {"name": "add", "arguments": deep}}, "1")})


@pytest.mark.parametrize(
    ("messages", "path"),
    [
        (
            [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [CALL]}],
            "messages[1].tool_calls[0].id",
        ),
        (
            [
                {"role": "user", "content": "a"},
                {"role": "assistant", "tool_calls": [CALL]},
                {"role": "user", "content": "b"},
                {"role": "assistant", "content": "c"},
            ],
            "messages[1].tool_calls[0].id",
        ),
        ([{"role": "tool", "tool_call_id": "x", "content": "1"}], "messages[0].tool_call_id"),
        ([{"role": "narrator", "content": "1"}], "messages[0].role"),
        ([], "messages"),
        ([7], "messages[0]"),
        ([{"role": "user", "content": 7}], "messages[0].content"),
        ([{"role": "assistant", "tool_calls": [{**CALL, "type": "custom"}]}], "messages[0].tool_calls[0].type"),
        ([{"role": "assistant", "tool_calls": [CALL, CALL]}], "messages[0].tool_calls[1].id"),
    ],
)
def test_a_broken_conversation_is_refused_with_its_place(built: Any, messages: list[Any], path: str) -> None:
    with pytest.raises(CallerFault) as caught:
        built({"messages": messages})
    assert caught.value.param == path
    assert caught.value.message.startswith(path + ":")
    assert caught.value.status == 400


def test_thinking_comes_back_before_what_was_said(built: Any) -> None:
    block = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
    details = [
        {"index": 0, "type": "anthropic.thinking", "text": "Hm.", "signature": "sig"},
        {"index": 1, "type": "anthropic.redacted_thinking", "data": "abc"},
        {"index": 2, "type": "anthropic.block", "block": block},
        {"type": "reasoning.text", "text": "Also.", "signature": "sig2", "format": "anthropic-claude-v1"},
        {"type": "reasoning.text", "text": "Another maker's.", "signature": "sig3"},
        {"type": "anthropic.thinking", "text": "unsigned"},
        {"type": "google.thought", "signature": "zzz"},
    ]
    messages = _round(CALL, "1")
    messages[1] = {**messages[1], "content": "Adding.", "reasoning_content": "Hm.", "reasoning_details": details}
    out, _ = built({"messages": messages})
    assert out["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "abc"},
        block,
        {"type": "thinking", "thinking": "Also.", "signature": "sig2"},
        text("Adding."),
        {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1}},
    ]


def test_a_call_keeps_who_made_it(built: Any) -> None:
    caller = {"type": "code_execution_20250825", "tool_id": "srvtoolu_1"}
    out, _ = built({"messages": _round({**CALL, "caller": caller, "index": 0}, "1")})
    assert out["messages"][1]["content"][0]["caller"] == caller
    assert "index" not in out["messages"][1]["content"][0]


def test_names_of_participants_are_reported(built: Any) -> None:
    _, call = built({"messages": [{"role": "user", "name": "Ann", "content": "Hi"}]})
    assert call.dropped == ["messages[].name"]
    _, call = built({"messages": [*_round(CALL, "1")[:2], {**_round(CALL, "1")[2], "name": "add"}]})
    assert call.dropped == []


def test_a_mark_on_a_message_marks_its_last_part(built: Any) -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    out, _ = built({"messages": [{"role": "user", "content": [text("a"), text("b")], "cache_control": mark}]})
    assert out["messages"][0]["content"] == [text("a"), {**text("b"), "cache_control": mark}]


def _round(call: dict[str, Any], result: Any) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": "Add"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": result},
    ]
