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

    @property
    def possible(self) -> bool:
        """Whether there is anything that could be cited."""
        return bool(self._results)

    def find(self, identity: Any) -> dict[str, Any] | None:
        """The source with this id (a number or a text) if it has an address; later results win."""
        if self._known is None:
            self._known = {}
            for content in self._results:
                self._known.update(_read(content))
        return self._known.get(str(identity)[:200]) if isinstance(identity, int | str) else None


def _read(content: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(content, str) or len(content) > _MOST or content.lstrip()[:1] != "{":
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
