"""The documentation as a book: its pages in the order of `docs/index.md`, and an index of their words."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from gateway.console.answers import pack
from gateway.console.highlight import Highlighter
from gateway.console.markdown import Markdown, Section, Written

_PACKAGE = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"\[([^\]]+)\]\(([\w-]+)\.md\)")
_LONGEST_TEXT = 1500
"""Characters of a section that the index holds."""


def docs_folder() -> Path:
    """Where the pages are: inside an installed package, or beside a checked-out one."""
    inside = _PACKAGE / "shared" / "docs"
    return inside if inside.is_dir() else _PACKAGE.parent / "docs"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the list of pages. name: "" for the overview."""

    name: str
    title: str

    @property
    def path(self) -> str:
        """Where the page is."""
        return f"/docs/{self.name}" if self.name else "/docs"


@dataclass(frozen=True, slots=True)
class Found:
    """A section in which all words of a search stand."""

    path: str
    page: str
    heading: str
    text: str


class Book:
    """All pages, rendered. groups: (title, entries) in the order of the index page; every page is in one of them."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or docs_folder()
        sources = {path.stem: path.read_text("utf-8") for path in sorted(folder.glob("*.md"))}
        markdown = Markdown(Highlighter(), _link)
        self.pages: Mapping[str, Written] = {
            "" if name == "index" else name: markdown.render(source) for name, source in sources.items()
        }
        self.groups = self._grouped(sources["index"])
        self.order = tuple(entry for _, entries in self.groups for entry in entries)
        self._sections = [
            (entry, section) for entry in self.order if entry.name in self.pages
            for section in self.pages[entry.name].sections
        ]  # fmt: skip
        self.index = orjson.dumps(
            [
                [_place(entry, section), entry.title, section.heading, section.text[:_LONGEST_TEXT]]
                for entry, section in self._sections
            ]
        )
        self.packed_index = pack(self.index)
        self.version = hashlib.sha256(self.index).hexdigest()[:12]

    def around(self, name: str) -> tuple[Entry | None, Entry | None]:
        """The pages before and after one."""
        names = [entry.name for entry in self.order]
        at = names.index(name)
        return (self.order[at - 1] if at else None), (self.order[at + 1] if at + 1 < len(names) else None)

    def search(self, query: str, most: int = 30) -> list[Found]:
        """Sections with all words of `query`, those first where they stand in titles."""
        words = query.lower().split()[:12]
        ranked = []
        for number, (entry, section) in enumerate(self._sections):
            title, heading, text = entry.title.lower(), section.heading.lower(), section.text.lower()
            points = [10 * (word in title) + 6 * (word in heading) + (word in text) for word in words]
            if words and all(points):
                ranked.append((-sum(points), number))
        return [self._found(number, words) for _, number in sorted(ranked)[:most]]

    def _found(self, number: int, words: list[str]) -> Found:
        entry, section = self._sections[number]
        at = min((place for word in words if (place := section.text.lower().find(word)) >= 0), default=0)
        start = max(0, at - 60)
        text = ("... " if start else "") + section.text[start : start + 180]
        return Found(_place(entry, section), entry.title, section.heading, text)

    def _grouped(self, index: str) -> list[tuple[str, list[Entry]]]:
        groups: list[tuple[str, list[Entry]]] = []
        title, entries = "Start", [Entry("", "Overview")]
        for line in index.splitlines():
            heading = re.match(r"## (.+)", line)
            if heading:
                groups.append((title, entries))
                title, entries = heading[1], []
            elif line.startswith("- "):
                entries.extend(Entry(name, text) for text, name in _LINK.findall(line) if name in self.pages)
        groups.append((title, entries))
        listed = {entry.name for _, entries in groups for entry in entries}
        rest = [Entry(name, page.title) for name, page in self.pages.items() if name not in listed]
        if rest:
            groups.append(("More", rest))
        return [(title, entries) for title, entries in groups if entries]


def _place(entry: Entry, section: Section) -> str:
    return entry.path + (f"#{section.anchor}" if section.anchor else "")


def _link(target: str) -> str:
    """Where a link of a page leads in the console."""
    if "://" in target or target.startswith(("#", "/")):
        return target
    found = re.fullmatch(r"(?:\./)?([\w-]+)\.md(#.*)?", target)
    if found is None:
        return "/docs"
    name = "" if found[1] == "index" else "/" + found[1]
    return f"/docs{name}{found[2] or ''}"
