"""Streams folded into completions, and back."""

from __future__ import annotations

import base64
import copy
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Fault, UpstreamFault
from gateway.wire.chat.request import ChatFold, fold_stream, unfold
from gateway.wire.sse import DONE_DATA, EventReader

FIXTURES = Path(__file__).parents[1] / "fixtures" / "chat"


def recorded(name: str) -> Any:
    return orjson.loads((FIXTURES / f"{name}.json").read_bytes())


def chunks_of(name: str) -> list[dict[str, Any]]:
    payloads = EventReader().feed_data(recorded(name)["sse"].encode())
    assert payloads[-1] == DONE_DATA
    return [orjson.loads(payload) for payload in payloads[:-1]]


def chunk(delta: Any = None, *, finish: Any = None, index: Any = 0, **top: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **top}


def message_of(*deltas: Any) -> dict[str, Any]:
    message: dict[str, Any] = fold_stream([chunk(delta) for delta in deltas])["choices"][0]["message"]
    return message


def calls_of(*deltas: Any) -> list[tuple[str, str, str]]:
    calls = message_of(*({"tool_calls": delta} for delta in deltas))["tool_calls"]
    return [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls]


def test_recorded_text() -> None:
    folded = fold_stream(chunks_of("stream-text-usage-in-late-chunk"))
    assert folded["object"] == "chat.completion"
    assert (folded["id"], folded["created"]) == ("gen-1753242300-DdArgsNullVariantD01", 1753242300)
    assert folded["provider"] == "Meta"
    assert folded["usage"]["completion_tokens"] == 15
    assert folded["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "The current version of *llm* is **0.fixed-version**.",
                "refusal": None,
            },
            "logprobs": None,
            "finish_reason": "stop",
            "native_finish_reason": "stop",
        }
    ]


def test_recorded_parallel_tool_calls() -> None:
    folded = fold_stream(chunks_of("stream-parallel-tools"))
    assert "obfuscation" not in folded
    assert (folded["service_tier"], folded["system_fingerprint"]) == ("default", None)
    choice = folded["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {
            "id": "call_8ElDxJj6u7IUDEwQIrwFbveM",
            "type": "function",
            "function": {"name": "add", "arguments": '{"a": 2, "b": 3}'},
        },
        {
            "id": "call_HEZOX3JzspqFubADMNdWn12E",
            "type": "function",
            "function": {"name": "multiply", "arguments": '{"a": 2, "b": 3}'},
        },
    ]


@pytest.mark.parametrize(
    ("name", "finish", "completion_tokens", "content", "arguments"),
    [
        ("stream-tools-null-content", "tool_calls", 12, "", ["{}"]),
        ("stream-tool-then-text", "stop", None, "The current temperature in Florence, Italy", []),
        ("stream-text-no-usage", "length", 50, "", []),
        ("stream-whole-tool-call", "tool_calls", 14, "", ['{"query": "current Berlin weather"}']),
    ],
)
def test_recorded_streams(
    name: str, finish: str, completion_tokens: int | None, content: str, arguments: list[str]
) -> None:
    chunks = chunks_of(name)
    before = copy.deepcopy(chunks)
    fold = ChatFold()
    for each in chunks:
        fold.add(each)
    folded = fold.result("mine")
    assert chunks == before
    assert fold.finished
    assert folded["model"] == "mine"
    message = folded["choices"][0]["message"]
    assert folded["choices"][0]["finish_reason"] == finish
    assert message["content"].startswith(content)
    assert [call["function"]["arguments"] for call in message.get("tool_calls", [])] == arguments
    if completion_tokens is not None:
        assert folded["usage"]["completion_tokens"] == completion_tokens


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("whole-*.json")), ids=lambda path: path.stem)
@pytest.mark.parametrize("include_usage", [True, False])
def test_recorded_completions_survive_a_round_trip(path: Path, include_usage: bool) -> None:
    whole = orjson.loads(path.read_bytes())["body"]
    before = copy.deepcopy(whole)
    folded = fold_stream(unfold(whole, include_usage))
    assert whole == before
    for choice in before["choices"]:  # members that OpenAI requires are added where a server left them out
        choice.setdefault("logprobs", None)
        choice["message"].setdefault("refusal", None)
    assert folded == before


TEXTS = st.none() | st.text(max_size=5)
FUNCTION_CALLS = st.builds(
    lambda n, name, arguments: {"id": n, "type": "function", "function": {"name": name, "arguments": arguments}},
    st.text(min_size=1, max_size=4),
    st.text(max_size=4),
    st.text(max_size=5),
)
CUSTOM_CALLS = st.builds(
    lambda n, name, text: {"id": n, "type": "custom", "custom": {"name": name, "input": text}, "extra": 1},
    st.text(min_size=1, max_size=4),
    st.text(max_size=4),
    st.text(max_size=5),
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": TEXTS, "refusal": TEXTS},
    optional={
        "reasoning_content": TEXTS,
        "tool_calls": st.lists(FUNCTION_CALLS | CUSTOM_CALLS, min_size=1, max_size=3),
        "function_call": st.just({"name": "f", "arguments": "{}"}),
        "annotations": st.lists(st.just({"type": "url_citation"}), max_size=2),
        "audio": st.just({"id": "a", "data": "AAA=", "transcript": "x", "expires_at": 5}),
        "new_member": st.integers(),
    },
)
TOKENS = st.lists(st.just({"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": []}), max_size=2)
CHOICES = st.fixed_dictionaries(
    {
        "message": MESSAGES,
        "logprobs": st.none() | st.fixed_dictionaries({"content": st.none() | TOKENS, "refusal": st.none() | TOKENS}),
        "finish_reason": st.sampled_from(["stop", "length", "tool_calls", None]),
    },
    optional={"stop_reason": st.integers()},
)
COMPLETIONS = st.builds(
    lambda top, choices: {**top, "choices": [{**choice, "index": n} for n, choice in enumerate(choices)]},
    st.fixed_dictionaries(
        {"id": st.text(), "object": st.just("chat.completion"), "created": st.integers(0, 9), "model": st.text()},
        optional={
            "usage": st.just({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}),
            "system_fingerprint": TEXTS,
            "service_tier": TEXTS,
            "citations": st.lists(st.text(), max_size=2),
        },
    ),
    st.lists(CHOICES, min_size=1, max_size=3),
)


@given(COMPLETIONS, st.booleans())
def test_fold_undoes_unfold(completion: dict[str, Any], include_usage: bool) -> None:
    chunks = unfold(completion, include_usage)
    assert fold_stream(chunks) == completion
    assert all(each["object"] == "chat.completion.chunk" and each["id"] == completion["id"] for each in chunks)


def test_unfold_puts_usage_where_it_was_asked_for() -> None:
    whole = recorded("whole-parallel-tools")["body"]
    asked = unfold(whole, True)
    assert asked[-1]["choices"] == []
    assert asked[-1]["usage"] == whole["usage"]
    assert all(each["usage"] is None for each in asked[:-1])
    plain = unfold(whole, False)
    assert all(each["choices"] for each in plain)
    assert plain[-1]["usage"] == whole["usage"]
    assert plain[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert all("usage" not in each for each in plain[:-1])


def test_text_members_are_joined_and_unknown_ones_kept() -> None:
    message = message_of(
        {"role": "assistant", "content": None, "reasoning_content": "a", "seen": 1},
        {"content": "x", "reasoning_content": "b", "seen": 2, "annotations": [1]},
        {"content": "y", "seen": None, "annotations": [2], "role": "user"},
    )
    assert message == {
        "role": "assistant",
        "content": "xy",
        "refusal": None,
        "reasoning_content": "ab",
        "seen": 2,
        "annotations": [1, 2],
    }


def test_content_parts_are_kept_as_parts() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    message = message_of(
        {"content": [thinking]},
        {"content": [{"type": "text", "text": "a"}]},
        {"content": "b"},
        {"content": ""},
        {"content": [{"type": "text", "text": 5}]},
        {"content": "c"},
    )
    assert message["content"] == [
        thinking,
        {"type": "text", "text": "ab"},
        {"type": "text", "text": 5},
        {"type": "text", "text": "c"},
    ]


def fn(name: Any = None, arguments: Any = None) -> dict[str, Any]:
    return {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}


@pytest.mark.parametrize(
    ("deltas", "calls"),
    [
        # by index, out of order
        (
            [
                [{"index": 1, "id": "b", "function": fn("g", "")}],
                [{"index": 0, "id": "a", "function": fn("f", "{")}, {"index": 1, "function": fn(None, "[]")}],
                [{"index": 0, "function": fn(None, "}")}],
            ],
            [("a", "f", "{}"), ("b", "g", "[]")],
        ),
        # one index for several whole calls
        (
            [[{"index": 0, "id": "a", "function": fn("f", "1")}], [{"index": 0, "id": "b", "function": fn("g", "2")}]],
            [("a", "f", "1"), ("b", "g", "2")],
        ),
        # name and id repeated in every chunk
        (
            [[{"index": 0, "id": "a", "function": fn("f", "1")}], [{"index": 0, "id": "a", "function": fn("f", "2")}]],
            [("a", "f", "12")],
        ),
        # no index: by id, then by name, then the last
        (
            [
                [{"id": "a", "function": fn("f", "1")}, {"id": "b", "function": fn("g", "2")}],
                [{"id": "a", "function": fn(None, "3")}],
            ],
            [("a", "f", "13"), ("b", "g", "2")],
        ),
        ([[{"function": fn("f", "1")}], [{"function": fn(None, "2")}]], [("call_c_0_0", "f", "12")]),
        (
            [[{"function": fn("f", "1")}, {"function": fn("g", "2")}]],
            [("call_c_0_0", "f", "1"), ("call_c_0_1", "g", "2")],
        ),
        # arguments as an object; rubbish
        ([[{"index": 0, "id": "a", "function": fn("f", {"x": 1})}]], [("a", "f", '{"x":1}')]),
        ([[None, 5, "x", {"index": True, "id": 7, "function": []}]], [("call_c_0_0", "", "")]),
        ([[{"index": 10**30, "id": "a"}], [{"index": -1, "id": "b"}]], [("b", "", ""), ("a", "", "")]),
    ],
)
def test_tool_calls_are_put_together(deltas: list[Any], calls: list[tuple[str, str, str]]) -> None:
    assert calls_of(*deltas) == calls


def test_other_kinds_of_tool_calls() -> None:
    message = message_of(
        {"tool_calls": [{"index": 0, "id": "a", "custom": {"name": "c", "input": "x"}}], "function_call": fn("f", "1")},
        {"tool_calls": [{"index": 0, "custom": {"input": "y"}, "signature": "s"}], "function_call": fn(None, "2")},
        {"tool_calls": [{"index": 1, "id": "b", "type": "builtin_function", "function": fn("$search", "{}")}]},
    )
    assert message["tool_calls"] == [
        {"id": "a", "type": "custom", "custom": {"name": "c", "input": "xy"}, "signature": "s"},
        {"id": "b", "type": "builtin_function", "function": fn("$search", "{}")},
    ]
    assert message["function_call"] == {"name": "f", "arguments": "12"}


def test_audio_pieces_are_joined_as_bytes() -> None:
    first, second = base64.b64encode(b"ab").decode(), base64.b64encode(b"cde").decode()
    message = message_of(
        {"audio": {"id": "a", "data": first, "transcript": "he"}},
        {"audio": {"data": second, "transcript": "llo", "expires_at": 9}},
        {"audio": None},
    )
    assert base64.b64decode(message["audio"].pop("data")) == b"abcde"
    assert message["audio"] == {"id": "a", "transcript": "hello", "expires_at": 9}
    assert message_of({"audio": {"data": "%="}}, {"audio": {"data": "é"}})["audio"]["data"] == "%=é"


def test_logprobs_are_continued() -> None:
    choice = {"index": 0, "delta": {}, "logprobs": {"content": [1], "refusal": None}}
    folded = fold_stream([{"choices": [choice]}, {"choices": [{**choice, "logprobs": {"content": [2]}}]}])
    assert folded["choices"][0]["logprobs"] == {"content": [1, 2], "refusal": None}


def test_choices_are_told_apart() -> None:
    folded = fold_stream(
        [
            chunk({"content": "b"}, index=1),
            chunk({"content": "a"}),
            chunk({}, finish="stop"),
            chunk({"content": "b"}, index=1),
            chunk({}, finish="length", index=1),
            {"choices": [{"delta": {"content": "!"}}, {"delta": {"content": "?"}}]},
        ]
    )
    assert [c["message"]["content"] for c in folded["choices"]] == ["a!", "bb?"]
    assert [c["finish_reason"] for c in folded["choices"]] == ["stop", "length"]


def test_usage_within_a_choice_is_lifted() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    within = chunk({}, finish="stop")
    within["choices"][0]["usage"] = usage
    folded = fold_stream([within])
    assert folded["usage"] == usage
    assert "usage" not in folded["choices"][0]
    later = {**usage, "completion_tokens": 3}
    assert fold_stream([within, {"choices": [], "usage": later}, chunk({}, usage=None)])["usage"] == later


def test_unfinished_and_empty_streams() -> None:
    fold = ChatFold()
    assert not fold.finished
    assert fold.result() == {"id": "", "object": "chat.completion", "created": 0, "model": "", "choices": []}
    fold.add(chunk({"content": "x"}))
    assert not fold.finished
    fold.add(chunk({}, finish="stop"))
    assert fold.finished


def test_an_error_among_the_chunks_is_raised() -> None:
    with pytest.raises(UpstreamFault) as caught:
        fold_stream([chunk({"content": "x"}), {"error": {"message": "boom", "code": 503}}])
    assert caught.value.status == 503


RUBBISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "choices delta message content tool_calls function arguments custom input name id index usage logprobs "
                "audio data function_call role finish_reason type text error".split()
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(st.lists(RUBBISH, max_size=4))
def test_hostile_chunks_raise_nothing_but_faults(chunks: list[Any]) -> None:
    fold = ChatFold()
    for each in [*chunks, {"choices": [{"delta": each} for each in chunks]}]:
        try:
            fold.add(each)
        except Fault:
            continue
    completion = fold.result("m")
    assert completion["model"] == "m"
    unfold(completion, True)
    for each in chunks:
        if isinstance(each, dict):
            assert unfold(each, False)


def test_deep_arguments_are_a_fault() -> None:
    deep: Any = {}
    for _ in range(500):
        deep = {"a": deep}
    with pytest.raises(UpstreamFault, match="too deeply"):
        message_of({"tool_calls": [{"index": 0, "function": {"arguments": deep}}]})


def test_many_calls_take_linear_time() -> None:
    started = time.process_time()
    message = message_of(*({"tool_calls": [{"id": str(n), "function": fn("f", "1")}]} for n in range(20_000)))
    assert len(message["tool_calls"]) == 20_000
    assert time.process_time() - started < 2
