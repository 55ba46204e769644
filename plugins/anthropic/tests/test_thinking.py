"""`reasoning_effort` and `thinking`, and what gives way to what."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.api import CallerFault

ADD = {"type": "function", "function": {"name": "add"}}


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "config"),
    [
        ("claude-sonnet-4-5", "minimal", {"type": "enabled", "budget_tokens": 1024}, None),
        ("claude-sonnet-4-5", "medium", {"type": "enabled", "budget_tokens": 8192}, None),
        ("claude-haiku-4-5", "xhigh", {"type": "enabled", "budget_tokens": 32768}, None),
        ("claude-sonnet-4-5", "none", None, None),
        ("claude-opus-4-6", "minimal", {"type": "adaptive"}, "low"),
        ("claude-opus-4-6", "xhigh", {"type": "adaptive"}, "max"),
        ("claude-opus-4-7", "xhigh", {"type": "adaptive", "display": "summarized"}, "xhigh"),
        ("claude-opus-4-7", "none", None, None),
        ("claude-sonnet-5", "none", {"type": "disabled"}, None),
        ("claude-fable-5", "high", {"type": "adaptive", "display": "summarized"}, "high"),
    ],
)
def test_levels(built: Any, model: str, effort: str, thinking: Any, config: str | None) -> None:
    out, call = built({"reasoning_effort": effort}, model=model)
    assert out.get("thinking") == thinking
    assert out.get("output_config", {}).get("effort") == config
    assert call.dropped == []


@pytest.mark.parametrize(("room", "budget"), [(1025, 1024), (2000, 1600), (10_000, 8000), (64_000, 16384)])
def test_the_budget_leaves_room_for_the_answer(built: Any, room: int, budget: int) -> None:
    out, _ = built({"reasoning_effort": "high"}, max_output=room)
    assert out["thinking"]["budget_tokens"] == budget < out["max_tokens"] == room


@pytest.mark.parametrize(
    ("body", "model", "more"),
    [
        ({}, "claude-3-5-haiku-20241022", {}),
        ({}, "claude-sonnet-4-5", {"max_output": 1024}),
        ({"tools": [ADD], "tool_choice": "required"}, "claude-sonnet-4-5", {}),
    ],
)
def test_where_thinking_cannot_be_it_is_reported(built: Any, body: Any, model: str, more: Any) -> None:
    out, call = built({**body, "reasoning_effort": "low"}, model=model, **more)
    assert "thinking" not in out
    assert call.dropped == ["reasoning_effort"]


def test_a_model_that_always_thinks_cannot_be_stopped(built: Any) -> None:
    out, call = built({"reasoning_effort": "none"}, model="claude-fable-5")
    assert out["output_config"] == {"effort": "low"}
    assert call.dropped == ["reasoning_effort"]


def test_adaptive_thinking_goes_with_a_forced_tool(built: Any) -> None:
    out, call = built({"reasoning_effort": "low", "tools": [ADD], "tool_choice": "required"}, model="claude-opus-4-6")
    assert out["thinking"] == {"type": "adaptive"}
    assert call.dropped == []


def test_tool_calls_made_without_thinking_are_continued_without(built: Any) -> None:
    calls = [{"id": "a", "type": "function", "function": {"name": "add", "arguments": "{}"}}]
    messages: list[Any] = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
    ]
    out, call = built({"messages": messages, "tools": [ADD], "reasoning_effort": "low"})
    assert "thinking" not in out
    assert call.dropped == ["reasoning_effort"]
    details = [{"type": "anthropic.thinking", "text": "Hm", "signature": "s"}]
    messages[1] = {**messages[1], "reasoning_details": details}
    out, call = built({"messages": messages, "tools": [ADD], "reasoning_effort": "low"})
    assert out["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert call.dropped == []


def test_anthropics_own_setting_travels_on_and_wins(built: Any) -> None:
    own = {"type": "enabled", "budget_tokens": 3000}
    out, call = built({"thinking": own, "reasoning_effort": "low"})
    assert out["thinking"] == own
    assert call.dropped == ["reasoning_effort"]
    out, call = built({"thinking": {"type": "adaptive"}, "reasoning_effort": "low"}, model="claude-opus-4-6")
    assert out["output_config"] == {"effort": "low"}
    assert call.dropped == []


@pytest.mark.parametrize(("room", "sent"), [(5000, 3000), (3000, 2400), (1100, 1024), (1024, None)])
def test_a_budget_of_ones_own_fits_into_what_the_gateway_allows(built: Any, room: int, sent: int | None) -> None:
    out, call = built({"thinking": {"type": "enabled", "budget_tokens": 3000}}, max_output=room)
    assert out.get("thinking") == (sent and {"type": "enabled", "budget_tokens": sent})
    assert call.dropped == ([] if sent else ["thinking"])


def test_what_thinking_rules_out(built: Any) -> None:
    body = {"reasoning_effort": "low", "temperature": 0.2, "top_p": 0.5, "top_k": 3}
    out, call = built(body)
    assert not {"temperature", "top_p", "top_k"} & set(out)
    assert call.dropped == ["temperature", "top_p", "top_k"]
    out, call = built({"reasoning_effort": "low", "temperature": 1, "top_p": 0.97})
    assert out["top_p"] == 0.97
    assert call.dropped == []


def test_effort_and_a_schema_share_one_member(built: Any) -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    given = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    out, _ = built({"reasoning_effort": "low", "response_format": given}, model="claude-opus-4-6")
    assert out["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": schema}}


def test_an_unknown_level_is_refused(built: Any) -> None:
    with pytest.raises(CallerFault, match=r"^reasoning_effort: must be one of none, minimal"):
        built({"reasoning_effort": "heroic"})
