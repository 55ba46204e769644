"""Pages: any type, cut at the limit, and the same guard as for media."""

from __future__ import annotations

import pytest

from gateway.config import FetchSettings
from gateway.fetch import PageFetcher
from gateway.testing import Cut, Reply
from gateway.tools import ToolFault

from .conftest import HOST, port_of


@pytest.fixture
async def fetch(bench):
    settings = FetchSettings(allow_hosts=[f"{HOST}:{port_of(bench.server)}"])
    fetcher = PageFetcher(settings, 1000, resolve=bench.names)
    yield fetcher.fetch
    fetcher.close()


async def test_a_page(bench, fetch):
    bench.server.reply(Reply([b"<p>", b"Hi"], media_type='text/HTML; charset="latin-1"'))
    page = await fetch(bench.url("/a"))
    assert (page.url, page.media_type, page.charset, page.data) == (bench.url("/a"), "text/html", "latin-1", b"<p>Hi")
    assert not page.truncated


async def test_a_long_page_is_cut_and_not_waited_for(bench, fetch):
    bench.server.reply(Reply([b"x" * 900] * 5, framing="length", length=1 << 40))
    page = await fetch(bench.url())
    assert page.data == b"x" * 1000
    assert page.truncated


async def test_redirects_are_judged(bench, fetch):
    bench.server.queue(Reply(status=302, headers={"location": "/b"}, framing="length"))
    bench.server.reply(Reply([b"there"]))
    assert (await fetch(bench.url())).url == bench.url("/b")
    for target in (bench.private.url, "http://127.0.0.1/", "http://169.254.169.254/latest", "file:///etc/passwd"):
        bench.server.reply(Reply(status=302, headers={"location": target}, framing="length"))
        with pytest.raises(ToolFault) as refused:
            await fetch(bench.url())
        assert "127.0.0.1" not in refused.value.text
    assert bench.private.requests == []


@pytest.mark.parametrize("url", ["", "x", "http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://0x7f.1/"])
async def test_private_addresses(fetch, url):
    with pytest.raises(ToolFault):
        await fetch(url)


async def test_errors_and_cuts(bench, fetch):
    bench.server.reply(Reply(status=404, framing="length"))
    with pytest.raises(ToolFault, match="404"):
        await fetch(bench.url())
    bench.server.reply(Reply([b"half", Cut()]))
    with pytest.raises(ToolFault):
        await fetch(bench.url())
