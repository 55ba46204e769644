"""What the parameters of chat are called at `POST /responses`.

`matrix_rows` is read by the generator of the documentation: a row says by which name a parameter of chat is given at
this door, and its check fails when that stops being true. `passed`: by the same name.
"""

from __future__ import annotations

from typing import Any

import pytest

from gateway.wire.bridge.request import Abilities, chat_from_responses
from gateway.wire.responses.items import canonical_items
from gateway.wire.responses.request import validate_responses

Json = dict[str, Any]

DOOR = "at /responses"


def hub_of(said: Json) -> Json:
    """The chat body of a request at this door."""
    body = {"model": "m", "input": "x", **said}
    validate_responses(body)
    return chat_from_responses(body, canonical_items(body["input"]), abilities=Abilities()).body


def row(parameter: str, said: Json, hub: Json, how: str = "mapped", note: str = "") -> dict[str, Any]:
    """A statement: `said` at this door is `hub` in chat. note: its name here."""

    def check() -> None:
        body = hub_of(said)
        assert {key: body.get(key) for key in hub} == hub

    return {"parameter": parameter, "provider": DOOR, "how": how, "note": note, "check": check}


TOOL = {"type": "function", "name": "f", "parameters": {}}
FORMAT = {"type": "json_schema", "name": "n", "schema": {}}
HUB_TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
SAME: Json = {
    "temperature": 0.5,
    "top_p": 0.5,
    "user": "u",
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "service_tier": "auto",
    "top_logprobs": 2,
}

matrix_rows: list[dict[str, Any]] = [
    *(row(name, {name: value}, {name: value}, "passed") for name, value in SAME.items()),
    row("messages", {"input": "Hi"}, {"messages": [{"role": "user", "content": "Hi"}]}, note="input, instructions"),
    row("max_completion_tokens", {"max_output_tokens": 99}, {"max_completion_tokens": 99}, note="max_output_tokens"),
    row("reasoning_effort", {"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}, note="reasoning.effort"),
    row("verbosity", {"text": {"verbosity": "low"}}, {"verbosity": "low"}, note="text.verbosity"),
    row(
        "response_format: json_schema",
        {"text": {"format": FORMAT}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}},
        note="text.format",
    ),
    row("tools", {"tools": [TOOL]}, {"tools": [HUB_TOOL]}, note="name and parameters stand beside type"),
    row("tool_choice", {"tools": [TOOL], "tool_choice": "required"}, {"tool_choice": "required"}, "passed"),
    row(
        "parallel_tool_calls",
        {"tools": [TOOL], "parallel_tool_calls": False},
        {"parallel_tool_calls": False},
        "passed",
    ),
    row("logprobs", {"include": ["message.output_text.logprobs"]}, {"logprobs": True}, note="an entry of include"),
]


@pytest.mark.parametrize("cell", matrix_rows, ids=lambda cell: str(cell["parameter"]))
def test_a_cell_is_true(cell: dict[str, Any]) -> None:
    cell["check"]()
