"""Patterns: the same answers as the standard library's matcher, in linear time."""

from __future__ import annotations

import random
import re

import pytest
from tollgate_echo.pattern import LONGEST, MOST_STATES, MOST_STEPS, Pattern, Unknown, find_example

KNOWN = [
    "a", "", "^a$", "a|b", "^(a|bc)+$", "a*b", "^[a-c]{2,3}$", "^[^a-c]$", "[\\d-]", "^\\w+$", "^\\s$", "\\D", "^a.c$",
    "^(?:ab)?c$", "^(?P<x>a)b$", "^(?<x>a)b$", "a{2}", "a{2,}", "^a{0}$", "^(a|b|)$", "\\.", "^\\x41\\u0042$", "[]-a]*",
    "^[A-Z]{3}$", "^\\d{4}-\\d{2}$", "(a+)+$", "(a|a)*$", "^(a*)*b$", "^(?:a?){5}a{5}$", "a+?b", "^^a$$", "x{0,2}", "-",
]  # fmt: skip


@pytest.mark.parametrize("text", [text for text in KNOWN if not text.startswith("[]")])
def test_finds_what_the_standard_matcher_finds(text: str) -> None:
    source = random.Random(5)
    pattern, standard = Pattern(text), re.compile(text.replace("(?<x>", "(?P<x>"), re.ASCII)
    for _ in range(400):
        said = "".join(source.choices("aabcABx1-. ]\n", k=source.randint(0, 6)))
        if "$" in text and said.endswith("\n"):
            continue  # there the standard library's `$` is not ECMA's
        assert pattern.search(said) == bool(standard.search(said)), said


@pytest.mark.parametrize("text", [text for text in KNOWN if not text.startswith("[]")])
def test_examples_match(text: str) -> None:
    found, _ = find_example(text, (), lambda text: True)
    if text != "^[^a-c]$" and "^^" not in text:
        assert found is not None
    assert found is None or re.search(text.replace("(?<x>", "(?P<x>"), found, re.ASCII)


@pytest.mark.parametrize(
    "text",
    ["(", ")", "[a", "a**", "a{3,2}", "a{99999}", "a{", "\\", "\\k", "\\b", "(a)\\1", "(?=a)", "(?<!a)", "(?i)a",
     "[b-a]",
     "a" * (LONGEST + 1), "(" * 40 + ")" * 40, "((a{99}){99}){99}", "(){9999}", "(){9999}" * 30, "[]", "\\xzz", "*"],
)  # fmt: skip
def test_what_is_not_understood(text: str) -> None:
    assert find_example(text, ["a"], lambda text: True)[0] in (None, "a")
    if text != "[]":
        with pytest.raises(Unknown):
            Pattern(text)


@pytest.mark.parametrize(
    "text", ["(a+)+$", "(a|a)*$", "(a*)*b", "(?:a?){99}a{99}$", "(.*)(.*)(.*)(.*)(.*)[^a]$", "(a|b|ab)*c"]
)
def test_steps_grow_with_the_text_and_no_faster(text: str) -> None:
    few, many = Pattern(text), Pattern(text)
    few.search("a" * 200)
    many.search("a" * 800)
    assert many.steps <= 5 * few.steps
    assert many.steps <= 803 * MOST_STATES


def test_all_candidates_together_are_bounded() -> None:
    words = ["a" * 12] * 10_000
    found, steps = find_example("(?:a?){300}b$", words, lambda text: True)
    assert steps <= MOST_STEPS + 14 * MOST_STATES
    assert found is None
    assert find_example("^a$", ["b", "a"], bool)[0] == "a"
