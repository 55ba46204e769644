"""What a long input is expected to make: near what it does, never above the bound, linear."""

from __future__ import annotations

import base64
import random
import sys
from types import ModuleType
from typing import Any

import pytest

from gateway.api import expected_text_tokens, texts_of
from gateway.builtin.input_tokens import InputTokens
from gateway.testing.steps import assert_linear

PROSE = "The gateway holds what a request is expected to cost, and settles what it did. "
CODE = "    for name, value in sorted(items.items()):\n        if value is not None:\n            total += value\n"
NOISE = base64.b64encode(random.Random(1).randbytes(9_000)).decode()
CHINESE = "今天我们讨论网关的新功能以及它对速度的影响。"
RUSSIAN = "Сегодня мы обсудим новую функцию шлюза и её влияние на скорость. "


def body(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


# The tokens that `cl100k_base` and `o200k_base` make of them, the larger of both.
@pytest.mark.parametrize(
    ("text", "tokens"),
    [(PROSE * 500, 8_001), (CODE * 500, 13_500), (NOISE, 8_400), (CHINESE * 500, 12_500), (RUSSIAN * 500, 14_500)],
    ids=["prose", "code", "base64", "chinese", "russian"],
)
def test_the_estimate_by_script_is_near_and_rather_above(text: str, tokens: int) -> None:
    assert tokens * 0.75 <= expected_text_tokens(text) <= tokens * 2.5


def broken(error: Exception) -> ModuleType:
    """A tokenizer that is there, but not whole."""

    def get_encoding(name: str) -> None:
        raise error

    module = ModuleType("bpe_openai")
    module.get_encoding = get_encoding  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize("module", [None, broken(ImportError("_bindings")), broken(FileNotFoundError("o200k_base"))])
def test_the_estimate_is_taken_where_no_tokenizer_is_installed(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType | None
) -> None:
    monkeypatch.setitem(sys.modules, "bpe_openai", module)
    text = PROSE * 500
    found = InputTokens(0).less_than(len(text), body(text))
    assert expected_text_tokens(text) <= found <= expected_text_tokens(text) + 5


def test_a_tokenizer_counts_where_there_is_one() -> None:
    tokenizer = pytest.importorskip("bpe_openai").get_encoding("o200k_base")
    text = CODE * 500
    exact = len(tokenizer.encode_ordinary(text))
    found = InputTokens(0).less_than(len(text) + 1_000, body(text))
    assert exact + 990 <= found <= exact + 1_010, "what is no text counts as it does in the bound"
    assert InputTokens(50).less_than(len(text), body(text)) >= exact * 3 // 2


def test_it_is_never_above_the_bound_and_never_below_what_the_text_makes() -> None:
    counted = InputTokens(25)
    assert counted.less_than(100, body(PROSE * 500)) == 100, "a context that is smaller bounds it"
    assert counted.less_than(10**9, {"messages": "none", "tools": 3}) <= 10**9
    assert list(
        texts_of({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]})
    )


def test_many_texts_take_time_by_their_number() -> None:
    def make(size: int) -> Any:
        many = {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}] * size}
        return lambda: InputTokens(0).less_than(10**9, many)

    assert_linear(make)


@pytest.mark.parametrize("text", ["\U0001f9ff" * 300_000, "a b " * 600_000, "x" * 3_000_000])
def test_a_long_text_is_counted_in_pieces_that_the_tokenizer_takes(text: str) -> None:
    body = {"messages": [{"role": "user", "content": text}]}
    bound = 4 * len(text)
    assert 0 < InputTokens(10).less_than(bound, body) <= bound
