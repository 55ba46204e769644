"""Search services in order, filters, pages."""

from __future__ import annotations

import logging

import pytest

from gateway.config import SearchSettings
from gateway.errors import UpstreamFault
from gateway.servertools.websearch import Service, WebSearch
from gateway.tools import Document, Page, SearchQuery, SearchResult, ToolFault

LOG = logging.Logger("test")


class Backend:
    def __init__(self, name, results=(), fault=None, page=None):
        self.name, self.results, self.fault, self.page = name, results, fault, page
        self.asked = []

    async def search(self, query, net):
        self.asked.append(query)
        if self.fault:
            raise self.fault
        return self.results

    async def read(self, url, net):
        if self.fault:
            raise self.fault
        return self.page


class Net:
    async def exchange(self, request):
        raise AssertionError

    async def fetch(self, url):
        return Document(url, "text/html", b"x" * 5000)


class Reader:
    def read(self, document):
        if "broken" in document.url:
            raise RuntimeError("a parser's bug")
        return Page(document.url, "", document.data.decode())


def result(url: str) -> SearchResult:
    return SearchResult(url, "t")


def make(*services, **settings) -> WebSearch:
    return WebSearch(SearchSettings(**settings), services, Reader(), Net(), LOG)


async def test_the_next_is_asked_when_one_fails():
    first = Backend("a", fault=ToolFault("no"))
    second = Backend("b", fault=UpstreamFault("no", status=502))
    stumbles = [Service(Backend("x", fault=KeyError("a plugin's own"))), Service(Backend("y", results=None))]
    third = Backend("c", [result("https://x.example/")], page=Page("https://x.example/", "", "the text"))
    search = make(Service(first), Service(second), *stumbles, Service(third))
    assert [found.url for found in await search.search(SearchQuery("q"))] == ["https://x.example/"]
    assert (await search.open("https://x.example/", SearchQuery("q"))).text == "the text"
    with pytest.raises(ToolFault):
        await make(Service(first), Service(second), *stumbles).search(SearchQuery("q"))


async def test_filters_hold_whatever_the_service_does():
    urls = [
        "https://a.example/1",
        "https://sub.a.example/2",
        "https://evil-a.example/3",
        "https://bad.a.example/4",
        "x:y",
    ]
    backend = Backend("a", [result(url) for url in urls])
    search = make(Service(backend))
    query = SearchQuery("q", count=5, allowed_domains=("A.example",), blocked_domains=("bad.a.example",))
    assert [found.url for found in await search.search(query)] == urls[:2]
    assert backend.asked[0].count == 20
    for url in urls[2:]:
        with pytest.raises(ToolFault):
            await search.open(url, query)


async def test_the_same_page_counts_once():
    search = make(Service(Backend("a", [result("https://x.example/")] * 3)))
    assert len(await search.search(SearchQuery("q"))) == 1


async def test_made_up_pages_are_for_free_models_only_while_nothing_else_is_there():
    sample = Service(Backend("sample", [result("https://sample.example/")]), development=True)
    alone = make(sample)
    assert alone.available(free=True)
    assert not alone.available(free=False)
    both = make(sample, Service(Backend("real", [result("https://real.example/")])))
    assert [found.url for found in await both.search(SearchQuery("q"), free=True)] == ["https://real.example/"]
    assert not make().available(free=True)


async def test_pages_are_read_and_cut():
    search = make(Service(Backend("a")), max_page_text=1000)
    page = await search.open("https://x.example/", SearchQuery("q"))
    assert page.text.startswith("x" * 1000 + "\n[")
    own = make(Service(Backend("a", page=Page("https://x.example/", "T", "own"))))
    assert (await own.open("https://x.example/", SearchQuery("q"))).text == "own"
    with pytest.raises(ToolFault, match="could not be read"):
        await search.open("https://x.example/broken", SearchQuery("q"))
