"""Tool definitions, tool_choice, parallel calls and web search."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.api import CallerFault

SCHEMA = {"type": "object", "properties": {"a": {"$ref": "#/$defs/N"}}, "$defs": {"N": {"type": ["integer", "null"]}}}


def function(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": SCHEMA, **more}}


ADD, MULTIPLY = function("add"), function("multiply")


def test_definitions(built: Any) -> None:
    mark = {"type": "ephemeral"}
    own = {"type": "web_fetch_20250910", "name": "web_fetch"}
    out, call = built(
        {
            "tools": [
                function("add", description="Adds.", strict=True),
                {**function("hidden", defer_loading=True, strict=False), "cache_control": mark},
                {"type": "function", "function": {"name": "now"}},
                {"type": "function", "function": {"name": "open", "parameters": {"properties": {}}}},
                own,
            ]
        }
    )
    assert out["tools"] == [
        {"name": "add", "description": "Adds.", "input_schema": SCHEMA, "strict": True},
        {"name": "hidden", "input_schema": SCHEMA, "defer_loading": True, "cache_control": mark},
        {"name": "now", "input_schema": {"type": "object", "properties": {}}},
        {"name": "open", "input_schema": {"type": "object", "properties": {}}},
        own,
    ]
    assert "tool_choice" not in out
    assert call.dropped == []


def test_alternatives_at_the_top_of_a_schema_are_refused_there(built: Any) -> None:
    one, other = ({"properties": {name: {"type": "string"}}, "required": [name]} for name in "ab")
    out, _ = built({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"oneOf": [one, other]}}}]})
    schema = out["tools"][0]["input_schema"]
    assert (schema["type"], schema["properties"]) == ("object", {"a": {"type": "string"}, "b": {"type": "string"}})
    assert not schema.keys() & {"oneOf", "required"}


def test_strict_is_reported_where_a_model_cannot_keep_it(built: Any) -> None:
    out, call = built({"tools": [function("add", strict=True)]}, model="claude-sonnet-4-0")
    assert "strict" not in out["tools"][0]
    assert call.dropped == ["tools[].function.strict"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "multiply"}}, {"type": "tool", "name": "multiply"}),
        ({"type": "tool", "name": "add"}, {"type": "tool", "name": "add"}),
        ({"type": "any", "disable_parallel_tool_use": True}, {"type": "any", "disable_parallel_tool_use": True}),
    ],
)
def test_choices(built: Any, choice: Any, expected: dict[str, Any]) -> None:
    out, _ = built({"tools": [ADD, MULTIPLY], "tool_choice": choice})
    assert out["tool_choice"] == expected
    assert len(out["tools"]) == 2


@pytest.mark.parametrize(("mode", "kind"), [("auto", "auto"), ("required", "any")])
def test_allowed_tools_cut_down_the_list(built: Any, mode: str, kind: str) -> None:
    allowed = {"mode": mode, "tools": [{"type": "function", "function": {"name": "multiply"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    out, _ = built({"tools": [ADD, MULTIPLY], "tool_choice": choice})
    assert out["tool_choice"] == {"type": kind}
    assert [tool["name"] for tool in out["tools"]] == ["multiply"]


def test_a_model_that_cannot_be_forced(built: Any) -> None:
    out, call = built({"tools": [ADD, MULTIPLY], "tool_choice": "required"}, model="claude-fable-5-1")
    assert out["tool_choice"] == {"type": "auto"}
    assert call.dropped == ["tool_choice"]
    choice = {"type": "function", "function": {"name": "add"}}
    out, _ = built({"tools": [ADD, MULTIPLY], "tool_choice": choice}, model="claude-fable-5-1")
    assert [tool["name"] for tool in out["tools"]] == ["add"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"tools": [ADD]}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"tools": [ADD], "tool_choice": "required"}, {"type": "any", "disable_parallel_tool_use": True}),
        ({"tools": [ADD], "tool_choice": "none"}, {"type": "none"}),
        ({}, None),
    ],
)
def test_one_call_at_a_time(built: Any, body: dict[str, Any], expected: dict[str, Any] | None) -> None:
    out, _ = built({**body, "parallel_tool_calls": False})
    assert out.get("tool_choice") == expected
    out, _ = built({**body, "parallel_tool_calls": True})
    assert "disable_parallel_tool_use" not in out.get("tool_choice", {})


@pytest.mark.parametrize("kind", ["web_search_2025_08_26", "web_search_preview_2025_03_11", "web_search_preview"])
def test_openais_searches_of_any_date_are_searches(built: Any, kind: str) -> None:
    out, _ = built({"tools": [{"type": kind}]})
    assert out["tools"] == [{"type": "web_search_20250305", "name": "web_search", "max_uses": 5}]


def test_web_search(built: Any) -> None:
    place = {"type": "approximate", "approximate": {"country": "DE", "city": "Bonn", "region": None}}
    out, call = built(
        {
            "tools": [ADD],
            "web_search_options": {"search_context_size": "low", "user_location": place, "max_uses": 2, "extra": 1},
        }
    )
    assert out["tools"][1] == {
        "type": "web_search_20250305",
        "name": "web_search",
        "max_uses": 2,
        "user_location": {"type": "approximate", "country": "DE", "city": "Bonn"},
    }
    assert call.dropped == ["web_search_options.extra"]
    out, _ = built({"tools": [{"type": "web_search", "filters": {"allowed_domains": ["example.com"]}}]})
    assert out["tools"] == [
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 5, "allowed_domains": ["example.com"]}
    ]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"tools": 7}, "tools"),
        ({"tools": [7]}, "tools[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}]},
            "tools[0].function.parameters.type",
        ),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [ADD], "tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": [ADD], "tool_choice": {"type": "mcp"}}, "tool_choice.type"),
        (
            {"tools": [ADD], "tool_choice": {"type": "function", "function": {"name": "sub"}}},
            "tool_choice.function.name",
        ),
        (
            {"tools": [ADD], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": [{"name": "x"}]}}},
            "tool_choice.allowed_tools.tools",
        ),
        ({"web_search_options": {"search_context_size": "huge"}}, "web_search_options.search_context_size"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(built: Any, body: dict[str, Any], path: str) -> None:
    with pytest.raises(CallerFault) as caught:
        built(body)
    assert caught.value.param == path
