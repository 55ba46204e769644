"""Where a citation leads: Mistral cites tool results by the ids that the caller gave them.

Its page on citations has tools answer with a JSON object of `{"<id>": {"url", "title", "snippets", ...}}`; the answer
then holds chunks `{"type": "reference", "reference_ids": [...]}` after the texts they support.
"""

from __future__ import annotations

from typing import Any

import orjson

_MOST = 1_000_000


class Sources:
    """The sources in one request's tool results, read when the first citation comes."""

    def __init__(self, body: dict[str, Any]) -> None:
        messages = body.get("messages")
        self._results = [
            message.get("content")
            for message in (messages if isinstance(messages, list) else ())
            if isinstance(message, dict) and message.get("role") == "tool"
        ]
        self._known: dict[str, dict[str, Any]] | None = None
        self._possible = any(_may_name_sources(content) for content in self._results)

    @property
    def possible(self) -> bool:
        """Whether a citation could lead to an address. Then it is worth its price to count the answer's text."""
        return self._possible

    def find(self, identity: Any) -> dict[str, Any] | None:
        """The source with this id (a number or a text) if it has an address; later results win."""
        if self._known is None:
            self._known = {}
            for content in self._results:
                self._known.update(_read(content))
        return self._known.get(str(identity)[:200]) if isinstance(identity, int | str) else None


def _may_name_sources(content: Any) -> bool:
    return isinstance(content, str) and len(content) <= _MOST and content.lstrip()[:1] == "{" and '"url"' in content


def _read(content: Any) -> dict[str, dict[str, Any]]:
    if not _may_name_sources(content):
        return {}
    try:
        found = orjson.loads(content)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return {}
    return {
        key: value
        for key, value in found.items()
        if isinstance(value, dict) and isinstance(value.get("url"), str) and value["url"]
    }
