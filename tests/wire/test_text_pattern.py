"""Patterns of events: what they cost when a text is large."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import orjson
import pytest

from gateway.wire.chat.encoder import ChatRelay
from gateway.wire.chat.tally import ChatTally

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
