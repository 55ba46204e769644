"""A fence comes off, whatever its pieces; anything else passes unchanged; and no text makes it slow."""

from __future__ import annotations

import random
import re

import pytest

from gateway.wire.code_fences import Unfence

CASES = {
    '```json\n{"a": 1}\n```': '{"a": 1}',
    ' \n ```\n{"a": 1}\n``` \n': '{"a": 1}',
    '```json {"a": 1}```': '{"a": 1}',
    '```{"a":\n1}\n```': '{"a":\n1}',
    '```json\n{"a": "``` x"}\n```': '{"a": "``` x"}',
    '{"a": "```"}': '{"a": "```"}',
    '``{"a": 1}': '``{"a": 1}',
    "  plain ``` text": "  plain ``` text",
    "": "",
    " \n ": " \n ",
    "``": "``",
    "```json": "```json",
    "```json\n": "",
    "```\n{}\n\u3000```\u2003": "{}",
}


def run(pieces: list[str]) -> str:
    unfence = Unfence()
    return "".join([*(unfence.push(piece) for piece in pieces), unfence.end()])


@pytest.mark.parametrize("text", CASES)
def test_at_every_split(text: str) -> None:
    assert run([text]) == CASES[text]
    assert run(list(text)) == CASES[text]
    for place in range(len(text) + 1):
        assert run([text[:place], text[place:]]) == CASES[text]


def naive(text: str) -> str:
    """The rule as one expression over the whole text."""
    found = re.match(r"\s*```(?:[^\n{]*\n|[^\n{]*(?=\{))", text)
    return re.sub(r"[\s`]+\Z", "", text[found.end() :]) if found else text


def test_random_texts_equal_the_naive_rule_at_random_splits() -> None:
    source = random.Random(11)
    for _ in range(3_000):
        text = "".join(source.choices(["`", "```", " ", "\n", "{", "}", "x", "json"], k=source.randint(0, 14)))
        cuts = sorted(source.choices(range(len(text) + 1), k=source.randint(0, 5)))
        pieces = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        assert run(pieces) == naive(text), (text, pieces)


class Watched(str):
    """Text that counts the characters that were looked at."""

    looked = 0

    def lstrip(self, chars: str | None = None, /) -> Watched:
        Watched.looked += len(self)
        return Watched(str.lstrip(self, chars))

    def rstrip(self, chars: str | None = None, /) -> Watched:
        Watched.looked += len(self)
        return Watched(str.rstrip(self, chars))

    def find(self, *given: object) -> int:
        Watched.looked += len(self)
        return str.find(self, *given)  # type: ignore[arg-type]

    def __getitem__(self, key: object, /) -> Watched:
        return Watched(str.__getitem__(self, key))  # type: ignore[index]


@pytest.mark.parametrize("piece", [1, 7, 2_000])
@pytest.mark.parametrize("text", [" " * 20_000, "```" + "x" * 20_000, "```\n" + "` " * 10_000, "```\n" + " x" * 10_000])
def test_each_piece_is_looked_at_once(text: str, piece: int) -> None:
    Watched.looked = 0
    unfence = Unfence()
    for place in range(0, len(text), piece):
        unfence.push(Watched(text[place : place + piece]))
    assert Watched.looked <= 4 * len(text)
