"""How many tokens a text is expected to make, by its script: for holds, where no tokenizer says it.

Calibrated with `o200k_base` and `cl100k_base`: tokens per byte of UTF-8 are 0.23 to 0.31 in prose, code and JSON, 0.33
in digits, 0.57 to 0.71 in hexadecimal, base64 and rows of punctuation, and 0.10 to 0.38 in Russian, Chinese and Hindi.
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
