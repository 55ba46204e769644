"""Bounds and guesses of token counts."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.tokens import (
    BOUND,
    EXPECTED,
    Weights,
    bound_text_tokens,
    estimate_input_tokens,
    estimate_output_tokens,
    estimate_tokens,
    text_bytes,
)


def only(**weights: float) -> Weights:
    """Weights that count one thing."""
    zero: dict[str, Any] = {field.name: 0 for field in dataclasses.fields(Weights)}
    return Weights(**{**zero, **weights})


def user(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1000}}
LOW = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}
FILE = {"type": "file", "file": {"file_data": "A" * 400, "filename": "abc"}}
CALL = {"id": "1234", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}


@pytest.mark.parametrize(
    ("body", "weights", "tokens"),
    [
        ({"messages": [{"role": "user", "content": "abc"}]}, only(text=1), 3),
        ({"messages": [{"role": "user", "content": "日本é"}]}, only(text=1), 8),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, only(text=1), 3),
        ({"messages": [{"role": "user", "content": "abc", "name": "de"}]}, only(text=1), 5),
        ({"messages": [{"role": "tool", "content": "abc", "tool_call_id": "1234"}]}, only(text=1), 7),
        ({"messages": [{"role": "user", "content": "a"}] * 3}, only(message=1), 3),
        ({"messages": [{"role": "user", "content": "a"}] * 3}, only(base=1), 1),
        (user({"type": "text", "text": "abc"}, {"type": "text", "text": "é"}), only(text=1), 5),
        (user({"type": "text", "text": "abc"}, PICTURE), only(message=1), 3),
        (user(PICTURE, PICTURE, LOW), only(image=1), 2),
        (user(PICTURE, PICTURE, LOW), only(image_low=1), 1),
        (user(PICTURE), only(text=1), 0),
        (user({"type": "input_audio", "input_audio": {"data": "A" * 400, "format": "wav"}}), only(audio=1), 300),
        (user(FILE), only(file=1), 300),
        (user(FILE), only(file_least=1), 1),
        (user(FILE), only(text=1), 3),
        (user({"type": "file", "file": {"file_id": "x"}}), only(file_reference=1), 1),
        (user({"type": "file", "file": {"file_data": "https://example.com/x"}}), only(file_reference=1), 1),
        (user({"type": "video_url", "video_url": {"url": "https://example.com/x"}}), only(file_reference=1), 1),
        (user({"type": "document_url", "document_url": "https://example.com/x"}), only(file_reference=1), 1),
        (user({"type": "thinking", "thinking": "hm"}), only(file_reference=1), 0),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, only(file_reference=1), 1),
        ({"messages": [{"role": "assistant", "content": None, "tool_calls": [CALL, CALL]}]}, only(message=1), 3),
        ({"tools": [{"type": "function"}] * 3}, only(tool=1), 3),
        ({"tools": [{"type": "function"}] * 3, "functions": [{"name": "f"}]}, only(tools_base=1), 1),
        ({"tools": []}, only(tools_base=1), 0),
        ({"tools": [{"a": "b"}]}, only(text=1), len('[{"a":"b"}]')),
        ({"web_search_options": {}}, only(web_search=1), 1),
        ({"response_format": {"a": 1}}, only(text=1), len('{"a":1}')),
        ({"prediction": {"content": "x" * 50}}, only(text=0.5), 32),
        ({"prediction": {"content": "x" * 51}}, only(text=0.5), 33),
        (
            {"documents": ["abc"], "system": "de", "temperature": 1, "user": "nobody", "metadata": {"a": "b"}},
            only(text=1),
            9,
        ),
        ({}, only(text=1), 0),
    ],
)
def test_what_is_counted(body: dict[str, Any], weights: Weights, tokens: int) -> None:
    assert bound_text_tokens(body, weights) == tokens


def test_a_tool_call_counts_all_its_text() -> None:
    body = {"messages": [{"role": "assistant", "content": None, "tool_calls": [CALL]}]}
    assert bound_text_tokens(body, only(text=1)) >= len("1234f") + len('{"a":1}')


def test_defaults() -> None:
    body = {"messages": [{"role": "user", "content": "Hello, how are you?"}]}
    assert bound_text_tokens(body) == 128 + 16 + 19
    assert estimate_input_tokens(body) == 3 + 4 + 5
    assert all(getattr(BOUND, name.name) >= getattr(EXPECTED, name.name) for name in dataclasses.fields(Weights))
    assert [estimate_tokens(n) for n in (-1, 0, 1, 4, 5)] == [0, 0, 1, 1, 2]
    assert text_bytes("aé日\U0001f600") == 1 + 2 + 3 + 4


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        ({"role": "assistant", "content": "x" * 40}, 10),
        ({"role": "assistant", "content": "x" * 40, "reasoning_content": "y" * 40, "refusal": "z" * 40}, 30),
        ({"role": "assistant", "content": None}, 0),
        ({"role": "assistant", "content": "x"}, 1),
        ({"role": "assistant", "content": "", "reasoning": "x" * 40, "reasoning_content": "x" * 40}, 10),
        ({"role": "assistant", "content": "", "tool_calls": [CALL, None], "images": ["A" * 4000]}, 4 + 2),
        ({"content": "", "tool_calls": [{"type": "custom", "custom": {"name": "f" * 8, "input": "x" * 40}}]}, 4 + 12),
        (
            {"role": "assistant", "function_call": CALL["function"], "audio": {"transcript": "x" * 40, "data": "A"}},
            4 + 12,
        ),
        ({"content": [{"type": "text", "text": "x" * 8}, {"type": "image", "data": "A" * 4000}, "?"]}, 2),
    ],
)
def test_output(message: dict[str, Any], tokens: int) -> None:
    assert estimate_output_tokens({"choices": [{"message": message}]}) == tokens
    both = estimate_output_tokens({"choices": [{"message": message}, {"message": message}]})
    assert 2 * tokens - 1 <= both <= 2 * tokens * 9 / 8, "a longer text tells more of its script"


def test_an_answer_is_counted_by_its_script_unless_its_provider_did() -> None:
    answer = {"choices": [{"message": {"content": "7 3 9 1 " * 50}}]}
    assert estimate_output_tokens(answer) == 400
    assert estimate_output_tokens(answer, usage={"completion_tokens": 0}) == 400
    assert estimate_output_tokens(answer, usage={"completion_tokens": 9}) == 100


TEXTS = st.text(max_size=30)


def texts_of(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, dict):
        return sum(texts_of(key) + texts_of(item) for key, item in value.items())
    return sum(texts_of(item) for item in value) if isinstance(value, list) else 0


@given(
    st.lists(TEXTS),
    st.recursive(TEXTS | st.none(), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=8),
)
def test_the_bound_is_never_below_the_bytes(contents: list[str], schema: Any) -> None:
    """And so never below the tokens of any byte-level tokenizer."""
    body = {
        "messages": [{"role": "user", "content": text} for text in contents],
        "tools": [schema],
        "response_format": schema,
        "new": schema,
    }
    assert bound_text_tokens(body) >= sum(map(texts_of, contents)) + 3 * texts_of(schema)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["messages", "content", "type", "text", "image_url", "file", "file_data", "input_audio", "tools", "url"]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["messages", "tools", "choices", "x", "functions"]), JUNK),
    st.lists(JUNK, max_size=3),
)
def test_never_raises(body: dict[str, Any], parts: list[Any]) -> None:
    assert bound_text_tokens(body) >= 128
    assert bound_text_tokens(user(*parts)) >= estimate_input_tokens(user(*parts)) > 0
    assert estimate_output_tokens({"choices": [{"message": body}]}) >= 0
    assert estimate_output_tokens(body) >= 0


def test_what_orjson_cannot_write_is_counted_all_the_same() -> None:
    deep: Any = "x" * 100
    for _ in range(300):
        deep = [deep]
    assert bound_text_tokens({"tools": [deep]}, only(text=1)) >= 100
    assert bound_text_tokens({"new": {"a": 2**70, "b": "\ud800" * 50}}, only(text=1)) >= 150


def test_a_large_body_is_fast() -> None:
    """100 messages, 200 KB: measured below 0.1 ms; the limit only catches another order."""
    body = {"messages": [{"role": "user", "content": "lorem ipsum é " * 145} for _ in range(100)]}
    times = []
    for _ in range(5):
        started = time.process_time()
        bound_text_tokens(body)
        times.append(time.process_time() - started)
    assert min(times) < 0.003
