"""SearXNG, the self-hosted metasearch engine, as a search service: its JSON API.

Source: SearXNG's documentation, "Search API" (`/search?q=...&format=json`); the instance must list `json` under
`search.formats` in its `settings.yml`, and answers 403 when it does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Literal
from urllib.parse import quote, urlencode

import orjson
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gateway.api import (
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

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}")


class SearxngSettings(BaseModel):
    """url: of the instance. categories, engines: names of the instance's own, none for its defaults. language: `all`,
    or a code such as `en` or `de-DE`. safesearch: 0 none, 1 moderate, 2 strict; none for the instance's own.
    authorization: value of the header of that name, for instances behind a proxy that asks for it."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    url: BaseUrl | Literal[""] = ""
    categories: list[str] = []
    engines: list[str] = []
    language: Annotated[str, Field(pattern=r"^[A-Za-z-]{2,12}$")] = "all"
    safesearch: Annotated[int, Field(ge=0, le=2)] | None = None
    authorization: SecretStr = SecretStr("")


class Searxng:
    """One instance; see `gateway.api.SearchBackend`."""

    def __init__(self, name: str, settings: SearxngSettings) -> None:
        self.name = name
        self._settings = settings

    async def search(self, query: SearchQuery, net: Net) -> Sequence[SearchResult]:
        reply = await net.exchange(self.request(query))
        if reply.status == 403:
            raise ToolFault(
                "The search service refuses JSON.", f"{self.name}: add `json` to search.formats in its settings.yml"
            )
        if reply.status != 200:
            raise ToolFault("The search service failed.", f"{self.name}: status {reply.status}")
        return read_results(reply.body, self.name)[: query.count]

    async def read(self, url: str, net: Net) -> Page | None:
        """It has no pages of its own."""
        return None

    def request(self, query: SearchQuery) -> UpstreamRequest:
        """The GET for a query. Engines have no common filter, but nearly all understand `site:`."""
        settings = self._settings
        text = query.text
        if query.allowed_domains:
            sites = " OR ".join(f"site:{domain}" for domain in query.allowed_domains)
            text += f" ({sites})" if len(query.allowed_domains) > 1 else f" {sites}"
        text += "".join(f" -site:{domain}" for domain in query.blocked_domains)
        country = query.location.get("country", "")
        language = settings.language
        if len(country) == 2 and "-" not in language and language != "all":
            language = f"{language}-{country.upper()}"
        fields = {"q": text, "format": "json", "language": language}
        if settings.categories:
            fields["categories"] = ",".join(settings.categories)
        if settings.engines:
            fields["engines"] = ",".join(settings.engines)
        if settings.safesearch is not None:
            fields["safesearch"] = str(settings.safesearch)
        headers = {"accept": "application/json"}
        if settings.authorization.get_secret_value():
            headers["authorization"] = settings.authorization.get_secret_value()
        address = f"{settings.url}/search?{urlencode(fields, quote_via=quote)}"
        return UpstreamRequest(address, headers, b"", method="GET")


def read_results(body: bytes, name: str) -> list[SearchResult]:
    """The results of an answer, in its order. Raises ToolFault for nonsense, and for an answer without results whose
    engines all failed: that nothing was found would not be true."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ToolFault("The search service's answer makes no sense.", f"{name}: not JSON") from None
    answer = dict_of(answer)
    found = [
        SearchResult(
            url=text_of(entry.get("url")),
            title=text_of(entry.get("title")),
            text=text_of(entry.get("content")),
            published=published[0] if (published := _TIME.match(text_of(entry.get("publishedDate")))) else "",
        )
        for entry in dicts_of(answer.get("results"))
        if text_of(entry.get("url")).startswith(("http://", "https://"))
    ]
    failed = answer.get("unresponsive_engines")
    if not found and isinstance(failed, list) and failed:
        raise ToolFault("The search service found nothing: its engines do not answer.", f"{name}: {str(failed)[:300]}")
    return found


def why_not_ready(settings: SearxngSettings) -> str:
    """Why the instance is switched off; "" when it can be used."""
    return "" if settings.url else "url is empty"


@hookimpl
def register_search(register: Callable[[SearchKind], None]) -> None:
    """Offer the kind `searxng`."""
    register(SearchKind("searxng", SearxngSettings, Searxng, why_not_ready))
