"""Members of a chat request, as plugins read them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from gateway.errors import CallerFault
from gateway.wire.chat.members import allowed_tools_of, arguments_json, arguments_of, output_limit_of, stops_of


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, {}),
        ("", {}),
        ("null", {}),
        ({"a": 1}, {"a": 1}),
        ('{"a": [1]}', {"a": [1]}),
        ("{", {"INVALID_JSON": "{"}),
        ("[]", {"INVALID_JSON": "[]"}),
        ('{"a": ', {"INVALID_JSON": '{"a": '}),
    ],
)
def test_arguments(given: Any, read: dict[str, Any]) -> None:
    assert arguments_of(given, "x") == read


def test_the_digits_of_arguments_are_kept() -> None:
    assert orjson.dumps(arguments_of('{"id":12345678901234567890123}', "x")) == b'{"id":12345678901234567890123}'


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ('{"a": 1 }', '{"a": 1 }'),
        ('{"id":12345678901234567890123}', '{"id":12345678901234567890123}'),
        ({"a": 1}, '{"a":1}'),
        ('{"a":"x\ny"}', '{"a":"x\\ny"}'),
        (' {"a":1}', '{"a":1}'),
        ('{"a":', '{"INVALID_JSON":"{\\"a\\":"}'),
        ('"a"', '{"INVALID_JSON":"\\"a\\""}'),
        ("", "{}"),
        ("null", "{}"),
        (None, "{}"),
    ],
)
def test_arguments_as_json(given: Any, text: str) -> None:
    assert arguments_json(given, "x") == text


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ({}, None),
        ({"max_tokens": None}, None),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7, "max_tokens": 5}, 5),
        ({"max_completion_tokens": 3, "max_tokens": 5}, 3),
    ],
)
def test_output_limits(body: dict[str, Any], limit: int | None) -> None:
    assert output_limit_of(body) == limit


@pytest.mark.parametrize(
    ("body", "stops"),
    [({}, []), ({"stop": None}, []), ({"stop": "a"}, ["a"]), ({"stop": []}, []), ({"stop": ["a", "b"]}, ["a", "b"])],
)
def test_stops(body: dict[str, Any], stops: list[str]) -> None:
    assert stops_of(body) == stops


def test_allowed_tools_in_both_forms() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}, {"type": "function", "name": "g"}]
    assert allowed_tools_of({"type": "allowed_tools", "mode": "required", "tools": tools}) == (True, ["f", "g"])
    assert allowed_tools_of({"type": "allowed_tools", "allowed_tools": {"tools": tools[:1]}}) == (False, ["f"])


@pytest.mark.parametrize(
    ("read", "param"),
    [
        (lambda: arguments_json([], "x.arguments"), "x.arguments"),
        (lambda: arguments_of(3, "x.arguments"), "x.arguments"),
        (lambda: output_limit_of({"max_tokens": 0}), "max_tokens"),
        (lambda: output_limit_of({"max_completion_tokens": True}), "max_completion_tokens"),
        (lambda: output_limit_of({"max_completion_tokens": 5, "max_tokens": 2.5}), "max_tokens"),
        (lambda: stops_of({"stop": 3}), "stop"),
        (lambda: stops_of({"stop": ["a", 3]}), "stop[1]"),
        (lambda: allowed_tools_of({"allowed_tools": []}), "tool_choice.allowed_tools"),
        (lambda: allowed_tools_of({"tools": None}), "tool_choice.allowed_tools.tools"),
        (lambda: allowed_tools_of({"tools": [{"name": "a"}, 3]}), "tool_choice.allowed_tools.tools[1]"),
        (lambda: allowed_tools_of({"tools": [{}]}), "tool_choice.allowed_tools.tools[0].function.name"),
    ],
)
def test_what_is_wrong_is_named(read: Callable[[], object], param: str) -> None:
    with pytest.raises(CallerFault) as caught:
        read()
    assert caught.value.param == param
    assert caught.value.message.startswith(f"{param}: must be ")
