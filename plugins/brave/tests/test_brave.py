"""Against answers in the shape of Brave's web search API."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from tollgate_brave import Brave, BraveSettings, register_search, why_not_ready

from gateway.api import SearchQuery, ToolFault, UpstreamReply

ANSWER = {
    "type": "search",
    "query": {"original": "moon", "more_results_available": True},
    "web": {
        "type": "search",
        "results": [
            {
                "title": "The <strong>moon</strong> &amp; we",
                "url": "https://moon.example/a",
                "is_source_local": False,
                "description": "It goes <strong>round</strong>.",
                "page_age": "2026-01-02T10:00:00",
                "extra_snippets": ["It is &lt;far&gt;.", None],
                "meta_url": {"scheme": "https", "hostname": "moon.example"},
            },
            {"title": "no address"},
        ],
        "family_friendly": True,
    },
}


class Net:
    def __init__(self, body: bytes, status: int = 200) -> None:
        self.reply = UpstreamReply(status, {}, body)
        self.sent = []

    async def exchange(self, request):
        self.sent.append(request)
        return self.reply


def search(query: SearchQuery, body: bytes | None = None, status: int = 200, **settings):
    net = Net(orjson.dumps(ANSWER) if body is None else body, status)
    service = Brave("b", BraveSettings(api_key="BSA-secret", **settings))
    return asyncio.run(service.search(query, net)), net.sent[0]


def fields(request) -> dict[str, list[str]]:
    return parse_qs(urlsplit(request.url).query)


def test_results_without_markup():
    [result], request = search(SearchQuery("moon", count=3))
    assert result.title == "The moon & we"
    assert result.text == "It goes round.\nIt is <far>."
    assert result.published == "2026-01-02"
    assert request.headers["x-subscription-token"] == "BSA-secret"
    assert fields(request)["q"] == ["moon"]
    assert fields(request)["count"] == ["3"]


def test_place_and_filters():
    place = {"country": "de", "city": "Berlin", "timezone": "Europe/Berlin", "region": "Köln"}
    _, request = search(
        SearchQuery("x", allowed_domains=("a.example",), blocked_domains=("b.example",), location=place)
    )
    assert fields(request)["q"] == ["x (site:a.example) NOT site:b.example"]
    assert fields(request)["country"] == ["DE"]
    assert request.headers["x-loc-city"] == "Berlin"
    assert "x-loc-state-name" not in request.headers


def test_limits_of_the_api():
    _, request = search(SearchQuery("word " * 100, count=50))
    assert len(fields(request)["q"][0].split()) == 50
    assert fields(request)["count"] == ["20"]
    _, request = search(SearchQuery("x", allowed_domains=tuple(f"{n}.example.com" for n in range(40))))
    assert fields(request)["q"] == ["x"]


def test_errors_are_told_to_the_operator_without_the_key():
    error = {"type": "ErrorResponse", "error": {"code": "RATE_LIMITED", "detail": "slow down", "status": 429}}
    with pytest.raises(ToolFault) as fault:
        search(SearchQuery("x"), orjson.dumps(error), 429)
    assert fault.value.detail == "b: status 429, RATE_LIMITED slow down"
    for body in (b"", b"\xff"):
        with pytest.raises(ToolFault):
            search(SearchQuery("x"), body)


@pytest.mark.parametrize("body", [b"null", b"[]", b'{"web": []}'])
def test_nothing(body):
    assert search(SearchQuery("x"), body)[0] == []


def test_registers_and_is_off_without_key():
    kinds = []
    register_search(kinds.append)
    assert kinds[0].kind == "brave"
    assert why_not_ready(BraveSettings())
    assert not why_not_ready(BraveSettings(api_key="k"))
    assert "BSA" not in repr(BraveSettings(api_key="BSA"))
