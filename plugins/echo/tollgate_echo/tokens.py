"""The echo model's own way to count: simple, exact, and written down.

A token is a run of at most eight letters, digits or underscores, or one other character, each together with the
white space before it (white space at the end is a token, too). Joined, the tokens of a text are the text.
Beyond 64 Ki characters in all, the texts of a prompt are counted as a quarter of their length: nobody reads an echo
that long, and counting must not keep others waiting.

A prompt counts: 3 tokens per message plus its texts, 3 for the answer's beginning, the tools' JSON as text,
85 per picture, and 1 per 1,000 bytes of sound or file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

IMAGE_TOKENS = 85
_TOKEN = re.compile(r"\s*(?:\w{1,8}|[^\w\s])|\s+")
_EXACT_UP_TO = 65_536


def split_tokens(text: str) -> list[str]:
    """The tokens of a text; `"".join` gives it back."""
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    """How many tokens a text makes (see the module's rule for very long ones)."""
    return _Counter().count(text)


class _Counter:
    """Counts the texts of one prompt. exact: characters that were counted one by one."""

    def __init__(self) -> None:
        self.exact = 0

    def count(self, text: str) -> int:
        """Tokens of the next text."""
        if self.exact + len(text) > _EXACT_UP_TO:
            return len(text) // 4
        self.exact += len(text)
        return len(split_tokens(text))


def count_prompt(body: Mapping[str, Any]) -> int:
    """How many tokens the input of a chat body makes."""
    counter = _Counter()
    total = 3
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        total += 3
        if isinstance(message, dict):
            total += _message_tokens(message, counter)
    for key in ("tools", "response_format"):
        if body.get(key):
            total += counter.count(_json(body[key]))
    return total


def _message_tokens(message: Mapping[str, Any], counter: _Counter) -> int:
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    total = sum(_part_tokens(part, counter) for part in parts if isinstance(part, dict))
    if isinstance(message.get("name"), str):
        total += counter.count(message["name"])
    if message.get("tool_calls"):
        total += counter.count(_json(message["tool_calls"]))
    return total


def _part_tokens(part: Mapping[str, Any], counter: _Counter) -> int:
    kind = part.get("type")
    if kind == "image_url":
        return IMAGE_TOKENS
    if kind in ("input_audio", "file"):
        value = part.get(kind)
        data = value.get("data") or value.get("file_data") if isinstance(value, dict) else None
        return 1 + (len(data) * 3 // 4 // 1000 if isinstance(data, str) else 0)
    text = part.get("text")
    return counter.count(text) if isinstance(text, str) else 0


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
