"""Citations of text blocks as `annotations` of a chat message.

OpenAI's API reference knows one kind in chat, `url_citation` with the span of the text it supports. Anthropic's
citations with an address become that, their other members (cited_text, encrypted_index) beside OpenAI's own.
Citations of documents have no address; they stand in `citations`, unchanged but for the span.
"""

from __future__ import annotations

from typing import Any

from gateway.api import text_of


class Citations:
    """Collects the citations of one answer. `annotations` and `citations` grow; entries carry their `index`."""

    def __init__(self) -> None:
        self.annotations: list[dict[str, Any]] = []
        self.citations: list[dict[str, Any]] = []

    def add(self, found: list[Any], start: int, end: int) -> None:
        """Citations of the text from character `start` to `end` of the answer's content."""
        for citation in found:
            if not isinstance(citation, dict):
                continue
            url = citation.get("url") or citation.get("source")
            if isinstance(url, str) and url:
                rest = {key: value for key, value in citation.items() if key not in ("type", "url", "source")}
                spot = {"url": url, "title": text_of(citation.get("title")), "start_index": start, "end_index": end}
                self.annotations.append(
                    {"index": len(self.annotations), "type": "url_citation", "url_citation": {**rest, **spot}}
                )
            else:
                self.citations.append(
                    {**citation, "index": len(self.citations), "start_index": start, "end_index": end}
                )
