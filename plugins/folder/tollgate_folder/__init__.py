"""A search service for development: a local folder of pages, so that programs with web search run without a network.

Each page is a Markdown file: `title:`, `url:` and, if wanted, `published:` in its first lines, an empty line, the
text. A few pages come along; `path` names another folder. Results are ordered by how many of the query's words a page
has, then by name: the same query always finds the same.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from gateway.api import Net, Page, SearchKind, SearchQuery, SearchResult, hookimpl

_WORD = re.compile(r"\w+")
_HEAD = re.compile(r"(title|url|published): *(.*)")
_SNIPPET = 300


class FolderSettings(BaseModel):
    """path: a folder of pages, "" for those that come with the plugin."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    path: str = ""


@dataclass(slots=True, frozen=True)
class Entry:
    """One page of the folder. words: of title and text, lower case."""

    url: str
    title: str
    published: str
    text: str
    words: frozenset[str]


class Folder:
    """One folder; see `gateway.api.SearchBackend`. It is read anew for each search: files may be edited meanwhile."""

    def __init__(self, name: str, settings: FolderSettings) -> None:
        self.name = name
        self._path = Path(settings.path) if settings.path else Path(__file__).parent / "pages"

    async def search(self, query: SearchQuery, net: Net) -> Sequence[SearchResult]:
        wanted = {word.lower() for word in _WORD.findall(query.text)}
        pages = await asyncio.to_thread(self._pages)
        ranked = sorted(pages, key=lambda page: -len(wanted & page.words))
        return [SearchResult(page.url, page.title, page.text[:_SNIPPET], page.published) for page in ranked][
            : query.count
        ]

    async def read(self, url: str, net: Net) -> Page | None:
        for page in await asyncio.to_thread(self._pages):
            if page.url == url:
                return Page(page.url, page.title, page.text)
        return None

    def _pages(self) -> list[Entry]:
        files = sorted(self._path.glob("*.md")) if self._path.is_dir() else []
        return [read_page(file.read_text("utf-8", "replace"), file.stem) for file in files]


def read_page(source: str, name: str) -> Entry:
    """A page from its file. name: makes the address and the title where the head does not say."""
    head, _, text = source.replace("\r\n", "\n").partition("\n\n")
    matches = (_HEAD.fullmatch(line.strip()) for line in head.splitlines())
    found = {match[1]: match[2] for match in matches if match}
    if not found:
        text = source
    title = found.get("title") or name
    words = frozenset(word.lower() for word in _WORD.findall(f"{title} {text}"))
    url = found.get("url") or f"https://pages.example/{name}"
    return Entry(url, title, found.get("published", ""), text.strip(), words)


def why_not_ready(settings: FolderSettings) -> str:
    """Why it is switched off; "" when it can be used."""
    if settings.path and not Path(settings.path).is_dir():
        return f"path is not a folder: {settings.path}"
    return ""


@hookimpl
def register_search(register: Callable[[SearchKind], None]) -> None:
    """Offer the kind `folder`."""
    register(SearchKind("folder", FolderSettings, Folder, why_not_ready, development=True))
