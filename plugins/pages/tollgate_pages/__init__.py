"""Readable text of web pages: what a model opens is fetched by the gateway's guarded client, and read here.

`trafilatura` finds the article in a page. It is large, so it is imported when the first page is read.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from gateway.api import Document, Page, PageReader, ToolFault, hookimpl

_TITLE = re.compile(rb"<title[^>]*>(.{0,500}?)</title", re.IGNORECASE | re.DOTALL)
_PLAIN = frozenset({"text/plain", "text/markdown", "text/csv", "application/json", "text/xml", "application/xml"})
_HTML = frozenset({"text/html", "application/xhtml+xml", ""})


class Reader:
    """Makes readable text of a fetched page."""

    def read(self, document: Document) -> Page:
        kind = document.media_type
        if kind in _HTML:
            return _article(document)
        if kind in _PLAIN or kind.endswith(("+json", "+xml")) or kind.startswith("text/"):
            return Page(document.url, "", _decode(document).strip())
        raise ToolFault(f"The page is not text but {kind[:80]}.")


def _article(document: Document) -> Page:
    import trafilatura

    text = trafilatura.extract(
        document.data,
        url=document.url,
        output_format="markdown",
        include_links=False,
        include_tables=True,
        with_metadata=False,
    )
    if not text:
        raise ToolFault("The page has no text that can be read.")
    found = _TITLE.search(document.data)
    title = html.unescape(" ".join(found[1].decode("utf-8", "replace").split())) if found else ""
    return Page(document.url, title, text)


def _decode(document: Document) -> str:
    try:
        return document.data.decode(document.charset or "utf-8", "replace")
    except LookupError:  # a charset that nobody knows
        return document.data.decode("utf-8", "replace")


@hookimpl
def register_search(register_reader: Callable[[PageReader], None]) -> None:
    """Offer the reader."""
    register_reader(Reader())
