"""The older form of tools and calls, said in the newer one and back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.wire.chat.fold import fold_stream
from gateway.wire.chat.functions import FunctionsAgain, has_functions, with_tools

FUNCTION = {"name": "f", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": FUNCTION}


def call_of(index: int, **function: Any) -> dict[str, Any]:
    return {"index": index, "id": "c", "type": "function", "function": function}


def chunk(delta: Any, reason: str | None = None, index: int = 0) -> dict[str, Any]:
    return {"id": "x", "choices": [{"index": index, "delta": delta, "finish_reason": reason}]}


@pytest.mark.parametrize(
    ("body", "has"),
    [
        ({"functions": [FUNCTION]}, True),
        ({"functions": []}, True),
        ({"function_call": "none"}, True),
        ({"messages": [{"role": "function", "name": "f", "content": "1"}]}, True),
        ({"messages": [{"role": "assistant", "function_call": {"name": "f"}}]}, True),
        ({"messages": [{"role": "assistant", "function_call": None}, 5], "tools": [TOOL]}, False),
        ({}, False),
    ],
)
def test_it_is_seen(body: dict[str, Any], has: bool) -> None:
    assert has_functions(body) is has


@pytest.mark.parametrize(
    ("body", "made"),
    [
        ({"functions": [FUNCTION]}, {"tools": [TOOL], "parallel_tool_calls": False}),
        ({"functions": [], "function_call": "none"}, {}),
        (
            {"functions": [FUNCTION], "function_call": {"name": "f"}, "n": 2},
            {
                "n": 2,
                "tools": [TOOL],
                "parallel_tool_calls": False,
                "tool_choice": {"type": "function", "function": {"name": "f"}},
            },
        ),
        (
            {"functions": [FUNCTION], "function_call": "none"},
            {"tools": [TOOL], "parallel_tool_calls": False, "tool_choice": "none"},
        ),
    ],
)
def test_what_may_be_called_is_said_in_tools(body: dict[str, Any], made: dict[str, Any]) -> None:
    assert with_tools(body) == made


def test_calls_and_results_of_earlier_turns_meet_by_their_order() -> None:
    user = {"role": "user", "content": "q"}
    called = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    result = {"role": "function", "name": "f", "content": "1"}
    made = with_tools({"messages": [user, called, result, called, {**result, "content": None}]})["messages"]
    assert [message["role"] for message in made] == ["user", "assistant", "tool", "assistant", "tool"]
    assert [message["tool_calls"][0]["id"] for message in (made[1], made[3])] == ["call_1", "call_2"]
    assert made[1]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert [made[2], made[4]] == [
        {"role": "tool", "tool_call_id": "call_1", "content": "1"},
        {"role": "tool", "tool_call_id": "call_2", "content": ""},
    ]


def test_a_whole_answer_has_the_older_form() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "d"}]}
    choices = [
        {"index": 0, "message": message, "finish_reason": "tool_calls"},
        {"index": 1, "message": {"role": "assistant", "content": "no"}, "finish_reason": "stop"},
    ]
    changed = FunctionsAgain().change({"choices": choices})["choices"]
    assert changed[0]["message"] == {
        "role": "assistant",
        "content": None,
        "function_call": {"name": "f", "arguments": "{}"},
    }
    assert [choice["finish_reason"] for choice in changed] == ["function_call", "stop"]


@pytest.mark.parametrize("reason", ["tool_calls", "stop"])
def test_a_stream_has_the_older_form(reason: str) -> None:
    chunks = [
        chunk({"role": "assistant", "content": None}),
        chunk({"tool_calls": [call_of(0, name="f", arguments="")]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}, call_of(1, name="g", arguments="{}")]}),
        chunk({}, reason),
    ]
    again = FunctionsAgain()
    made = [again.change(one) if again.concerns(orjson.dumps(one)) else one for one in chunks]
    choice = fold_stream(made)["choices"][0]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert not choice["message"].get("tool_calls")
    assert choice["finish_reason"] == "function_call"


def test_an_answer_without_a_call_stays_as_it_is() -> None:
    again = FunctionsAgain()
    for one in (chunk({"content": "x"}), chunk({}, "stop"), {"choices": []}, {"choices": [5]}, {"error": {}}):
        assert not again.concerns(orjson.dumps(one))
        assert again.change(one) == one
