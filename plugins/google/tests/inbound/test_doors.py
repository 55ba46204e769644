"""What the parameters of chat are called at Gemini's `generateContent`.

`matrix_rows` is read by the generator of the documentation: a row says by which name a parameter of chat is given at
this door, and its check fails when that stops being true. `passed`: by the same name.
"""

from __future__ import annotations

from typing import Any

import pytest
from tollgate_google.inbound import GenerateDialect

from gateway.testing import make_call

Json = dict[str, Any]

DOOR = "at generateContent"


def hub_of(said: Json) -> Json:
    """The chat body of a request at this door."""
    call = make_call()
    body = {"contents": [{"role": "user", "parts": [{"text": "x"}]}], **said}
    GenerateDialect().open(call, body, {"model": "test/model", "method": "generateContent"})
    return call.body


def row(parameter: str, said: Json, hub: Json, how: str = "mapped", note: str = "") -> dict[str, Any]:
    """A statement: `said` at this door is `hub` in chat. note: its name here."""

    def check() -> None:
        body = hub_of(said)
        assert {key: body.get(key) for key in hub} == hub

    return {"parameter": parameter, "provider": DOOR, "how": how, "note": note, "check": check}


TOOLS = [{"functionDeclarations": [{"name": "f"}]}]
SCHEMA = {"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT"}}
ANSWER = {"name": "answer", "schema": {"type": "object"}, "strict": False}
CONFIG: tuple[tuple[str, Any, str], ...] = (
    ("temperature", 0.5, "temperature"),
    ("top_p", 0.5, "topP"),
    ("max_tokens", 9, "maxOutputTokens"),
    ("stop", ["a"], "stopSequences"),
    ("n", 2, "candidateCount"),
    ("seed", 3, "seed"),
    ("presence_penalty", 1, "presencePenalty"),
    ("frequency_penalty", 1, "frequencyPenalty"),
    ("logprobs", True, "responseLogprobs"),
)

matrix_rows: list[dict[str, Any]] = [
    *(
        row(name, {"generationConfig": {theirs: value}}, {name: value}, note=f"generationConfig.{theirs}")
        for name, value, theirs in CONFIG
    ),
    row(
        "reasoning_effort",
        {"generationConfig": {"thinkingConfig": {"thinkingLevel": "HIGH"}}},
        {"reasoning_effort": "high"},
        note="generationConfig.thinkingConfig",
    ),
    row(
        "response_format: json_schema",
        {"generationConfig": SCHEMA},
        {"response_format": {"type": "json_schema", "json_schema": ANSWER}},
        note="generationConfig.responseSchema",
    ),
    row(
        "tools",
        {"tools": TOOLS},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        note="functionDeclarations",
    ),
    row(
        "tool_choice",
        {"tools": TOOLS, "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
        {"tool_choice": "required"},
        note="toolConfig.functionCallingConfig",
    ),
    row("web_search_options", {"tools": [{"googleSearch": {}}]}, {"web_search_options": {}}, note="googleSearch"),
]


@pytest.mark.parametrize("cell", matrix_rows, ids=lambda cell: str(cell["parameter"]))
def test_a_cell_is_true(cell: dict[str, Any]) -> None:
    cell["check"]()
