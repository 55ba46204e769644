"""Names of functions: changed on the way out, and the caller's own on the way back, wherever they stand."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.wire.tool_names import (
    COMMON_NAMES,
    fresh_name,
    plan_chat,
    plan_responses,
    rename_chat_answer,
    rename_chat_request,
    rename_responses_answer,
    rename_responses_request,
)

Json = dict[str, Any]
LONG = "mcp." + "x" * 80


def tool(name: str) -> Json:
    return {"type": "function", "function": {"name": name, "parameters": {}}}


def call(name: str, **more: Any) -> Json:
    return {"id": "a", "type": "function", "function": {"name": name, "arguments": "{}"}, **more}


@pytest.mark.parametrize("own", ["1abc", "server.tool", "a:b", "x" * 128, "\u00fc\u00fc\u00fc"])
def test_a_new_name_suits_every_rule_and_is_always_the_same(own: str) -> None:
    made = fresh_name(own, lambda name: False)
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{2,63}", made)
    assert made == fresh_name(own, lambda name: False)


def test_names_by_the_rule_are_left_alone() -> None:
    assert plan_chat({"messages": [], "tools": [tool("f"), tool("x" * 64)]}, COMMON_NAMES) is None
    assert plan_responses({"input": "x", "tools": [{"type": "function", "name": "f"}]}, COMMON_NAMES) is None


def test_a_chat_request_is_renamed_wherever_a_name_stands() -> None:
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [tool(LONG), {"name": LONG}]}}
    body: Json = {
        "tools": [tool(LONG), tool("f"), {"type": "custom", "custom": {"name": LONG}}],
        "functions": [{"name": LONG}],
        "function_call": {"name": LONG},
        "tool_choice": allowed,
        "messages": [
            {"role": "user", "content": LONG, "name": "a.b"},
            {"role": "assistant", "tool_calls": [call(LONG)], "function_call": {"name": LONG, "arguments": ""}},
            {"role": "tool", "tool_call_id": "a", "name": LONG, "content": "r"},
        ],
    }
    plan = plan_chat(body, COMMON_NAMES)
    assert plan is not None
    (sent,) = plan.sent.values()
    out = rename_chat_request(body, plan.forth)
    told = repr(out).replace(repr(LONG), "", 1)  # what the user said stays
    assert LONG not in told
    assert told.count(sent) == repr(body).count(LONG) - 1
    assert out["messages"][0] is body["messages"][0]
    assert rename_chat_request(out, plan.restore) == body


def test_a_choice_of_one_tool_is_renamed() -> None:
    for choice in (tool(LONG), {"type": "custom", "custom": {"name": LONG}}, {"type": "function", "name": LONG}):
        plan = plan_chat({"tool_choice": choice}, COMMON_NAMES)
        assert plan is not None
        assert LONG not in repr(rename_chat_request({"tool_choice": choice}, plan.forth))


def test_what_the_provider_runs_is_called_as_it_says() -> None:
    search = {"type": "builtin_function", "function": {"name": "$web_search"}}
    used = call("$web_search", type="builtin_function")
    result = {"role": "tool", "name": "$web_search", "content": "r"}
    body = {"tools": [search], "messages": [{"role": "assistant", "tool_calls": [used]}, result]}
    assert plan_chat(body, COMMON_NAMES) is None


def test_a_new_name_is_nobody_elses() -> None:
    usual = fresh_name("a.b", lambda name: False)
    for other in (tool(usual), tool("a:b")):
        plan = plan_chat({"tools": [other, tool("a.b")]}, COMMON_NAMES)
        assert plan is not None
        names = {plan.forth(name) for name in (other["function"]["name"], "a.b")}
        assert len(names) == 2
    assert plan_chat({"tools": [tool(usual), tool("a.b")]}, COMMON_NAMES).sent["a.b"] != usual  # type: ignore[union-attr]


@pytest.mark.parametrize("place", ["message", "delta"])
def test_a_chat_answer_has_the_callers_names(place: str) -> None:
    plan = plan_chat({"tools": [tool(LONG)]}, COMMON_NAMES)
    assert plan is not None
    sent = plan.sent[LONG]
    said = {"content": sent, "tool_calls": [call(sent, type=None), {"index": 1, "function": {"arguments": "x"}}]}
    out = rename_chat_answer({"choices": [{"index": 0, place: said}]}, plan.restore)
    found = out["choices"][0][place]
    assert found["tool_calls"][0]["function"]["name"] == LONG
    assert (found["content"], found["tool_calls"][1]) == (sent, said["tool_calls"][1])


@pytest.mark.parametrize("odd", [None, [], "x", [None], [{"delta": None}], [{"delta": {"tool_calls": "x"}}], [{}]])
def test_an_odd_answer_passes(odd: Any) -> None:
    assert rename_chat_answer({"choices": odd}, str.upper) == {"choices": odd}


def test_an_odd_request_passes() -> None:
    """Whatever nobody checks, such as the members of a tool of a provider's own."""
    body = {"tools": [{"type": "x", "name": {"a": 1}}], "messages": [{"role": "tool", "name": [], "content": "b"}]}
    assert rename_chat_request(body, str.upper) == body
    item = {"type": {}, "name": "a"}
    assert rename_responses_answer({"item": item}, str.upper) == {"item": item}


def test_responses_are_renamed_wherever_a_name_stands() -> None:
    function = {"type": "function", "name": LONG, "parameters": {}}
    body: Json = {
        "tools": [function, {"type": "namespace", "name": "a.b", "tools": [function]}, {"type": "mcp", "name": "c.d"}],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": LONG}]},
        "input": [
            {"role": "user", "content": LONG},
            {"type": "function_call", "call_id": "a", "name": LONG, "arguments": "{}"},
            {"type": "custom_tool_call", "call_id": "b", "name": LONG, "input": ""},
            {"type": "tool_search_output", "tools": [function]},
            {"type": "mcp_call", "name": "e.f"},
        ],
    }
    plan = plan_responses(body, COMMON_NAMES)
    assert plan is not None
    assert list(plan.sent) == [LONG]
    out = rename_responses_request(body, plan.forth)
    assert repr(out).count(LONG) == 1
    assert rename_responses_request(out, plan.restore) == body
    item = {"type": "function_call", "name": plan.sent[LONG], "arguments": "{}"}
    whole = {"output": [item], "tools": out["tools"], "tool_choice": out["tool_choice"]}
    for event in (
        whole,
        {"type": "response.completed", "response": whole},
        {"type": "response.output_item.done", "item": item},
        {"type": "response.function_call_arguments.done", "name": plan.sent[LONG], "arguments": "{}"},
    ):
        restored = rename_responses_answer(event, plan.restore)
        assert plan.sent[LONG] not in repr(restored)
        assert repr(restored).count(LONG) == repr(event).count(plan.sent[LONG])
