"""Tokens of texts by their script, against a tokenizer."""

from __future__ import annotations

import random
import string

import pytest
from bpe_openai import get_encoding  # type: ignore[import-untyped, unused-ignore]

from gateway.wire.text_tokens import WrittenTokens


def _random(letters: str, count: int) -> str:
    chance = random.Random(1)
    return "".join(chance.choice(letters) for _ in range(count))


DENSE = {
    "base64": _random(string.ascii_letters + string.digits + "+/", 4000),
    "hexadecimal": _random("0123456789abcdef", 4000),
    "digits": _random(string.digits, 4000),
    "digits apart": " ".join(_random(string.digits, 2000)),
    "letters apart": " ".join(_random(string.ascii_lowercase, 2000)),
    "marks": _random(string.punctuation, 4000),
    "numbers": "\n".join(f"{number * 7.31:.3f},{number * 13.7:.2f},{number}" for number in range(300)),
    "emoji": "".join(chr(0x1F300 + number % 700) for number in range(0, 7000, 13)),
    "private letters": "".join(chr(0xE000 + number) for number in range(0, 4000, 3)),
    "Amharic": "ሰላም ለዓለም ሁሉ ይሁን እኛ ሁላችን አንድ ነን " * 40,
}
"""What makes up to four times as many tokens as a quarter of its bytes."""
PROSE = {
    "English": "The quick brown fox jumps over the lazy dog, while seven engineers discuss the design of it. " * 30,
    "Vietnamese": "Trí tuệ nhân tạo đang thay đổi thế giới và chúng ta cần suy nghĩ về nó. " * 40,
    "a table": "| name | count |\n|------|-------|\n| one  |     1 |\n" + "-" * 80 + "\n" + " " * 200,
}


@pytest.mark.parametrize("name", [*DENSE, *PROSE])
@pytest.mark.parametrize("size", [3, 40, 1000])
def test_what_is_written_is_counted_by_its_script(name: str, size: int) -> None:
    text = DENSE.get(name) or PROSE[name]
    made = WrittenTokens()
    assert sum(made.add(text[start : start + size]) for start in range(0, len(text), size)) == len(text.encode())
    really = len(get_encoding("o200k_base").encode_ordinary(text))
    assert really * 0.75 <= made.count
    assert made.count <= (really * 1.6 if name in DENSE else len(text.encode()) * 0.36)


def test_a_number_at_the_end_of_a_word_is_no_identifier() -> None:
    written = WrittenTokens()
    written.add("".join(f"page{number:05} " for number in range(100)))
    assert 250 <= written.count <= 300, "three tokens each: ` page`, three digits, two digits"
