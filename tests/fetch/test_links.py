"""URLs of media that a provider fetches itself: what leads it into a private network is refused by its field."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config import FetchSettings
from gateway.errors import CallerFault
from gateway.fetch import Links

OUTSIDE, INSIDE = "https://api.example.com/v1/chat/completions", "http://10.1.2.3:8000/v1/chat/completions"


def image(url: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}


async def resolve(host: str, port: int) -> list[str]:
    known = {"cats.example.com": ["93.184.215.14"], "inward.example.com": ["93.184.215.14", "10.0.0.1"]}
    if host not in known:
        raise OSError("unknown")
    return known[host]


async def refused(body: dict[str, Any], upstream: str = OUTSIDE, **settings: Any) -> str:
    """The field that is named; "" when nothing is refused."""
    fault: CallerFault | None = None
    try:
        links = Links(FetchSettings(**settings), resolve)
        await links.check(links.judge(body), upstream)
    except CallerFault as error:
        fault = error
    if fault is None:
        return ""
    assert (fault.status, fault.code) == (400, "private_url")
    return fault.param or ""


PATH = "messages[0].content[0].image_url.url"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x.png",
        "http://10.0.0.5:8080/x.png",
        "https://[::1]/x.png",
        "http://[::ffff:169.254.169.254]/latest/meta-data",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://localhost/x.png",
        "http://printer.local/x.png",
        "http://metadata.google.internal/x",
        "http://intranet/x.png",
        "http://user@example.com/x.png",
        "gs://bucket/x.png",
        "s3://bucket/x.png",
        "file:///etc/passwd",
        "FTP://example.com/x.png",
        "http://example.com\\@127.0.0.1/x.png",
    ],
)
async def test_private_urls(url: str) -> None:
    assert await refused(image(url)) == PATH
    assert await refused(image(url), private_links=True) == ""


@pytest.mark.parametrize("upstream", [OUTSIDE, INSIDE])
async def test_what_is_on_the_internet_passes(upstream: str) -> None:
    for url in ("https://cats.example.com/x.png?a=b", "http://93.184.215.14:8080/x", "data:image/png;base64,AAAA"):
        assert await refused(image(url), upstream) == ""


@pytest.mark.parametrize("upstream", [INSIDE, "http://localhost:8000/v1", "http://vllm:8000/v1", "http://[fd00::1]/v1"])
async def test_names_are_resolved_for_servers_of_ones_own(upstream: str) -> None:
    assert await refused(image("http://inward.example.com/x"), upstream) == PATH
    assert await refused(image("http://inward.example.com/x"), OUTSIDE) == ""
    assert await refused(image("http://unknown.example.com/x"), upstream) == ""


async def test_only_so_many_names_are_resolved() -> None:
    parts = [image(f"https://host{n}.example.com/x")["messages"][0]["content"][0] for n in range(17)]
    body = {"messages": [{"role": "user", "content": parts * 50}]}
    assert await refused(body, OUTSIDE) == ""
    assert await refused(body, INSIDE) == "messages[0].content[16].image_url.url"


async def test_what_the_gateway_may_fetch_may_be_passed_on() -> None:
    allowed = {"allow_hosts": ["files.lan", "10.0.0.0/24"]}
    for url in ("http://files.lan/x.png", "http://10.0.0.7/x.png"):
        assert await refused(image(url), INSIDE, **allowed) == ""
    for url in ("http://files.lan:81/x.png", "http://10.0.1.7/x.png", "http://other.lan/x.png"):
        assert await refused(image(url), INSIDE, **allowed) == PATH


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "http://10.0.0.1/x"}]}]},
         "input[0].content[0].image_url"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "http://10.0.0.1/x"}]}]},
         "input[0].content[0].file_url"),
        ({"input": [{"type": "function_call_output", "output": [{"type": "input_image", "image_url": "http://[::]/"}]}]},
         "input[0].output[0].image_url"),
        ({"tools": [{"type": "function", "name": "f", "url": "http://10.0.0.1"}, {"type": "mcp", "server_url": "http://127.0.0.1"}]},
         "tools[1].server_url"),
        ({"mcp_servers": [{"type": "url", "url": "http://169.254.169.254/", "name": "x"}]}, "mcp_servers[0].url"),
        ({"tools": [{"mcpServers": [{"streamableHttpTransport": {"url": "http://files.lan/"}}]}]},
         "tools[0].mcpServers[0].streamableHttpTransport.url"),
        ({"messages": [{"content": [{"type": "image", "source": {"type": "url", "url": "http://10.0.0.1/x"}}]}]},
         "messages[0].content[0].source.url"),
        ({"messages": [{"content": [{"type": "tool_result", "content": [{"source": {"url": "http://10.0.0.1/x"}}]}]}]},
         "messages[0].content[0].content[0].source.url"),
        ({"messages": [{"content": [{"type": "file", "file": {"file_data": "http://10.0.0.1/x"}}]}]},
         "messages[0].content[0].file.file_data"),
        ({"contents": [{"parts": [{"fileData": {"fileUri": "gs://bucket/x"}}]}]},
         "contents[0].parts[0].fileData.fileUri"),
        ({"messages": [{"content": [{"text": "http://10.0.0.1/x", "annotations": [{"url": "http://a/"}]}]}]}, ""),
        ({"contents": [{"parts": [{"functionResponse": {"response": {"url": "http://10.0.0.1/"}}}]}]}, ""),
        ({"messages": [{"content": [{"type": "tool_use", "input": {"url": "http://10.0.0.1/"}}]}, "x", None]}, ""),
    ],
)  # fmt: skip
async def test_every_dialects_places(body: dict[str, Any], path: str) -> None:
    assert await refused(body) == path
