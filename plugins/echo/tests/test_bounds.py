"""What one request may cost the echo model is stated, whatever it asks for."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tollgate_echo.answer import compose
from tollgate_echo.embed import embed
from tollgate_echo.encode import completion, events
from tollgate_echo.tokens import count_prompt

from gateway.api import CallerFault
from gateway.testing.steps import assert_linear, count_steps


def asked(text: str = "Hi", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


def tool(name: str, schema: Any = None) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": schema or {"type": "object"}}}


WIDE = {"type": "array", "minItems": 100, "items": {"type": "array", "minItems": 100, "items": {"type": "string"}}}

DEAR: dict[str, dict[str, Any]] = {
    "many choices of a dear schema": asked(
        n=128, response_format={"type": "json_schema", "json_schema": {"schema": WIDE}}
    ),
    "many tools with dear schemas": asked(
        tool_choice="required",
        text="weather",
        tools=[tool(f"weather_{number}", {"properties": {"x": WIDE}, "required": ["x"]}) for number in range(2_000)],
        echo={"tools": [f"weather_{number}" for number in range(2_000)]},
    ),
    "one tool many times": asked(tools=[tool("f")], echo={"tools": ["f"] * 100_000}),
    "many texts": {"messages": [{"role": "user", "content": "a, " * 20_000}] * 200},
    "many results": {"messages": [{"role": "tool", "content": "r"}] * 5_000},
}


@pytest.mark.parametrize("name", DEAR)
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_has_a_stated_cost(name: str, stream: bool) -> None:
    body = {**DEAR[name], "stream": stream}

    def answer() -> None:
        try:
            made = compose(body, True)
        except CallerFault:
            return
        if stream:
            assert sum(1 for _ in events(made)) < 150_000
        else:
            completion(made)

    assert count_steps(answer) < 8_000_000


def test_the_arguments_of_many_calls_take_linear_work() -> None:
    def many(size: int) -> Any:
        tools = [
            tool(f"f{number}", {"properties": {"x": {"const": "y " * 50}}, "required": ["x"]}) for number in range(size)
        ]
        answer = compose(asked(tools=tools, echo={"tools": [f"f{number}" for number in range(size)]}), True)
        return lambda: completion(answer)

    assert_linear(many, 25)


def test_what_is_too_much_is_refused_by_name() -> None:
    for body, named in (
        (asked(n=2, echo={"tokens": 60_000}), "n"),
        (asked(echo={f"k{number}": 1 for number in range(100_000)}), "echo"),
        (asked(f"/echo text={'x' * 1_000_000}"), "echo"),
        (asked(echo={"delay": "9" * 1_000_000}), "echo.delay"),
    ):
        with pytest.raises(CallerFault) as caught:
            compose(body, True)
        assert caught.value.param == named
        assert len(str(caught.value)) < 300


def test_a_long_prompt_is_counted_by_its_length() -> None:
    short = count_prompt(asked("one two " * 1_000))
    assert short == 6 + 2_001
    many = {"messages": [{"role": "user", "content": "one two " * 1_000}] * 1_000}
    assert count_prompt(many) == pytest.approx(1_000 * 2_003, rel=0.05)
    assert count_steps(count_prompt, many) < 50_000


def test_embeddings_are_bounded() -> None:
    for body, named in (
        ({"input": "x" * 2_000_000}, "input"),
        ({"input": [["1"] * 1_000] * 2_000}, "input"),
        ({"input": ["x"] * 2_048, "dimensions": 4_096}, "dimensions"),
    ):
        with pytest.raises(CallerFault) as caught:
            embed(body, "echo")
        assert caught.value.param == named
    assert len(orjson.dumps(embed({"input": ["x"] * 2_048}, "echo"))) < 10_000_000
