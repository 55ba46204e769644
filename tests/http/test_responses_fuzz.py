"""A request with something hostile in any place is refused with a fault, or becomes two forms that JSON can say."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from gateway.errors import CallerFault
from gateway.responses.dialect import check_request
from gateway.testing import HOSTILE_VALUES
from gateway.wire.bridge.request import Abilities, chat_from_responses
from gateway.wire.responses.items import canonical_items
from gateway.wire.responses.native import native_request
from gateway.wire.responses.objects import new_response

PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
BODY: dict[str, Any] = {
    "model": "a/b",
    "input": [
        {"role": "user", "content": "hi"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x", "annotations": []}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "a"}, PICTURE]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "gw1.e30"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "y"},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "q"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            ],
        },
    ],
    "instructions": "x",
    "tools": [
        {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": True},
        {"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "lark", "definition": "a"}},
    ],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}, "verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "auto"},
    "include": ["reasoning.encrypted_content"],
    "metadata": {"a": "b"},
    "top_logprobs": 2,
    "stop": ["a"],
    "context_management": [{}],
    "conversation": {"id": "conv_1"},
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        yield from places(entry, (*path, key))


def with_value(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    body = copy.deepcopy(BODY)
    inner: Any = body
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return body


def both_forms(body: dict[str, Any]) -> None:
    check_request(body)
    items = canonical_items(body.get("input"))
    for able in (False, True):
        abilities = Abilities(custom_tools=able, allowed_tools=able)
        orjson.dumps(chat_from_responses(body, items, abilities=abilities).body)
    orjson.dumps(native_request(body, items)[0])
    orjson.dumps(new_response(body, response_id="resp_1", model="a/b", now=1))


def test_the_body_itself_is_sound() -> None:
    both_forms(BODY)


def is_json(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


HOSTILE = [value for value in HOSTILE_VALUES if is_json(value)]


@pytest.mark.parametrize("value", [*HOSTILE, "", "x", -1, {"type": "x"}, [{"type": "y"}]], ids=repr)
def test_something_hostile_in_any_place(value: Any) -> None:
    faults = []
    for path in places(BODY):
        try:
            both_forms(with_value(path, value))
        except CallerFault as fault:
            faults.append(fault)
    assert len(faults) > 5
    assert all(400 <= fault.status < 500 and fault.message for fault in faults)
