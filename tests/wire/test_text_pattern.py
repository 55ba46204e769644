"""Patterns of events: what they cost when a text is large."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from gateway.wire.chat.encoder import ChatRelay
from gateway.wire.chat.tally import ChatTally
from gateway.wire.text_pattern import TextPattern, text_member

SIZE = 1 << 20
MOST = 24 * SIZE
"""The parser asks for 13 times the size, most of which it never touches; a pattern that remembers takes 70 and more."""
TEXTS = {"plain": "x" * SIZE, "escapes": "\n" * (SIZE // 2), "words": "some words of a line\n" * (SIZE // 22)}


def peak(work: Callable[[], object]) -> int:
    """Bytes that `work` had in use at most, those of regular expressions included."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def event(content: str, **more: object) -> bytes:
    told = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choices = [{"index": 0, "delta": {"content": content}, "finish_reason": None}]
    return orjson.dumps({**told, "choices": choices, **more})


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_a_large_event_is_learned_and_followed_in_little_memory(name: str) -> None:
    large = event(TEXTS[name] + '"')
    tally = ChatTally()
    assert peak(lambda: tally.add([large])) < MOST
    tally.add([event("small")])
    assert peak(lambda: tally.add([large])) < MOST
    assert peak(lambda: tally.add([large])) < MOST
    assert tally.text_bytes == 3 * (len(TEXTS[name]) + 1) + len("small")


def test_a_large_model_name_is_passed_over_in_little_memory() -> None:
    relay = ChatRelay("a/b", include_usage=True)
    large = event("x", model=TEXTS["escapes"])
    assert peak(lambda: relay.feed([large])) < MOST


def spaced(text: str, spaces: int, more: str = "") -> bytes:
    """An event in the form of Anthropic's, whose last brace spaces stand before."""
    return b'{"t":"d","delta":{"text":"%b"%b}%b}' % (text.encode(), more.encode(), b" " * spaces)


def of_spaced(event: dict[str, Any]) -> int:
    delta = event.get("delta")
    return len(delta["text"].encode()) if isinstance(delta, dict) and isinstance(delta.get("text"), str) else -1


def test_padding_of_either_name_differs_from_event_to_event() -> None:
    for name in ("obfuscation", "p"):
        tally = ChatTally()
        tally.add([event("role", **{name: "x"})])
        tally.add([event("one", **{name: "abc"})])
        for text, padding in (("two", "a"), ("three", ""), ("four", "Z9"), ("five", "-_ ä")):
            assert tally.pattern.match(event(text, **{name: padding})) == len(text)
        assert tally.pattern.match(event("six", **{name: "a"}, more="b")) == -1


def test_spaces_behind_the_text_mean_nothing_where_there_are_no_strings() -> None:
    pattern = TextPattern(text_member("text"), of_spaced)
    pattern.learn(spaced("one", 3))
    for spaces in (0, 1, 3, 40):
        assert pattern.match(spaced("and two", spaces)) == 7
        assert pattern.text == b"and two"
        assert pattern.stands_in(spaced('odd \\" text', spaces))
    assert pattern.match(spaced("x", 2, ',"n":1')) == -1
    assert pattern.match(spaced("x", 2).replace(b"  ", b"\t ")) == -1
    assert not pattern.stands_in(spaced("x", 2, ',"n":1'))


def test_spaces_in_a_string_behind_the_text_are_its_own() -> None:
    pattern = TextPattern(text_member("text"), of_spaced)
    pattern.learn(spaced("one", 0, ',"note":"a b"'))
    assert pattern.match(spaced("two", 0, ',"note":"a b"')) == 3
    assert pattern.match(spaced("two", 0, ',"note":"ab"')) == -1
    assert pattern.match(spaced("two", 1, ',"note":"a b"')) == -1


def test_a_pause_ends_with_an_event_like_those_before_it() -> None:
    pattern = TextPattern(text_member("text"), of_spaced)
    pattern.learn(spaced("one", 0))
    pattern.pause()
    assert pattern.match(spaced("two", 0)) == -1
    assert not pattern.resume(spaced("two", 0, ',"n":1'))
    assert pattern.resume(spaced("two", 2))
    assert pattern.match(spaced("three", 1)) == 5
    assert not pattern.resume(spaced("four", 0))
