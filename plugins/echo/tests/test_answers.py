"""What the echo model says, calls and counts."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tollgate_echo.answer import compose
from tollgate_echo.encode import completion
from tollgate_echo.tokens import count_prompt, count_tokens, split_tokens

MOON = "Write a poem about the moon."


def ask(said: Any = MOON, **body: Any) -> dict[str, Any]:
    messages = said if isinstance(said, list) else [{"role": "user", "content": said}]
    answer: dict[str, Any] = orjson.loads(completion(compose({"model": "echo", "messages": messages, **body}, True)))
    return answer


def text(answer: dict[str, Any], choice: int = 0) -> str:
    content: str = answer["choices"][choice]["message"]["content"]
    return content


def function(name: str, properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


HOROSCOPE = function("get_horoscope", {"sign": {"type": "string", "description": "An astrological sign"}})
WEATHER = function("get_weather", {"city": {"type": "string"}})


def calls(answer: dict[str, Any]) -> list[tuple[str, Any]]:
    found = answer["choices"][0]["message"].get("tool_calls", [])
    return [(call["function"]["name"], orjson.loads(call["function"]["arguments"])) for call in found]


def test_it_repeats_what_was_said() -> None:
    answer = ask()
    assert text(answer).startswith(f'You said: "{MOON}"')
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer == ask()


def test_usage_follows_the_documented_rule() -> None:
    assert split_tokens("Hello, wonderful  world!\n") == ["Hello", ",", " wonderfu", "l", "  world", "!", "\n"]
    answer = ask("Hello, world!")
    assert answer["usage"]["prompt_tokens"] == 3 + 3 + 4
    assert answer["usage"]["completion_tokens"] == count_tokens(text(answer))
    assert answer["usage"]["total_tokens"] == 10 + count_tokens(text(answer))
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert count_tokens("x" * 100_000) == 25_000


def test_media_are_named_and_counted() -> None:
    parts = [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.jpg"}},
        {"type": "input_audio", "input_audio": {"data": "A" * 8000, "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
        {"type": "hologram"},
    ]
    messages = [{"role": "user", "content": parts}]
    assert "Look: [image] [audio] [file] [hologram]" in text(ask(messages))
    assert count_prompt({"messages": messages}) == 3 + 3 + 2 + 85 + 7 + 1


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens"])
def test_limits_end_with_length(key: str) -> None:
    answer = ask(**{key: 4})
    assert text(answer) == 'You said: "'
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 4


@pytest.mark.parametrize("stop", ["poem", ["nowhere", "poem", "moon"]])
def test_stop_sequences(stop: Any) -> None:
    answer = ask(stop=stop)
    assert text(answer) == 'You said: "Write a '
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_several_choices_and_seeds() -> None:
    answer = ask(n=3)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert len({text(answer, index) for index in range(3)}) == 3
    assert len({text(ask(seed=seed)) for seed in range(12)}) > 1


def test_logprobs() -> None:
    answer = ask(logprobs=True, top_logprobs=2)
    tokens = answer["choices"][0]["logprobs"]["content"]
    assert "".join(entry["token"] for entry in tokens) == text(answer)
    assert all(-1 < entry["logprob"] < 0 and len(entry["top_logprobs"]) == 2 for entry in tokens)
    assert bytes(tokens[0]["bytes"]).decode() == tokens[0]["token"]
    assert ask()["choices"][0]["logprobs"] is None


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("What is my horoscope? I am a Capricorn.", [("get_horoscope", {"sign": "Capricorn"})]),
        ("Weather in Lisbon?", [("get_weather", {"city": "Lisbon"})]),
        ("What's the weather like in Boston?", [("get_weather", {"city": "Boston"})]),
        ("weather in paris today?", [("get_weather", {"city": "paris"})]),
        ("Lisbon weather please", [("get_weather", {"city": "Lisbon"})]),
        ("Call get_weather for 'Rio de Janeiro'.", [("get_weather", {"city": "Rio de Janeiro"})]),
        (
            "The horoscope for a Leo, and the weather in New York",
            [("get_horoscope", {"sign": "Leo"}), ("get_weather", {"city": "New York"})],
        ),
        ("Hello, how are you?", []),
        ("Get me the time", []),
    ],
)
def test_functions_are_called_when_they_are_spoken_of(said: str, expected: Any) -> None:
    answer = ask(said, tools=[HOROSCOPE, WEATHER])
    assert calls(answer) == expected
    assert answer["choices"][0]["finish_reason"] == ("tool_calls" if expected else "stop")
    assert (answer["choices"][0]["message"]["content"] is None) == bool(expected)


def test_tool_choice() -> None:
    tools = [HOROSCOPE, WEATHER]
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_weather"}}]}
    named = {"type": "function", "function": {"name": "get_weather"}}
    assert calls(ask("horoscope!", tools=tools, tool_choice="none")) == []
    assert [name for name, _ in calls(ask("Hi", tools=tools, tool_choice="required"))] == ["get_horoscope"]
    assert [name for name, _ in calls(ask("weather", tools=tools, tool_choice="required"))] == ["get_weather"]
    assert [name for name, _ in calls(ask("Hi", tools=tools, tool_choice=named))] == ["get_weather"]
    limited = {"type": "allowed_tools", "allowed_tools": allowed}
    assert [name for name, _ in calls(ask("horoscope", tools=tools, tool_choice=limited))] == ["get_weather"]
    both = "horoscope and weather"
    assert len(calls(ask(both, tools=tools))) == 2
    assert len(calls(ask(both, tools=tools, parallel_tool_calls=False))) == 1


def test_tool_results_are_answered_in_text() -> None:
    messages = [
        {"role": "user", "content": "Weather in Lisbon and Porto?"},
        {"role": "assistant", "tool_calls": [{"id": "a"}, {"id": "b"}]},
        {"role": "tool", "tool_call_id": "a", "content": "Lisbon: sun"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "Porto: rain"}]},
    ]
    answer = ask(messages, tools=[WEATHER])
    assert text(answer) == "Lisbon: sun\nPorto: rain"
    assert calls(answer) == []


def test_directives_choose_functions_and_words() -> None:
    tools = [HOROSCOPE, WEATHER]
    assert [name for name, _ in calls(ask("Hi\n/echo tools=get_weather", tools=tools))] == ["get_weather"]
    assert calls(ask("weather", tools=tools, echo={"tools": "none"})) == []
    assert text(ask("/echo text='Just this.'")) == "Just this."
    answer = ask("/echo tokens=500")
    assert (answer["usage"]["completion_tokens"], count_tokens(text(answer))) == (500, 500)
    answer = ask("Hi\n/echo reasoning='Let me think.' cached=2")
    assert answer["choices"][0]["message"]["reasoning_content"] == "Let me think."
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 4
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 2
    assert '"Hi"' in text(answer)
    message = ask("/echo refusal='I will not.'")["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "I will not.")
    assert ask(echo={"finish": "content_filter"})["choices"][0]["finish_reason"] == "content_filter"
    assert "usage" not in ask(echo={"usage": "none"})


def test_odd_bodies_are_answered_all_the_same() -> None:
    for messages in (None, [], [None], [{"role": "user"}], [{"role": "user", "content": 7}], [{"content": [None]}]):
        body = {"model": "echo", "messages": messages, "tools": [None, {}], "stop": 3, "n": "x", "response_format": 1}
        assert orjson.loads(completion(compose(body, True)))["choices"]
