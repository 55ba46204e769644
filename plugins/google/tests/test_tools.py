"""Tools, `tool_choice`, and Google's own tools beside the caller's functions."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.api import CallerFault

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
OLD, MID, NEW = "gemini-2.0-flash", "gemini-2.5-flash", "gemini-3-flash-preview"


def tool(name: str = "f", **function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **function}}


def test_functions(built: Any) -> None:
    tools = [tool("f", description="does", parameters=SCHEMA, responseJsonSchema={"type": "string"}), tool("g")]
    out, call = built({"tools": tools})
    assert out["tools"] == [
        {
            "functionDeclarations": [
                {
                    "name": "f",
                    "description": "does",
                    "parametersJsonSchema": SCHEMA,
                    "responseJsonSchema": {"type": "string"},
                },
                {"name": "g"},
            ]
        }
    ]
    assert "toolConfig" not in out
    assert call.dropped == []


def test_functions_of_older_models(built: Any) -> None:
    empty = {"type": "object", "properties": {}, "additionalProperties": False}
    out, _ = built({"tools": [tool("f", parameters=SCHEMA), tool("g", parameters=empty)]}, model=OLD)
    assert out["tools"][0]["functionDeclarations"] == [
        {
            "name": "f",
            "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "required": ["a"]},
        },
        {"name": "g"},
    ]


@pytest.mark.parametrize(
    ("choice", "config", "names"),
    [
        ("auto", {"mode": "AUTO"}, ["f", "g"]),
        ("none", {"mode": "NONE"}, ["f", "g"]),
        ("required", {"mode": "ANY"}, ["f", "g"]),
        ({"type": "function", "function": {"name": "g"}}, {"mode": "ANY", "allowedFunctionNames": ["g"]}, ["f", "g"]),
        ({"type": "function", "name": "g"}, {"mode": "ANY", "allowedFunctionNames": ["g"]}, ["f", "g"]),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [tool("g")]}},
            {"mode": "ANY", "allowedFunctionNames": ["g"]},
            ["f", "g"],
        ),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "g"}]},
            {"mode": "AUTO"},
            ["g"],
        ),
    ],
)
def test_choices(built: Any, choice: Any, config: Any, names: list[str]) -> None:
    out, call = built({"tools": [tool("f"), tool("g")], "tool_choice": choice})
    assert out["toolConfig"] == {"functionCallingConfig": config}
    assert [function["name"] for function in out["tools"][0]["functionDeclarations"]] == names
    assert call.dropped == []


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"tools": [tool()], "tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": [tool()], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
        ({"tools": [tool()], "tool_choice": {"type": "custom"}}, "tool_choice.type"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tools": [{"type": ["x"]}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [tool("f", parameters={"type": "string"})]}, "tools[0].function.parameters.type"),
        ({"tools": [tool("f", parameters=[1])]}, "tools[0].function.parameters"),
        ({"tools": {}}, "tools"),
        ({"web_search_options": 1}, "web_search_options"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(built: Any, body: Any, path: str) -> None:
    if body.get("tools") == {}:
        body = {"tools": {"a": 1}}
    with pytest.raises(CallerFault) as caught:
        built(body)
    assert caught.value.param == path


def test_strict_tools_are_validated_where_that_exists(built: Any) -> None:
    for model in (MID, NEW):
        out, call = built({"tools": [tool("f", parameters=SCHEMA, strict=True)]}, model=model)
        assert out["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}
        assert call.dropped == []
    _, call = built({"tools": [tool("f", strict=True)]}, model=OLD)
    assert call.dropped == ["tools[].function.strict"]
    out, call = built({"tools": [tool("f", strict=True)], "tool_choice": "required"}, model=OLD)
    assert out["toolConfig"]["functionCallingConfig"] == {"mode": "ANY"}
    assert call.dropped == []


def test_what_a_strict_tool_is_only_told_is_reported(built: Any) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "multipleOf": 5}}}
    _, call = built({"tools": [tool("f", parameters=schema, strict=True)]})
    assert call.dropped == ["tools[].function.parameters.multipleOf"]
    out, call = built({"tools": [tool("f", parameters=schema)]})
    assert call.dropped == []
    fitted = out["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"]
    assert fitted["properties"]["n"] == {"type": "integer", "description": "{multipleOf: 5}"}


def test_one_call_at_a_time_cannot_be_asked_for(built: Any) -> None:
    _, call = built({"tools": [tool()], "parallel_tool_calls": False})
    assert call.dropped == ["parallel_tool_calls"]
    for body in ({"tools": [tool()], "parallel_tool_calls": True}, {"parallel_tool_calls": False}):
        _, call = built(body, strict=True)
        assert call.dropped == []


@pytest.mark.parametrize("kind", ["web_search_2025_08_26", "web_search_preview_2025_03_11", "web_search_20250305"])
def test_searches_of_any_date_are_searches(built: Any, kind: str) -> None:
    out, _ = built({"tools": [{"type": kind}]})
    assert out["tools"] == [{"googleSearch": {}}]


def test_googles_own_tools(built: Any) -> None:
    tools = [
        {"type": "web_search"},
        {"type": "code_execution"},
        {"url_context": {}},
        {"type": "computer_use", "computer_use": {"environment": "ENVIRONMENT_BROWSER"}},
    ]
    out, call = built({"tools": tools})
    assert out["tools"] == [
        {"googleSearch": {}},
        {"codeExecution": {}},
        {"urlContext": {}},
        {"computerUse": {"environment": "ENVIRONMENT_BROWSER"}},
    ]
    assert call.dropped == []


def test_search_beside_functions(built: Any) -> None:
    body = {"tools": [tool()], "web_search_options": {}}
    out, call = built(body)
    assert out["tools"] == [{"functionDeclarations": [{"name": "f"}]}, {"googleSearch": {}}]
    assert out["toolConfig"] == {
        "functionCallingConfig": {"mode": "VALIDATED"},
        "includeServerSideToolInvocations": True,
    }
    assert call.dropped == []
    out, call = built(body, model=MID)
    assert out["tools"] == [{"functionDeclarations": [{"name": "f"}]}]
    assert call.dropped == ["web_search_options"]


def test_settings_of_the_search_that_google_does_not_have(built: Any) -> None:
    place = {"type": "approximate", "approximate": {"country": "DE"}}
    out, call = built({"web_search_options": {"search_context_size": "high", "user_location": place}})
    assert out["tools"] == [{"googleSearch": {}}]
    assert call.dropped == ["web_search_options.search_context_size", "web_search_options.user_location"]
    _, call = built({"web_search_options": {"search_context_size": "medium"}}, strict=True)
    assert call.dropped == []


def test_a_tool_configuration_in_googles_words_counts(built: Any) -> None:
    own = {"functionCallingConfig": {"mode": "ANY"}, "retrievalConfig": {"languageCode": "de"}}
    out, _ = built({"tools": [tool()], "tool_choice": "auto", "toolConfig": own})
    assert out["toolConfig"] == own
