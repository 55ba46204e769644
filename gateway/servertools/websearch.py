"""The gateway's own web search: services in the operator's order, filters that hold whatever a service does, pages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.config import SearchSettings
from gateway.errors import Fault
from gateway.fetch.urls import UrlProblem, parse_url
from gateway.tools import (
    ContextSize,
    Net,
    Page,
    PageReader,
    SearchBackend,
    SearchQuery,
    SearchResult,
    ToolFault,
)

NOT_CONFIGURED = (
    "this gateway has no search service for this model; its operator can configure one under `search.backends`"
)


@dataclass(slots=True, frozen=True)
class Service:
    """A search service that is ready. development: see `SearchKind`."""

    backend: SearchBackend
    development: bool = False


class WebSearch:
    """services: in the order in which they are asked. reader: None when no plugin reads pages."""

    def __init__(
        self,
        settings: SearchSettings,
        services: Sequence[Service],
        reader: PageReader | None,
        net: Net,
        log: logging.Logger,
    ) -> None:
        self._settings = settings
        real = [service.backend for service in services if not service.development]
        self._real = tuple(real)
        self._any = tuple(real or [service.backend for service in services])
        self._reader = reader
        self._net = net
        self._log = log

    def available(self, free: bool) -> bool:
        """Whether there is a service for a model that is free, or for one that is not."""
        return bool(self._any if free else self._real)

    def reads(self) -> bool:
        """Whether pages can be opened."""
        return self._reader is not None

    def count(self, size: ContextSize) -> int:
        """Results for one search."""
        settings = self._settings
        counts = {"low": settings.results_low, "medium": settings.results_medium, "high": settings.results_high}
        return counts[size]

    async def search(self, query: SearchQuery, *, free: bool = False) -> list[SearchResult]:
        """The results of the first service that answers. Raises ToolFault when none does."""
        wanted = max(query.count, 20) if query.allowed_domains or query.blocked_domains else query.count
        asked = replace(query, count=wanted)
        for backend in self._any if free else self._real:
            try:
                async with asyncio.timeout(self._settings.timeout):
                    found = await backend.search(asked, self._net)
                kept = {result.url: result for result in found if _allowed(result.url, query)}
            except (ToolFault, Fault, TimeoutError) as error:
                detail = error.detail if isinstance(error, ToolFault | Fault) else "timed out"
                self._log.warning("search service %s failed: %s (%s)", backend.name, error, detail)
            except Exception:  # a plugin that stumbles over an answer: the next may do better
                self._log.exception("search service %s failed", backend.name)
            else:
                return list(kept.values())[: query.count]
        raise ToolFault("The web search does not work at the moment.")

    async def open(self, url: str, query: SearchQuery, *, free: bool = False) -> Page:
        """The text of a page, cut to `search.max_page_text`. Filters of the request hold here too. Raises ToolFault."""
        if not _allowed(url, query):
            raise ToolFault("The page is not one that this request allows.")
        try:
            async with asyncio.timeout(self._settings.timeout):
                page = await self._read(url, free)
        except TimeoutError:
            raise ToolFault(f"The page did not come within {self._settings.timeout:g} seconds.") from None
        most = self._settings.max_page_text
        return page if len(page.text) <= most else replace(page, text=page.text[:most] + "\n[The page goes on.]")

    async def _read(self, url: str, free: bool) -> Page:
        for backend in self._any if free else self._real:
            try:
                page = await backend.read(url, self._net)
            except (ToolFault, Fault) as error:
                self._log.info("search service %s did not read a page: %s", backend.name, error)
            except Exception:  # as above
                self._log.exception("search service %s did not read a page", backend.name)
            else:
                if page is not None:
                    return page
        if self._reader is None:
            raise ToolFault("Pages cannot be opened here.")
        document = await self._net.fetch(url)
        try:
            return await asyncio.to_thread(self._reader.read, document)
        except ToolFault:
            raise
        except Exception:  # a parser of foreign pages may fail in any way; the model goes on without the page
            self._log.exception("a page could not be read")
            raise ToolFault("The page could not be read.") from None


def _allowed(url: str, query: SearchQuery) -> bool:
    try:
        host = parse_url(url).host
    except UrlProblem:
        return False
    if query.allowed_domains and not any(_within(host, domain) for domain in query.allowed_domains):
        return False
    return not any(_within(host, domain) for domain in query.blocked_domains)


def _within(host: str, domain: str) -> bool:
    domain = domain.lower().removeprefix("www.").rstrip("./")
    return host == domain or host.endswith("." + domain)
