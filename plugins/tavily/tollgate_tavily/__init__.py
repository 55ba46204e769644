"""Tavily as a search service: `POST /search` for results, `POST /extract` for the text of a page.

Source: Tavily's API reference (search, extract). Tavily reads pages itself, so pages that only a browser shows come
with their text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, SecretStr

from gateway.api import (
    ApiKey,
    BaseUrl,
    Net,
    Page,
    SearchKind,
    SearchQuery,
    SearchResult,
    ToolFault,
    UpstreamReply,
    UpstreamRequest,
    dict_of,
    dicts_of,
    hookimpl,
    text_of,
)

_MOST_RESULTS = 20


class TavilySettings(BaseModel):
    """api_key: `tvly-...`. depth: `basic` (one credit a search) or `advanced` (two), `auto` for advanced where the
    request's `search_context_size` is high. extract: read pages by Tavily too (a credit for five pages)."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    api_key: ApiKey = SecretStr("")
    base_url: BaseUrl = "https://api.tavily.com"
    depth: Literal["basic", "advanced", "auto"] = "basic"
    extract: bool = True


class Tavily:
    """One key; see `gateway.api.SearchBackend`."""

    def __init__(self, name: str, settings: TavilySettings) -> None:
        self.name = name
        self._settings = settings

    async def search(self, query: SearchQuery, net: Net) -> Sequence[SearchResult]:
        settings = self._settings
        depth = settings.depth if settings.depth != "auto" else "advanced" if query.size == "high" else "basic"
        body: dict[str, Any] = {
            "query": query.text,
            "max_results": min(query.count, _MOST_RESULTS),
            "search_depth": depth,
        }
        if query.allowed_domains:
            body["include_domains"] = list(query.allowed_domains)
        if query.blocked_domains:
            body["exclude_domains"] = list(query.blocked_domains)
        answer = self._read(await net.exchange(self._request("/search", body)))
        return [
            SearchResult(
                text_of(entry.get("url")),
                text_of(entry.get("title")),
                text_of(entry.get("content")),
                text_of(entry.get("published_date")),
            )
            for entry in dicts_of(answer.get("results"))
            if text_of(entry.get("url")).startswith(("http://", "https://"))
        ]

    async def read(self, url: str, net: Net) -> Page | None:
        """The page's text as Tavily has it; None when it has none, so that the gateway's own reader tries."""
        if not self._settings.extract:
            return None
        answer = self._read(await net.exchange(self._request("/extract", {"urls": [url], "format": "markdown"})))
        for entry in dicts_of(answer.get("results")):
            if text := text_of(entry.get("raw_content")):
                return Page(text_of(entry.get("url")) or url, text_of(entry.get("title")), text)
        return None

    def _request(self, path: str, body: dict[str, Any]) -> UpstreamRequest:
        key = self._settings.api_key.get_secret_value()
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json", "accept": "application/json"}
        return UpstreamRequest(self._settings.base_url + path, headers, orjson.dumps(body))

    def _read(self, reply: UpstreamReply) -> dict[str, Any]:
        try:
            answer = orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            answer = None
        if reply.status != 200:
            reason = text_of(dict_of(dict_of(answer).get("detail")).get("error"))
            raise ToolFault("The search service failed.", f"{self.name}: status {reply.status}, {reason[:200]}")
        if not isinstance(answer, dict):
            raise ToolFault("The search service's answer makes no sense.", f"{self.name}: not a JSON object")
        return answer


def why_not_ready(settings: TavilySettings) -> str:
    """Why the service is switched off; "" when it can be used."""
    return "" if settings.api_key.get_secret_value() else "api_key is empty"


@hookimpl
def register_search(register: Callable[[SearchKind], None]) -> None:
    """Offer the kind `tavily`."""
    register(SearchKind("tavily", TavilySettings, Tavily, why_not_ready))
