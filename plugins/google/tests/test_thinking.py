"""`reasoning_effort` to budgets and levels, and `response_format`."""

from __future__ import annotations

from typing import Any

import pytest
from tollgate_google import Settings, create

from gateway.api import CallerFault, UpstreamReply
from gateway.testing import make_call, make_target

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "f"}}]


@pytest.mark.parametrize(
    ("model", "effort", "config", "dropped"),
    [
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}, []),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}, ["reasoning_effort"]),
        ("gemini-2.5-flash", "minimal", {"thinkingBudget": 1024, "includeThoughts": True}, []),
        ("gemini-2.5-flash", "medium", {"thinkingBudget": 8192, "includeThoughts": True}, []),
        ("gemini-2.5-flash", "xhigh", {"thinkingBudget": 24576, "includeThoughts": True}, []),
        ("gemini-2.5-pro", "xhigh", {"thinkingBudget": 32768, "includeThoughts": True}, []),
        ("gemini-3-pro-preview", "medium", {"thinkingLevel": "HIGH", "includeThoughts": True}, []),
        ("gemini-3-pro-preview", "none", {"thinkingLevel": "LOW"}, ["reasoning_effort"]),
        ("gemini-3.1-pro-preview", "medium", {"thinkingLevel": "MEDIUM", "includeThoughts": True}, []),
        ("gemini-3-flash-preview", "none", {"thinkingLevel": "MINIMAL"}, []),
        ("gemini-3.8-flash", "minimal", {"thinkingLevel": "LOW", "includeThoughts": True}, []),
        ("gemini-2.0-flash", "high", None, ["reasoning_effort"]),
        ("gemini-2.0-flash", "none", None, []),
        ("somebody-else", "high", None, ["reasoning_effort"]),
    ],
)
def test_effort(built: Any, model: str, effort: str, config: Any, dropped: list[str]) -> None:
    out, call = built({"reasoning_effort": effort}, model=model)
    assert out.get("generationConfig", {}).get("thinkingConfig") == config
    assert call.dropped == dropped


def test_a_budget_leaves_room_for_the_answer(built: Any) -> None:
    out, _ = built({"reasoning_effort": "high"}, model="gemini-2.5-flash", max_output=1000)
    assert out["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 800
    out, _ = built({"reasoning_effort": "high"}, model="gemini-2.5-pro", max_output=100)
    assert out["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 128


def test_thinking_in_googles_own_words(built: Any) -> None:
    own = {"thinking_budget": 77}
    for body in (
        {"thinkingConfig": own},
        {"thinking_config": own},
        {"generationConfig": {"thinkingConfig": own}},
        {"google": {"thinking_config": own}},
        {"extra_body": {"google": {"thinking_config": own}}},
    ):
        out, call = built(body, model="gemini-2.5-flash")
        assert out["generationConfig"] == {"thinkingConfig": own}
        assert call.dropped == []
    out, call = built({"thinkingConfig": own, "reasoning_effort": "low"})
    assert out["generationConfig"]["thinkingConfig"] == {**own, "includeThoughts": True}
    assert call.dropped == ["reasoning_effort"]


def test_an_unknown_effort_is_refused(built: Any) -> None:
    for effort in ("hard", 3, ["low"]):
        with pytest.raises(CallerFault) as caught:
            built({"reasoning_effort": effort})
        assert caught.value.param == "reasoning_effort"


def test_the_operator_may_ask_for_thoughts_always() -> None:
    provider = create("x", Settings(api_key="k", include_thoughts=True))
    for model, expected in (("gemini-2.5-flash", True), ("gemini-2.0-flash", False)):
        request = provider.prepare(make_call(), make_target(model)).request
        assert (b'"includeThoughts":true' in request.body) is expected


def test_json_natively(built: Any) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}
    out, call = built({"response_format": wanted})
    assert out["generationConfig"] == {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}
    assert call.dropped == []
    out, _ = built({"response_format": wanted, "tools": TOOLS})
    assert out["generationConfig"]["responseJsonSchema"] == SCHEMA
    out, _ = built({"response_format": wanted}, model="gemini-2.0-flash")
    assert out["generationConfig"]["responseSchema"]["type"] == "OBJECT"
    out, _ = built({"response_format": {"type": "json_object"}})
    assert out["generationConfig"] == {"responseMimeType": "application/json"}
    out, _ = built({"response_format": {"type": "text"}})
    assert "generationConfig" not in out


def test_json_beside_tools_of_older_models_is_asked_for_in_words(built: Any) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    out, call = built({"response_format": wanted, "tools": TOOLS}, model="gemini-2.5-flash")
    assert "generationConfig" not in out
    assert '"properties"' in out["systemInstruction"]["parts"][-1]["text"]
    assert call.dropped == ["response_format"]
    out, call = built({"response_format": {"type": "json_object"}, "tools": TOOLS}, model="gemini-2.5-flash")
    assert "JSON" in out["systemInstruction"]["parts"][-1]["text"]
    assert call.dropped == []


def test_a_fence_around_json_that_was_asked_for_in_words_is_taken_off() -> None:
    provider = create("x", Settings(api_key="k"))
    call = make_call({"messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_object"}})
    call.body["tools"] = TOOLS
    answer = b'{"candidates":[{"content":{"parts":[{"text":"```json\\n{\\"a\\":1}\\n```"}]},"finishReason":"STOP"}]}'
    plain = make_call({"messages": [{"role": "user", "content": "x"}]})
    for asked, begins in ((plain, "```"), (call, "{")):
        reader = provider.prepare(asked, make_target("gemini-2.5-flash")).reader
        said = reader.read_reply(UpstreamReply(200, {}, answer)).body["choices"][0]["message"]["content"]
        assert said.startswith(begins)
    assert said == '{"a":1}'


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ("json", "response_format"),
        ({"type": "xml"}, "response_format.type"),
        ({"type": "json_schema"}, "response_format.json_schema"),
        ({"type": "json_schema", "json_schema": {"schema": [1]}}, "response_format.json_schema.schema"),
    ],
)
def test_formats_that_make_no_sense(built: Any, wanted: Any, path: str) -> None:
    with pytest.raises(CallerFault) as caught:
        built({"response_format": wanted})
    assert caught.value.param == path


def test_what_a_strict_schema_is_only_told_is_reported(built: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    for strict, dropped in ((True, ["response_format.json_schema.schema.uniqueItems"]), (False, [])):
        wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": strict}}
        assert built({"response_format": wanted})[1].dropped == dropped
