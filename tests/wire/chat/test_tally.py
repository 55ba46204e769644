"""What a chat stream comes to: the pattern of the frequent chunks gives what parsing every chunk gives."""

from __future__ import annotations

import copy
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Fault
from gateway.wire.chat.repair import ChunkRepair
from gateway.wire.chat.tally import ChatTally
from gateway.wire.tokens import written_bytes
from gateway.wire.usage import find_usage

ODD_TEXTS = ['"}', '"},"finish_reason":"stop"', '\\"', "\n", "\u00e9", "\U0001f600", "\\u0041", "\x7f", ""]
TEXTS = st.text(max_size=12) | st.sampled_from(ODD_TEXTS)
PARTS = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS}), max_size=2)
FUNCTIONS = st.dictionaries(st.sampled_from(["name", "arguments"]), TEXTS)
CALLS = st.lists(st.fixed_dictionaries({"index": st.integers(0, 2), "function": FUNCTIONS}), max_size=2)
DELTAS = st.one_of(
    st.fixed_dictionaries({"content": TEXTS}),
    st.fixed_dictionaries({"reasoning_content": TEXTS}),
    st.fixed_dictionaries({"reasoning_content": TEXTS, "reasoning": TEXTS}),
    st.fixed_dictionaries({"refusal": TEXTS}),
    st.fixed_dictionaries({"content": PARTS}),
    st.fixed_dictionaries({"function_call": FUNCTIONS}),
    st.fixed_dictionaries({"tool_calls": CALLS}),
    st.dictionaries(st.sampled_from(["content", "role", "x"]), st.none() | TEXTS | st.integers(0, 9), max_size=3),
)
MORE = st.sampled_from([{}, {"usage": None}, {"obfuscation": "aB3"}, {"obfuscation": ""}, {"error": None}])
SPELLINGS = st.sampled_from(["compact", "spaced", "ascii", "indented", "reversed", "escaped"])


def spelt(chunk: dict[str, Any], how: str) -> bytes:
    """The same JSON in one of its legal spellings."""
    if how == "spaced":
        return json.dumps(chunk, separators=(" , ", " : "), ensure_ascii=False).encode()
    if how == "ascii":
        return json.dumps(chunk).encode()
    if how == "indented":
        return orjson.dumps(chunk, option=orjson.OPT_INDENT_2)
    if how == "reversed":
        choices = [dict(reversed(choice.items())) for choice in chunk["choices"]]
        return orjson.dumps(dict(reversed({**chunk, "choices": choices}.items())))
    found = orjson.dumps(chunk)
    if how == "escaped":
        return found.replace(b'"content"', b'"cont\\u0065nt"').replace(b"/", b"\\/")
    return found


def chunk_of(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m/x", "choices": [choice], **more}


def repaired(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What parsing and repairing every chunk gives."""
    repair = ChunkRepair("chatcmpl-0", 0)
    slow = copy.deepcopy(chunks)
    for chunk in slow:
        repair.repair(chunk)
    return slow


@given(st.lists(st.tuples(DELTAS, MORE, SPELLINGS), max_size=12), SPELLINGS, st.booleans())
def test_the_pattern_gives_what_parsing_gives(parts: list[Any], one: str, mixed: bool) -> None:
    chunks = [chunk_of(delta, **more) for delta, more, _ in parts]
    raw = [spelt(chunk, how if mixed else one) for chunk, (_, _, how) in zip(chunks, parts, strict=True)]
    fast = ChatTally()
    given = [item for data in raw for item in fast.add([data])]
    slow = repaired([orjson.loads(data) for data in raw])
    sizes = [written_bytes(chunk["choices"][0]["delta"]) for chunk in slow]
    assert fast.text_bytes == sum(sizes)
    assert fast.chunks == sum(size > 0 for size in sizes)
    assert [item if isinstance(item, dict) else orjson.loads(item) for item in given] == slow
    assert fast.usage is None
    assert fast.finish_reason == ""


USAGES = st.sampled_from([None, {}, {"prompt_tokens": 1}, [], 0, "x"])
ODD_MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from([None, "", 7]),
        "object": st.just("x"),
        "created": st.sampled_from([1.5, True, None]),
        "choices": st.sampled_from([None, [], [None], {}]),
        "usage": USAGES,
    },
)
ODD_CHOICE = st.fixed_dictionaries(
    {},
    optional={
        "index": st.sampled_from([None, -1, True, "0", 1]),
        "finish_reason": st.sampled_from(["", "stop", 3]),
        "usage": USAGES,
        "logprobs": st.none(),
        "delta": st.sampled_from([None, {}, {"content": None}, {"content": 3}, {"content": [], "x": 1}]),
    },
)


@given(st.lists(st.tuples(DELTAS, ODD_MEMBERS, ODD_CHOICE), max_size=8))
def test_parsed_chunks_of_words_are_counted_as_all_others_are(parts: list[Any]) -> None:
    chunks = []
    for delta, members, odd in parts:
        chunk = chunk_of(delta)
        chunk["choices"][0].update(odd)
        chunks.append({**chunk, **members})
    fast, repair = ChatTally(), ChunkRepair("chatcmpl-0", 0)
    usage, size, counted = None, 0, 0
    for chunk in copy.deepcopy(chunks):
        (found,) = fast.add([copy.deepcopy(chunk)])
        usage_then = find_usage(chunk)
        try:
            repair.repair(chunk)
        except Fault:
            assert isinstance(found, Fault)
            usage = usage_then or usage
            break
        choices = chunk["choices"] if isinstance(chunk["choices"], list) else []
        written = sum(written_bytes(choice["delta"]) for choice in choices if isinstance(choice, dict))
        usage, size, counted = usage_then or usage, size + written, counted + (written > 0)
        assert found == chunk
    assert (fast.usage, fast.text_bytes, fast.chunks) == (usage, size, counted)


ODD_CALLS = st.lists(
    st.tuples(
        st.sampled_from([None, 0, 0, 1, -1]), st.sampled_from([None, "", "c1", "c2"]), st.sampled_from(["", "f"])
    ),
    min_size=1,
    max_size=10,
)


@given(ODD_CALLS, TEXTS, st.booleans())
def test_odd_calls_come_out_as_parsing_every_chunk_gives_them(calls: list[Any], text: str, told: bool) -> None:
    deltas: list[dict[str, Any]] = []
    for index, identity, name in calls:
        delta: dict[str, Any] = {"function": {"name": name} if name else {"arguments": text}}
        delta |= {} if identity is None else {"id": identity}
        delta |= {"index": index} if index is not None or told else {}
        deltas += [delta, *({"index": 0, "function": {"arguments": piece}} for piece in ("a", "b"))]
    raw = [orjson.dumps(chunk_of({"tool_calls": [delta]})) for delta in deltas]
    fast = ChatTally()
    given = [item for data in raw for item in fast.add([data])]
    slow = repaired([orjson.loads(data) for data in raw])
    assert [item if isinstance(item, dict) else orjson.loads(item) for item in given] == slow


@given(st.lists(TEXTS, min_size=3, max_size=8), SPELLINGS, st.sampled_from(["content", "reasoning_content"]))
def test_an_end_hidden_among_texts_is_found(texts: list[str], how: str, name: str) -> None:
    tally = ChatTally()
    for text in texts:
        tally.add([spelt(chunk_of({name: text}), how)])
    assert not tally.complete
    (last,) = tally.add([spelt(chunk_of({name: "x"}, "length", usage={"prompt_tokens": 2}), how)])
    assert isinstance(last, dict)
    assert (tally.finish_reason, tally.complete, tally.usage) == ("length", True, {"prompt_tokens": 2})


def test_frequent_chunks_follow_the_pattern() -> None:
    """Else nothing above would have tested it."""
    tally = ChatTally()
    for delta in ({"role": "assistant", "content": ""}, {"content": "a"}):
        tally.add([spelt(chunk_of(delta, obfuscation="x1"), "compact")])
    for text, size in (("bc", 2), ("ä", 2), ("\n", 1), ("", 0)):
        assert tally.pattern.match(spelt(chunk_of({"content": text}, obfuscation="pad"), "compact")) == size
    assert tally.pattern.match(spelt(chunk_of({"content": "a", "refusal": "b"}), "compact")) == -1


@pytest.mark.parametrize("data", [b"", b"7", b"[1]", b"{", b'{"a":\xff}', b'{"choices":[{"delta":{"content":"a\nb}}]}'])
def test_nonsense_is_a_fault_and_the_last_item(data: bytes) -> None:
    whole = orjson.dumps(chunk_of({"content": "a"}))
    found = ChatTally().add([whole, data, whole])
    assert len(found) == 2
    assert isinstance(found[1], Fault)


def test_an_error_in_any_spelling_is_a_fault() -> None:
    data = orjson.dumps(chunk_of({}, error={"message": "no"})).replace(b'"error"', b'"err\\u006fr"')
    assert isinstance(ChatTally().add([data])[0], Fault)


def test_several_choices_are_whole_when_each_has_ended() -> None:
    tally = ChatTally(2)
    for index in (0, 1):
        assert not tally.complete
        chunk = chunk_of({}, "stop")
        chunk["choices"][0]["index"] = index
        tally.add([chunk])
    assert tally.complete


@pytest.mark.parametrize("delta", [{"content": "word"}, {"content": "word", "refusal": None}])
def test_counts_that_a_decoder_changes_in_place_are_another_usage(delta: dict[str, Any]) -> None:
    """A usage that was looked at is not looked at again, and a plugin's decoder may tell one object all along."""
    tally = ChatTally()
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    seen = []
    for number in (1, 2, 3):
        usage["completion_tokens"] = number
        tally.add([{**chunk_of(dict(delta)), "usage": usage}])
        seen.append(tally.usage)
    assert [told and told["completion_tokens"] for told in seen] == [1, 2, 3]
    assert len({id(told) for told in seen}) == 3


def test_a_cut_gives_the_length_as_the_reason() -> None:
    tally = ChatTally()
    tally.add([chunk_of({"content": "a"})])
    tally.cut()
    assert (tally.finish_reason, tally.complete) == ("length", False)


@pytest.mark.parametrize(
    ("delta", "finish", "opens"),
    [
        ({"role": "assistant", "content": "", "refusal": None, "tool_calls": []}, None, True),
        ({}, None, True),
        ({"role": "assistant", "content": "a"}, None, False),
        ({"role": "assistant", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}, None, False),
        ({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]}, None, False),
        ({"audio": {"id": "a"}}, None, False),
        ({}, "stop", False),
    ],
)  # fmt: skip
def test_what_only_opens_an_answer(delta: Any, finish: str | None, opens: bool) -> None:
    for item in (chunk_of(delta, finish), orjson.dumps(chunk_of(delta, finish))):
        tally = ChatTally()
        tally.add([item])
        assert tally.opening is opens
        tally.add([chunk_of({"content": "a"})])
        tally.add([chunk_of({})])
        assert not tally.opening
