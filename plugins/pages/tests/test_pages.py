"""Pages as they come from the web."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tollgate_pages import Reader, register_search

from gateway.api import Document, ToolFault

ARTICLE = (
    "<html><head><title>Bees &amp;\n honey</title><script>evil()</script></head><body><nav><a href='/'>Home</a> "
    "<a href='/x'>Imprint</a></nav><article><h1>Bees</h1>"
    + "<p>Bees make honey out of nectar, and they need two million flowers for a pound of it. Größe!</p>" * 4
    + "</article><footer>All rights reserved</footer></body></html>"
)


def read(data: bytes, kind: str = "text/html", charset: str = ""):
    return Reader().read(Document("https://b.example/x", kind, data, charset))


def test_an_article():
    page = read(ARTICLE.encode())
    assert page.title == "Bees & honey"
    assert "two million flowers" in page.text
    assert "Größe" in page.text
    assert "evil" not in page.text
    assert "Imprint" not in page.text


def test_plain_text_in_its_charset():
    assert read("Größe".encode("latin-1"), "text/plain", "latin-1").text == "Größe"
    assert read(b"x", "text/plain", "no-such-charset").text == "x"
    assert read(b'{"a": 1}', "application/ld+json").text == '{"a": 1}'


@pytest.mark.parametrize(
    ("data", "kind"), [(b"%PDF-", "application/pdf"), (b"", "text/html"), (b"\x00\xff", "image/png")]
)
def test_what_has_no_text(data, kind):
    with pytest.raises(ToolFault):
        read(data, kind)


def test_registers():
    readers = []
    register_search(readers.append)
    assert readers


def test_importing_is_cheap():
    code = "import sys, tollgate_pages\nassert not {'trafilatura', 'lxml'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
