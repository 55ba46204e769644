"""Values that a conversation offers: names, numbers and quoted words of the user's last message."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_QUOTED = re.compile(r"[\"\u201c\u00ab]([^\"\u201d\u00bb]{1,200})[\"\u201d\u00bb]|(?<!\w)'([^']{1,200})'(?!\w)")
_NAME = re.compile(r"(?<!\w)[A-Z\u00c0-\u00de][\w.\-]*\w(?:[ ,]{1,2}(?:[A-Z\u00c0-\u00de][\w.\-]*\w))*")
_AFTER = re.compile(
    r"\b(?:in|for|at|to|from|about|of|near|on|am an?|is an?|called|named)\s+(?:the\s+)?([^\W\d_]\w*)", re.IGNORECASE
)
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,12}(?:\.\d{1,6})?(?![\w])")
_WHOLE = frozenset({"query", "text", "message", "input", "prompt", "question", "q", "search", "content", "expression"})
_NO_NAMES = frozenset(
    "I I'm I'd Also And But Can Could Do Does Give Hello Hey Hi How Is It My No Please Show Tell The Then This What "
    "What's When Where Which Who Will Would Yes You".split()
)
_NO_WORDS = frozenset("a an and it me my that the there this today tomorrow town us you your".split())
_LONGEST = 4_000
_LONGEST_CHOICE = 200
_MOST_PLACES = 8
_MOST_WORDS = 200


class Hints:
    """What one message offers. Names and numbers are given out in their order; the last one again when all are.

    near: a word of the message; names that come after it are given out before the others.
    """

    def __init__(self, message: str, near: str = "") -> None:
        message = message[:_LONGEST]
        self._message = " ".join(message.split())
        self._words = _candidates(message, max(message.lower().find(near.lower()), 0))
        self._numbers = [float(number) for number in _NUMBER.findall(message)]
        self._next_word = 0
        self._next_number = 0

    def words(self) -> Sequence[str]:
        """All names and quoted texts, in order of preference."""
        return self._words

    def fits(self, name: str) -> bool:
        """Whether the message has something to say for a property of this name."""
        return bool(self._words) or (name in _WHOLE and bool(self._message))

    def text(self, name: str) -> str:
        """A text for the property `name`; never empty."""
        if name.lower() in _WHOLE and self._message:
            return self._message[:200]
        if self._words:
            word = self._words[min(self._next_word, len(self._words) - 1)]
            self._next_word += 1
            return word
        return name or "echo"

    def number(self, name: str) -> float | None:
        """A number from the message, or None when it has none."""
        if not self._numbers:
            return None
        number = self._numbers[min(self._next_number, len(self._numbers) - 1)]
        self._next_number += 1
        return number

    def choose(self, choices: Sequence[Any]) -> Any:
        """The choice that the message mentions, else the first."""
        lower = self._message.lower()
        for choice in choices:
            if isinstance(choice, str) and 0 < len(choice) <= _LONGEST_CHOICE and _says(lower, choice.lower()):
                return choice
        return choices[0]


def _says(text: str, words: str) -> bool:
    """Whether `words` stand in `text`, not as a part of longer ones."""
    place = -1
    for _ in range(_MOST_PLACES):
        place = text.find(words, place + 1)
        if place < 0:
            break
        end = place + len(words)
        if not _is_word(text[max(place - 1, 0) : place]) and not _is_word(text[end : end + 1]):
            return True
    return False


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _ends_sentence(text: str) -> bool:
    """Whether a sentence begins after `text`."""
    said = text.rstrip()
    return not said or said[-1] in ".!?" or "\n" in text[len(said) :]


def _candidates(message: str, start: int) -> list[str]:
    """Quoted texts, then names, then words after a preposition, then what may be a name or a sentence's first word;
    within each kind those after `start` come first."""
    found: list[tuple[int, bool, int, str]] = []

    def add(kind: int, place: int, word: str) -> None:
        if word and word not in _NO_NAMES and word.lower() not in _NO_WORDS:
            found.append((kind, place < start, place, word))

    for match in _QUOTED.finditer(message):
        add(0, match.start(), match[1] or match[2])
    for match in _NAME.finditer(message):
        first, _, rest = match[0].partition(" ")
        if _ends_sentence(message[: match.start()]) or first in _NO_NAMES:
            # A capital at the beginning of a sentence says little; what follows it may be a name.
            add(1, match.start(), rest.lstrip(" ,"))
            add(3, match.start(), first.rstrip(","))
        else:
            add(1, match.start(), match[0])
    for match in _AFTER.finditer(message):
        add(2, match.start(1), match[1])
    unique: list[str] = []
    for _, _, _, word in sorted(found):
        if len(unique) == _MOST_WORDS:
            break
        if not any(word in known for known in unique):
            unique.append(word)
    return unique
