"""What the parameters of chat are called at `POST /messages`.

`matrix_rows` is read by the generator of the documentation: a row says by which name a parameter of chat is given at
this door, and its check fails when that stops being true. `passed`: by the same name.
"""

from __future__ import annotations

from typing import Any

import pytest
from tollgate_anthropic.inbound import MessagesDialect

from gateway.testing import make_call

Json = dict[str, Any]

DOOR = "at /messages"


def hub_of(said: Json) -> Json:
    """The chat body of a request at this door."""
    call = make_call()
    least = {"model": "test/model", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    MessagesDialect().open(call, {**least, **said}, {})
    return call.forms["chat"].body


def row(parameter: str, said: Json, hub: Json, how: str = "mapped", note: str = "") -> dict[str, Any]:
    """A statement: `said` at this door is `hub` in chat. note: its name here."""

    def check() -> None:
        body = hub_of(said)
        assert {key: body.get(key) for key in hub} == hub

    return {"parameter": parameter, "provider": DOOR, "how": how, "note": note, "check": check}


TOOL = {"name": "f", "input_schema": {"type": "object"}}
HUB_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
SCHEMA = {"type": "json_schema", "schema": {"type": "object"}}
ONE_AT_A_TIME = {"type": "auto", "disable_parallel_tool_use": True}
ANSWER = {"name": "answer", "schema": {"type": "object"}, "strict": False}

matrix_rows: list[dict[str, Any]] = [
    row("temperature", {"temperature": 0.5}, {"temperature": 0.5}, "passed"),
    row("top_p", {"top_p": 0.5}, {"top_p": 0.5}, "passed"),
    row("service_tier", {"service_tier": "auto"}, {"service_tier": "auto"}, "passed"),
    row("max_tokens", {"max_tokens": 9}, {"max_tokens": 9}, "passed"),
    row("stop", {"stop_sequences": ["a"]}, {"stop": ["a"]}, note="stop_sequences"),
    row("user", {"metadata": {"user_id": "u"}}, {"user": "u"}, note="metadata.user_id"),
    row(
        "reasoning_effort",
        {"output_config": {"effort": "low"}},
        {"reasoning_effort": "low"},
        note="output_config.effort, or thinking.budget_tokens",
    ),
    row(
        "response_format: json_schema",
        {"output_config": {"format": SCHEMA}},
        {"response_format": {"type": "json_schema", "json_schema": ANSWER}},
        note="output_config.format",
    ),
    row("tools", {"tools": [TOOL]}, {"tools": [HUB_TOOL]}, note="name, input_schema"),
    row(
        "tool_choice",
        {"tools": [TOOL], "tool_choice": {"type": "any"}},
        {"tool_choice": "required"},
        note="an object with a type",
    ),
    row(
        "parallel_tool_calls",
        {"tools": [TOOL], "tool_choice": ONE_AT_A_TIME},
        {"parallel_tool_calls": False},
        note="tool_choice.disable_parallel_tool_use",
    ),
    row(
        "web_search_options",
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"web_search_options": {}},
        note="a tool",
    ),
]


@pytest.mark.parametrize("cell", matrix_rows, ids=lambda cell: str(cell["parameter"]))
def test_a_cell_is_true(cell: dict[str, Any]) -> None:
    cell["check"]()
