"""What a provider reads of a request as its format, and names that some of them take for others."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import CallerFault
from gateway.wire.structure import fold, objects_of, path_of, refuse_other_spellings

SCHEMA = {"type": "object", "properties": {"Type": {"type": "string"}, "Model": {}}, "Content": 1}
TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}


@pytest.mark.parametrize(
    ("body", "path", "usual"),
    [
        ({"Messages": []}, "Messages", "messages"),
        ({"messages": [{"role": "user", "content": "hi", "contenT": "x"}]}, "messages[0].contenT", "content"),
        ({"messages": [{"content": [{"type": "text", "TEXT": "x"}]}]}, "messages[0].content[0].TEXT", "text"),
        ({"tools": [{"type": "function", "Function": {}}]}, "tools[0].Function", "function"),
        ({"tools": [{"function": {"name": "f", "Parameters": {}}}]}, "tools[0].function.Parameters", "parameters"),
        ({"stream_options": {"Include_Usage": True}}, "stream_options.Include_Usage", "include_usage"),
        ({"generationConfig": {"ServiceTier": "priority"}}, "generationConfig.ServiceTier", "serviceTier"),
        ({"any": {"thing": [[{"MAX_TOKENS": 1}]]}}, "any.thing[0][0].MAX_TOKENS", "max_tokens"),
    ],
)
def test_a_name_in_another_case_is_refused_wherever_it_stands(body: dict[str, Any], path: str, usual: str) -> None:
    with pytest.raises(CallerFault, match=f"is to be written '{usual}'") as told:
        refuse_other_spellings(body)
    assert (told.value.param, told.value.status) == (path, 400)


def test_two_spellings_of_one_member_must_say_the_same() -> None:
    refuse_other_spellings({"input": [{"type": "function_call", "call_id": "X", "callId": "X"}]})
    with pytest.raises(CallerFault, match="stands here as 'candidate_count' too") as told:
        refuse_other_spellings({"generationConfig": {"candidate_count": 1, "candidateCount": 8}})
    assert told.value.param == "generationConfig.candidateCount"
    with pytest.raises(CallerFault, match="too, with another value"):
        refuse_other_spellings({"a": [{"max-tokens": 1, "max_tokens": 2}]})


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [TOOL, {"name": "f", "input_schema": SCHEMA}, {"functionDeclarations": [{"parameters": SCHEMA}]}]},
        {"messages": [{"content": [{"type": "tool_use", "input": {"Content": {"Type": 1}, "max_Tokens": 2}}]}]},
        {
            "contents": [
                {"parts": [{"functionCall": {"args": {"Type": 1}}}, {"functionResponse": {"response": {"A": 1}}}]}
            ]
        },
        {"metadata": {"Team": "a", "User": {}}, "response_format": {"json_schema": {"schema": SCHEMA}}},
        {"tools": [{"type": "mcp", "headers": {"Authorization": "x", "Content-Type": "y"}}], "logit_bias": {"A": 1}},
        {"generationConfig": {"maxOutputTokens": 1, "thinkingConfig": {"thinkingBudget": 1}}, "extraThing": {"a": 1}},
    ],
)
def test_the_callers_own_words_and_the_formats_names_are_let_through(body: dict[str, Any]) -> None:
    refuse_other_spellings(body)


def test_objects_are_told_with_their_places() -> None:
    body = {"a": {"b": [{"c": {}}, 1, [{"d": 2}]]}, "metadata": {"x": {}}, "input": {"y": {}}, "z": [{"input": [{}]}]}
    places = sorted(path_of(place) for place, _ in objects_of(body))
    assert places == ["", "a", "a.b[0]", "a.b[0].c", "a.b[2][0]", "z[0]", "z[0].input[0]"]
    named = {"prompt": {"variables": {"Content": {}, "k": "v"}}}
    assert [path_of(place) for place, _ in objects_of(named)] == ["", "prompt", "prompt.variables.Content"]
    assert path_of(((None, "a"), 0), "b" * 999) == "a[0]." + "b" * 64
    assert {fold(name) for name in ("service_tier", "serviceTier", "Service-Tier")} == {"servicetier"}
