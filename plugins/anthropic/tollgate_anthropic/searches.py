"""Anthropic's own web searches, for callers of other dialects.

Source: Anthropic's page on the web search tool: a `server_tool_use` block with the query, then a
`web_search_tool_result` whose content is a list of results, or an error object.
"""

from __future__ import annotations

from typing import Any

from gateway.api import Activity, dict_of, dicts_of, search_activity, text_of


def search_id(block_id: Any) -> str:
    """The id of the item that tells of the search with this block's id."""
    return "ws_" + text_of(block_id).removeprefix("srvtoolu_")


class Searches:
    """The searches of one answer."""

    def __init__(self) -> None:
        self._asked: dict[str, str] = {}

    def take(self, block: dict[str, Any]) -> Activity | None:
        """Take a whole block; what it tells of a search that is over."""
        if block.get("type") == "server_tool_use" and block.get("name") == "web_search":
            self._asked[text_of(block.get("id"))] = text_of(dict_of(block.get("input")).get("query"))
        if block.get("type") != "web_search_tool_result":
            return None
        identity = text_of(block.get("tool_use_id"))
        found = block.get("content")
        urls = [text_of(result.get("url")) for result in dicts_of(found)]
        return search_activity(
            search_id(identity).removeprefix("ws_"),
            self._asked.pop(identity, ""),
            urls,
            failed=not isinstance(found, list),
        )
