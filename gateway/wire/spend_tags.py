"""For whom a caller asks: the end user and the labels that a request names, by which its spending is told apart.

OpenAI's `user`, its newer name `safety_identifier`, and pairs of `metadata` (API reference, create chat completion);
Anthropic's `metadata.user_id` (Messages); Gemini's `labels` (Vertex AI, generateContent).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from gateway.wire.lenient import dict_of

Tags = tuple[tuple[str, str], ...]
"""Names and values, each name once."""

USER = "user"
"""The name under which the end user stands."""

LONGEST_VALUE = 128
"""Characters of a value that count; the rest is cut."""

_NAMING = frozenset({"user", "safety_identifier", "metadata", "labels"})
"""Members of a request that name somebody or something."""


def spend_tags(body: Mapping[str, Any], *, user: bool, names: Collection[str]) -> Tags:
    """The tags of a request as its caller wrote it, in any dialect.

    user: whether the end user counts. names: the members of `metadata` (or `labels`) that do. What is no text, or is
    empty, is no tag; of a text no more than `LONGEST_VALUE` characters count, control characters are spaces.
    """
    if _NAMING.isdisjoint(body):
        return ()  # nearly always
    found: dict[str, str] = {}
    pairs, labels = dict_of(body.get("metadata")), dict_of(body.get("labels"))
    if user:
        value = _text(body.get("user")) or _text(body.get("safety_identifier")) or _text(pairs.get("user_id"))
        if value:
            found[USER] = value
    for name in names:
        value = _text(pairs.get(name)) or _text(labels.get(name))
        if value:
            found[name] = value
    return tuple(found.items())


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        return ""
    short = value[:LONGEST_VALUE]
    if not short.isprintable():
        short = "".join(char if char.isprintable() else " " for char in short)
    return short.strip()
