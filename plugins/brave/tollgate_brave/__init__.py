"""Brave's web search API as a search service.

Source: Brave Search API reference, "Web search" (`GET /res/v1/web/search`): `q` of at most 400 characters and 50
words, `count` of at most 20, `X-Subscription-Token`, and the headers `X-Loc-*` for where the user is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import unescape
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

import orjson
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gateway.api import (
    ApiKey,
    BaseUrl,
    Net,
    Page,
    SearchKind,
    SearchQuery,
    SearchResult,
    ToolFault,
    UpstreamRequest,
    dict_of,
    dicts_of,
    hookimpl,
    text_of,
)

_TAG = re.compile(r"</?[a-z]+[^>]*>")
_MOST_CHARACTERS, _MOST_WORDS, _MOST_RESULTS = 400, 50, 20
_PLACES = {"city": "x-loc-city", "region": "x-loc-state-name", "country": "x-loc-country", "timezone": "x-loc-timezone"}


class BraveSettings(BaseModel):
    """api_key: the subscription token. language: `search_lang`. safesearch, country: as the API names them; the
    country of the request's `user_location` goes before."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    api_key: ApiKey = SecretStr("")
    base_url: BaseUrl = "https://api.search.brave.com"
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[a-z]+)?$")] | None = None
    country: Annotated[str, Field(pattern=r"^[A-Z]{2,3}$")] | None = None
    safesearch: Literal["off", "moderate", "strict"] = "moderate"


class Brave:
    """One subscription; see `gateway.api.SearchBackend`."""

    def __init__(self, name: str, settings: BraveSettings) -> None:
        self.name = name
        self._settings = settings

    async def search(self, query: SearchQuery, net: Net) -> Sequence[SearchResult]:
        reply = await net.exchange(self.request(query))
        if reply.status != 200:
            raise ToolFault("The search service failed.", f"{self.name}: status {reply.status}, {_reason(reply.body)}")
        return read_results(reply.body, self.name)[: query.count]

    async def read(self, url: str, net: Net) -> Page | None:
        """It has no pages of its own."""
        return None

    def request(self, query: SearchQuery) -> UpstreamRequest:
        """The GET for a query."""
        settings = self._settings
        # Filters that would make the query too long are left to the gateway, which looks at the results again.
        text = " ".join(query.text.split()[:_MOST_WORDS])[:_MOST_CHARACTERS]
        sites = " OR ".join(f"site:{domain}" for domain in query.allowed_domains)
        filters = [f"({sites})"] if sites else []
        filters += [f"NOT site:{domain}" for domain in query.blocked_domains]
        longer = " ".join([text, *filters])
        if len(longer) <= _MOST_CHARACTERS and len(longer.split()) <= _MOST_WORDS:
            text = longer
        count = _MOST_RESULTS if filters else min(query.count, _MOST_RESULTS)
        fields: dict[str, Any] = {"q": text, "count": count, "safesearch": settings.safesearch}
        fields.update(text_decorations="false", result_filter="web", extra_snippets="true")
        country = query.location.get("country", "").upper() or settings.country
        if country:
            fields["country"] = country
        if settings.language:
            fields["search_lang"] = settings.language
        headers = {"accept": "application/json", "x-subscription-token": settings.api_key.get_secret_value()}
        for name, header in _PLACES.items():
            value = query.location.get(name, "")
            if value and value.isascii() and value.isprintable():
                headers[header] = value
        address = f"{settings.base_url}/res/v1/web/search?{urlencode(fields, quote_via=quote)}"
        return UpstreamRequest(address, headers, b"", method="GET")


def read_results(body: bytes, name: str) -> list[SearchResult]:
    """The results of an answer, in its order. Raises ToolFault for nonsense."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ToolFault("The search service's answer makes no sense.", f"{name}: not JSON") from None
    found = []
    for entry in dicts_of(dict_of(dict_of(answer).get("web")).get("results")):
        more = entry.get("extra_snippets")
        texts = [text_of(entry.get("description")), *map(text_of, more if isinstance(more, list) else ())]
        url = text_of(entry.get("url"))
        if url.startswith(("http://", "https://")):
            text = "\n".join(_plain(text) for text in texts if text)
            published = text_of(entry.get("page_age"))[:10]
            found.append(SearchResult(url, _plain(text_of(entry.get("title"))), text, published))
    return found


def _plain(text: str) -> str:
    return unescape(_TAG.sub("", text))


def _reason(body: bytes) -> str:
    try:
        error = dict_of(dict_of(orjson.loads(body)).get("error"))
    except orjson.JSONDecodeError:
        return ""
    return f"{text_of(error.get('code'))} {text_of(error.get('detail'))}"[:200]


def why_not_ready(settings: BraveSettings) -> str:
    """Why the service is switched off; "" when it can be used."""
    return "" if settings.api_key.get_secret_value() else "api_key is empty"


@hookimpl
def register_search(register: Callable[[SearchKind], None]) -> None:
    """Offer the kind `brave`."""
    register(SearchKind("brave", BraveSettings, Brave, why_not_ready))
