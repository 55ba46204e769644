"""Against answers in the shape of Tavily's API."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from tollgate_tavily import Tavily, TavilySettings, register_search, why_not_ready

from gateway.api import SearchQuery, ToolFault, UpstreamReply

SEARCH = {
    "query": "moon",
    "answer": None,
    "images": [],
    "results": [
        {"url": "https://moon.example/a", "title": "Moon", "content": "Round.", "score": 0.9, "raw_content": None},
        {"url": "ftp://no.example", "title": "no"},
    ],
    "response_time": 1.2,
    "request_id": "1",
}
EXTRACT = {
    "results": [{"url": "https://moon.example/a", "raw_content": "# Moon\nRound.", "images": []}],
    "failed_results": [],
    "response_time": 0.1,
}


class Net:
    def __init__(self, value, status: int = 200) -> None:
        self.reply = UpstreamReply(status, {}, value if isinstance(value, bytes) else orjson.dumps(value))
        self.sent = []

    async def exchange(self, request):
        self.sent.append(request)
        return self.reply


def run(work, value, status: int = 200, **settings):
    net = Net(value, status)
    service = Tavily("t", TavilySettings(api_key="tvly-secret", **settings))
    return asyncio.run(work(service, net)), net.sent


def test_search():
    query = SearchQuery("moon", count=4, allowed_domains=("a.example",), blocked_domains=("b.example",), size="high")
    found, [request] = run(lambda service, net: service.search(query, net), SEARCH, depth="auto")
    assert [(result.url, result.text) for result in found] == [("https://moon.example/a", "Round.")]
    assert request.url == "https://api.tavily.com/search"
    assert request.headers["authorization"] == "Bearer tvly-secret"
    assert orjson.loads(request.body) == {
        "query": "moon",
        "max_results": 4,
        "search_depth": "advanced",
        "include_domains": ["a.example"],
        "exclude_domains": ["b.example"],
    }


def test_pages():
    page, [request] = run(lambda service, net: service.read("https://moon.example/a", net), EXTRACT)
    assert page.text == "# Moon\nRound."
    assert orjson.loads(request.body)["urls"] == ["https://moon.example/a"]
    failed = {"results": [], "failed_results": [{"url": "x", "error": "no"}]}
    assert run(lambda service, net: service.read("https://x.example", net), failed)[0] is None
    assert run(lambda service, net: service.read("https://x.example", net), EXTRACT, extract=False) == (None, [])


def test_errors():
    with pytest.raises(ToolFault) as fault:
        run(lambda service, net: service.search(SearchQuery("x"), net), {"detail": {"error": "no credits"}}, 432)
    assert fault.value.detail == "t: status 432, no credits"
    for body in (b"", b"[]", b"null", b"\xff"):
        with pytest.raises(ToolFault):
            run(lambda service, net: service.search(SearchQuery("x"), net), body)


def test_registers_and_is_off_without_key():
    kinds = []
    register_search(kinds.append)
    assert kinds[0].kind == "tavily"
    assert why_not_ready(TavilySettings())
    assert not why_not_ready(TavilySettings(api_key="k"))
