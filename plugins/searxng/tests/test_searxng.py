"""Against answers in the shape of SearXNG's JSON API."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from tollgate_searxng import Searxng, SearxngSettings, register_search, why_not_ready

from gateway.api import SearchQuery, ToolFault, UpstreamReply

ANSWER = {
    "query": "moon",
    "number_of_results": 0,
    "results": [
        {
            "url": "https://moon.example/a",
            "title": "The moon",
            "content": "It goes round.",
            "publishedDate": "2026-01-02T00:00:00",
            "engine": "duckduckgo",
            "parsed_url": ["https", "moon.example", "/a", "", "", ""],
            "template": "default.html",
            "engines": ["duckduckgo", "brave"],
            "positions": [1, 2],
            "score": 3.0,
            "category": "general",
        },
        {"url": "https://moon.example/b", "title": "More", "content": None, "publishedDate": None},
        {"url": "javascript:alert(1)", "title": "no"},
        {"title": "no address"},
        "nonsense",
    ],
    "answers": [],
    "corrections": [],
    "infoboxes": [],
    "suggestions": [],
    "unresponsive_engines": [["qwant", "timeout"]],
}


class Net:
    def __init__(self, body: bytes, status: int = 200) -> None:
        self.reply = UpstreamReply(status, {}, body)
        self.sent = []

    async def exchange(self, request):
        self.sent.append(request)
        return self.reply

    async def fetch(self, url):
        raise AssertionError("the service is the operator's, not a page")


def search(query: SearchQuery, body: bytes | None = None, status: int = 200, **settings):
    net = Net(orjson.dumps(ANSWER) if body is None else body, status)
    service = Searxng("s", SearxngSettings(url="http://10.0.0.1:8888/", **settings))
    return asyncio.run(service.search(query, net)), net.sent[0]


def fields(request) -> dict[str, list[str]]:
    return parse_qs(urlsplit(request.url).query)


def test_results():
    found, request = search(SearchQuery("moon & sun"))
    assert [(result.url, result.title, result.text, result.published) for result in found] == [
        ("https://moon.example/a", "The moon", "It goes round.", "2026-01-02"),
        ("https://moon.example/b", "More", "", ""),
    ]
    assert request.method == "GET"
    assert request.url.startswith("http://10.0.0.1:8888/search?")
    assert fields(request) == {"q": ["moon & sun"], "format": ["json"], "language": ["all"]}


def test_count():
    assert len(search(SearchQuery("x", count=1))[0]) == 1


def test_filters_and_place():
    query = SearchQuery(
        "x", allowed_domains=("a.example", "b.example"), blocked_domains=("c.example",), location={"country": "de"}
    )
    _, request = search(query, language="en", engines=["brave"], safesearch=2)
    assert fields(request)["q"] == ["x (site:a.example OR site:b.example) -site:c.example"]
    assert fields(request)["language"] == ["en-DE"]
    assert fields(request)["engines"] == ["brave"]
    assert fields(request)["safesearch"] == ["2"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff"])
def test_nonsense(body):
    with pytest.raises(ToolFault, match="no sense"):
        search(SearchQuery("x"), body)


@pytest.mark.parametrize("body", [b"null", b"[]", b'{"results": 3}'])
def test_nothing_found(body):
    assert search(SearchQuery("x"), body)[0] == []


def test_all_engines_failed_is_not_nothing_found():
    with pytest.raises(ToolFault, match="engines"):
        search(SearchQuery("x"), orjson.dumps({"results": [], "unresponsive_engines": [["brave", "timeout"]]}))


def test_json_switched_off_names_the_setting():
    with pytest.raises(ToolFault) as fault:
        search(SearchQuery("x"), b"Forbidden", 403)
    assert "settings.yml" in fault.value.detail


def test_registers_and_is_off_without_url():
    kinds = []
    register_search(kinds.append)
    assert kinds[0].kind == "searxng"
    assert why_not_ready(SearxngSettings(url=""))
    assert not why_not_ready(SearxngSettings(url="http://s.example"))
