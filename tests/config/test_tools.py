"""The sections `tools`, `search` and `mcp_servers`."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import BaseModel

from gateway import config
from gateway.errors import ConfigFault
from gateway.tools import SearchKind


class Settings(BaseModel, extra="forbid"):
    url: str = ""


KINDS = {"searxng": SearchKind("searxng", Settings, None, None)}


def build(text: str) -> config.Config:
    return config.build(config.parse(text.encode(), {}), {}, {}, searches=KINDS)


def problems(text: str) -> str:
    with pytest.raises(ConfigFault) as fault:
        build(text)
    return str(fault.value)


def test_search_services_in_the_order_of_the_file():
    made = build("search: {price: 0.00001, backends: {b: {plugin: searxng, url: x}, searxng: {}}}")
    assert list(made.searches) == ["b", "searxng"]
    assert made.searches["b"].settings.url == "x"
    assert made.search.price == Decimal("0.00001")


def test_who_searches():
    search = build("search: {models: {a/b: own, 'c/*': native}}").search
    assert [search.mode_of(model) for model in ("a/b", "a/c", "c/d")] == ["own", "auto", "native"]


def test_mcp_servers():
    made = build(
        "mcp_servers: {files: {url: 'http://10.0.0.1:8000/mcp', headers: {Authorization: Bearer x}, price: 0.001,"
        " accounts: [a], provides: {file_search: find}}, prog: {command: [uvx, thing]}}"
    )
    files = made.mcp_servers["files"]
    assert files.price == Decimal("0.001")
    assert files.allows("a", "k")
    assert not files.allows("b", "k")
    assert made.mcp_servers["prog"].command == ("uvx", "thing")
    assert "Bearer x" not in repr(files)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("search: {backends: {searxngg: {}}}", "search.backends.searxngg"),
        ("search: {backends: {searxng: {urll: x}}}", "search.backends.searxng.urll"),
        ("search: {mode: sometimes}", "search.mode"),
        ("mcp_servers: {a: {}}", "needs either url or command"),
        ("mcp_servers: {a: {url: 'http://x/', command: [x]}}", "needs either url or command"),
        ("mcp_servers: {'a b': {command: [x]}}", "label"),
        ("mcp_servers: {a: {command: [x], headers: {'a b': x}}}", "header names"),
        ("mcp_servers: {a: {command: [x], provides: {f: y}}, b: {command: [x], provides: {f: y}}}", "two servers"),
        ("tools: {max_rounds: 1}", "tools.max_rounds"),
    ],
)
def test_problems(text, said):
    assert said in problems(text)
