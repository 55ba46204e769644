"""How many tokens a text is expected to make, by its script: for holds, where no tokenizer says it, and for bills,
where no usage came.

Calibrated with `o200k_base` and `cl100k_base`: tokens per byte of UTF-8 are 0.20 to 0.31 in prose and code, 0.33 in
digits, 0.49 in JSON and CSV full of numbers, 0.57 to 0.71 in hexadecimal, base64 and rows of punctuation, 0.10 to 0.38
in Russian, Chinese and Hindi, 0.3 to 0.7 in emoji, and up to 1 in letters without a token of their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

_LETTERS = bytes(range(0x61, 0x7B)) + bytes(range(0x41, 0x5B)) + b" \n"
_DIGITS = b"0123456789"
_PER_LETTER, _PER_DIGIT, _PER_MARK, _PER_OTHER = 0.25, 0.40, 0.60, 0.38
"""Tokens per byte of ASCII letters and spaces, digits, the other ASCII, and the other scripts."""
_OPAQUE = 0.55
"""Tokens per letter where there are hardly any spaces: identifiers of machines, hexadecimal, base64."""
_LEAST_SPACES = 0.02


def expected_text_tokens(text: str) -> int:
    """The tokens that `text` is expected to make. A few passes of C code; never raises."""
    plain = text.encode("ascii", "ignore")
    other = len(text.encode("utf-8", "surrogatepass")) - len(plain)
    letters = len(plain) - len(plain.translate(None, _LETTERS))
    digits = len(plain) - len(plain.translate(None, _DIGITS))
    marks = len(plain) - letters - digits
    opaque = letters > 64 and plain.count(b" ") + plain.count(b"\n") < letters * _LEAST_SPACES
    per_letter = _OPAQUE if opaque else _PER_LETTER
    return math.ceil(letters * per_letter + digits * _PER_DIGIT + marks * _PER_MARK + other * _PER_OTHER)


def texts_of(body: Mapping[str, Any]) -> Iterator[str]:
    """The texts of a chat body: contents, arguments and definitions of tools; not media. Never raises."""
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, Mapping):
            yield from _leaves(message)
    yield from _leaves(body.get("tools"))


_NO_TEXT = frozenset({"image_url", "input_audio", "file", "audio", "image", "document", "video_url"})


def _leaves(value: Any) -> Iterator[str]:
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            todo.extend(inner for key, inner in item.items() if key not in _NO_TEXT)
        elif isinstance(item, list):
            todo.extend(item)


# -- what is written piece by piece ------------------------------------------------------------------------------

_LOWER = bytes(range(0x61, 0x7B)) + b" \n"
_UPPER = bytes(range(0x41, 0x5B))
_NOT_ASCII = bytes(range(0x80, 0x100))
_PER_USUAL, _PER_CAPITAL, _PER_MACHINE_LETTER = 0.25, 0.45, 0.62
_PER_PLAIN_DIGIT, _PER_NUMBER, _PER_SHORT_NUMBER, _PER_MACHINE_DIGIT = 0.34, 0.45, 0.55, 0.60
_PER_REPEATED = 0.1
"""Tokens per byte of what people write, and of capitals; of letters in identifiers, hexadecimal and base64; of digits
alone, among words, in tables of numbers, and in identifiers; of the same mark again and again."""
_RARE = (
    (b"\xf0", 4, 0.60), (b"\xee", 3, 1.0), (b"\xcc", 2, 0.70), (b"\xcd", 2, 0.70), (b"\xe1", 3, 0.65),
    (b"\xe0\xbc", 3, 0.45), (b"\xe0\xbd", 3, 0.45), (b"\xe0\xbe", 3, 0.45),
)  # fmt: skip
"""How letters begin that have hardly a token of their own, their bytes, and tokens per byte: emoji and all beyond the
basic plane, private ones, combining marks, rare scripts from U+1000 on, Tibetan."""
_VIETNAMESE = (b"\xe1\xba", b"\xe1\xbb")
"""Among those from U+1000 on, letters that have their tokens."""
_KINDS = bytes(0x30 if 0x30 <= at <= 0x39 else 0x61 if chr(at).isalpha() and at < 0x80 else 0 for at in range(0x100))
"""Digits, letters, and the rest."""
_FEW_MARKS = 4
"""Of one punctuation mark in a piece; more of it is a row, which is few tokens."""
_PIECE, _LONGEST = 64, 512
"""Bytes that are looked at together: at least, and at most, because one text has more than one kind of parts."""


class WrittenTokens:
    """The tokens that the texts of a stream are expected to make, a quarter of their bytes at least.

    Pieces are mostly of one word: many together cost less to look at than each of them, and tell more. Fewer than 64
    bytes count a quarter.
    """

    __slots__ = ("_text", "_tokens")

    def __init__(self) -> None:
        self._tokens = 0.0
        self._text = bytearray()

    @property
    def count(self) -> float:
        """So far."""
        text = self._text
        return self._tokens + (len(text) * _PER_USUAL if len(text) < _PIECE else _all_written(bytes(text)))

    def add(self, text: str) -> int:
        """Take a piece; its bytes."""
        raw = text.encode("utf-8", "surrogatepass")
        if raw:
            self.add_bytes(raw)
        return len(raw)

    def add_bytes(self, text: bytes) -> None:
        """The same, of UTF-8."""
        kept = self._text
        kept += text
        if len(kept) >= _LONGEST:
            self._tokens += _all_written(bytes(kept))
            kept.clear()


def _all_written(text: bytes) -> float:
    return sum(written_tokens(text[start : start + _LONGEST]) for start in range(0, len(text), _LONGEST))


def written_tokens(text: bytes) -> float:
    """The tokens that a piece of a text in UTF-8 is expected to make, a quarter of its bytes at least: what it is when
    machines write it, in digits, identifiers, base64, is told by its letters. A few passes of C code; never raises."""
    marks = text.translate(None, _LOWER)
    if not marks and text.count(b" ") * 3 < len(text):
        return len(text) * _PER_USUAL  # nearly always
    rest = marks.translate(None, _UPPER)
    upper = len(marks) - len(rest)
    marks = rest.translate(None, _DIGITS)
    digits = len(rest) - len(marks)
    others = 0.0
    if not marks.isascii():
        plain = marks
        marks = plain.translate(None, _NOT_ASCII)
        others = _other_tokens(text, len(plain) - len(marks))
    letters = len(text) - len(rest)  # with their spaces
    spaces = text.count(b" ") + text.count(b"\n")
    written = letters - spaces
    per_letter, per_digit = _PER_USUAL, _PER_NUMBER
    if written > 8 and upper * 20 >= written * 19:
        per_letter = _PER_CAPITAL
    elif upper * 4 > written > 8 or (
        digits * 4 > written > 3 * spaces and digits > 3 and _turns(text) * 7 > written + digits
    ):
        per_letter, per_digit = _PER_MACHINE_LETTER, _PER_MACHINE_DIGIT
    elif not marks:
        per_digit = _PER_PLAIN_DIGIT
    elif digits > written:
        per_digit = _PER_SHORT_NUMBER
    tokens = written * per_letter + spaces * _PER_USUAL + digits * per_digit
    single = spaces - 2 * text.count(b"  ")  # a row of them is one token; before a number each is one of its own
    tokens = max(tokens, min(single, written + digits) + min(single, digits))
    if marks:
        once = min(len(marks), _FEW_MARKS * len(set(marks)) * (1 + len(text) // _PIECE))
        tokens += once * _PER_MARK + (len(marks) - once) * _PER_REPEATED
    return max(tokens + others, len(text) * _PER_USUAL)


def _turns(text: bytes) -> int:
    """How often letters and digits meet: at every second or fourth place of hexadecimal and base64, and once in
    `page00017`."""
    kinds = text.translate(_KINDS)
    return kinds.count(b"a0") + kinds.count(b"0a")


def _other_tokens(text: bytes, size: int) -> float:
    """Of the `size` bytes of a text that are not ASCII."""
    tokens = size * _PER_USUAL
    for beginning, length, per_byte in _RARE:
        found = text.count(beginning)
        if found and beginning == b"\xe1":
            found -= sum(map(text.count, _VIETNAMESE))
        tokens += found * length * (per_byte - _PER_USUAL)
    return tokens
