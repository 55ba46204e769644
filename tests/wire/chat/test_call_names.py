"""A name that comes in pieces is told whole, once, before its arguments."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest

from gateway.errors import Fault
from gateway.wire.chat.tally import ChatTally


def offered(*names: str) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": name}} for name in names]


def piece(name: str | None = None, arguments: str | None = None, index: int | None = 0, **more: Any) -> dict[str, Any]:
    inner = {"name": name, "arguments": arguments}
    function = {key: value for key, value in inner.items() if value is not None}
    return {"function": function, **({} if index is None else {"index": index}), **more}


def told(tools: Any, *pieces: dict[str, Any]) -> list[tuple[list[str], str]]:
    """The names, as they were told, and the arguments of each call. No arguments come before the name."""
    tally = ChatTally(1, "chatcmpl-9", 7, tools=tools)
    found: dict[int, tuple[list[str], list[str]]] = {}
    deltas: list[dict[str, Any]] = [{"tool_calls": [one]} for one in pieces]
    for delta in [*deltas, None]:
        choice = {"index": 0, "delta": delta or {}, "finish_reason": None if delta else "tool_calls"}
        event = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        for item in tally.add([orjson.dumps(event)]):
            assert not isinstance(item, Fault)
            chunk = orjson.loads(item) if isinstance(item, bytes) else item
            for call in chunk["choices"][0]["delta"].get("tool_calls", ()):
                begins = call["index"] not in found
                names, texts = found.setdefault(call["index"], ([], []))
                assert begins == ("name" in call["function"]) == ("id" in call)
                names += [call["function"]["name"]] if begins else []
                texts.append(call["function"].get("arguments", ""))
    return [(names, "".join(texts)) for names, texts in found.values()]


WEATHER = offered("get_weather", "get_time", "stop")
ARGUMENTS = (piece(None, '{"a"'), piece(None, ":1}"))
ONE = [(["get_weather"], '{"a":1}')]
FIRST = {"id": "c1", "type": "function"}


@pytest.mark.parametrize("tools", [WEATHER, offered("get", "get_weather")], ids=str)
def test_any_pieces_are_the_whole_name(tools: Any) -> None:
    name = "get_weather"
    for first, second in itertools.combinations(range(1, len(name)), 2):
        parts = (name[:first], name[first:second], name[second:])
        for again in ({}, FIRST):
            pieces = [piece(parts[0], "", **FIRST), *(piece(part, "", **again) for part in parts[1:])]
            assert told(tools, *pieces, *ARGUMENTS) == ONE


@pytest.mark.parametrize(
    "tools", [WEATHER, offered("get", "get_weather"), offered("other"), [None, {"type": "x"}, 5], None], ids=str
)
@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_whole_name_is_told_once_however_often_it_comes(tools: Any, times: int) -> None:
    assert told(tools, *[piece("get_weather", "", **FIRST)] * times, *ARGUMENTS) == ONE
    named = [piece("get_weather", text, **FIRST) for text in ('{"a"', ":1}")]
    assert told(tools, *named) == ONE


def test_all_of_the_name_so_far_is_not_added_to_it() -> None:
    growing = [piece(name, "", **FIRST) for name in ("get_", "get_weat", "get_weather", "get_weather")]
    assert told(WEATHER, *growing, *ARGUMENTS) == ONE


def test_letters_that_repeat_are_pieces_where_a_name_has_them_twice() -> None:
    assert told(offered("gogo"), piece("go", "", **FIRST), piece("go", ""), *ARGUMENTS) == [(["gogo"], '{"a":1}')]


def test_pieces_without_index_or_id_belong_to_the_call_whose_name_they_go_on() -> None:
    pieces = (piece("get_", "", None, **FIRST), piece("weather", "", None), piece(None, '{"a":1}', None))
    assert told(WEATHER, *pieces) == ONE


def test_all_of_the_name_so_far_without_index_or_id_is_of_the_same_call() -> None:
    growing = (piece("ge", "", None, **FIRST), *(piece(name, "", None) for name in ("get_wea", "get_weather")))
    assert told(WEATHER, *growing, piece(None, '{"a":1}', None)) == ONE


def test_two_names_at_one_index_are_two_calls_without_arguments_too() -> None:
    calls = (piece("stop", "", type="function"), piece("get_time", ""), piece(None, '{"a":1}'))
    assert told(WEATHER, *calls) == [(["stop"], "{}"), (["get_time"], '{"a":1}')]
    either = (piece("get", "", type="function"), piece("stop", ""))
    assert told(offered("get", "get_weather", "stop"), *either) == [(["get"], "{}"), (["stop"], "{}")]


def test_a_name_that_is_another_s_beginning_waits_for_the_arguments() -> None:
    both = offered("get", "get_weather")
    assert told(both, piece("get", "", **FIRST), *ARGUMENTS) == [(["get"], '{"a":1}')]
    assert told(both, piece("get", "", **FIRST)) == [(["get"], "{}")]


def test_calls_beside_each_other_keep_their_order() -> None:
    second = {"index": 1, "id": "c2", "type": "function"}
    calls = (piece("get_", "", **FIRST), piece("time", ""), piece("st", "", **second), piece("op", "", **second))
    assert told(WEATHER, *calls) == [(["get_time"], "{}"), (["stop"], "{}")]
    short = (piece("get", "", **FIRST), piece("stop", "", **second), piece(None, "{}", 1))
    assert told(offered("get", "get_x", "stop"), *short) == [(["get"], "{}"), (["stop"], "{}")]


def test_a_name_that_nobody_offered_is_told_as_it_came() -> None:
    assert told(WEATHER, piece("unheard_of", "", **FIRST), *ARGUMENTS) == [(["unheard_of"], '{"a":1}')]
    assert told(WEATHER, piece("get_", "", **FIRST), piece("money", ""), *ARGUMENTS) == [(["get_money"], '{"a":1}')]


def test_a_right_stream_passes_as_its_bytes() -> None:
    tally = ChatTally(1, "chatcmpl-9", 7, tools=WEATHER)
    for delta in ({"role": "assistant", "content": None}, {"tool_calls": [piece("get_time", "", **FIRST)]}):
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        event = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        raw = orjson.dumps(event)
        assert tally.add([raw]) == [raw]
