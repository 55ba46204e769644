"""Links in a model's text as citations of what was searched. Pure.

A model is asked to cite as `[title](url)`. Each such link to a page that a search or a tool brought becomes a
`url_citation` whose indexes (characters, the end exclusive) point at the link in the text; so does a bare address.
"""

from __future__ import annotations

import re
from typing import Any

from gateway.tools import Source

_LINK = re.compile(r"\[[^\[\]\n]{1,400}\]\((https?://[^\s()<>]+(?:\([^\s()]*\)[^\s()<>]*)*)\)")
_BARE = re.compile(r"https?://[^\s()\[\]<>\"'`]+")
_TRAILING = ".,;:!?*_"
_LONGEST = 4_000
"""Characters of an unfinished link that are waited for."""


class Sources:
    """The pages that an answer may cite, by address."""

    def __init__(self) -> None:
        self._known: dict[str, Source] = {}

    def add(self, source: Source) -> None:
        """A page that was found. The first title counts."""
        self._known.setdefault(_plain(source.url), source)

    def find(self, url: str) -> Source | None:
        """The page with this address, spelt a little differently perhaps."""
        return self._known.get(_plain(url))

    def __bool__(self) -> bool:
        return bool(self._known)


class CitationFinder:
    """Reads one text piece by piece. `feed` and `finish` return the annotations that became certain, in OpenAI's chat
    form, each with the next `index`."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._text = ""
        self._dropped = 0
        self._scanned = 0
        self._count = 0

    def restart(self) -> list[dict[str, Any]]:
        """The text ended, and another begins at 0."""
        found = self.finish()
        self._text, self._dropped, self._scanned, self._count = "", 0, 0, 0
        return found

    def feed(self, piece: str) -> list[dict[str, Any]]:
        """More of the text."""
        self._text += piece
        return self._scan(last=False) if self._sources else self._skip()

    def finish(self) -> list[dict[str, Any]]:
        """There is no more."""
        return self._scan(last=True) if self._sources else []

    def _skip(self) -> list[dict[str, Any]]:
        self._dropped += len(self._text)
        self._text = ""
        return []

    def _scan(self, last: bool) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        text, at = self._text, self._scanned
        while True:
            link, bare = _LINK.search(text, at), _BARE.search(text, at)
            opening = text.find("[", at)
            if link is not None and (bare is None or link.start() <= bare.start()):
                at = link.end()
                self._cite(found, link[1], link.start(), link.end())
            elif bare is not None and (last or bare.end() < len(text)) and not self._may_be_link(opening, bare, last):
                url = bare[0].rstrip(_TRAILING)
                at = bare.start() + len(url)
                self._cite(found, url, bare.start(), at)
            else:
                break
        # What may still become a link stays; all before it is done with.
        waiting = [place for place in (text.find("[", at), text.find("http", at)) if place >= 0]
        keep = min(waiting) if waiting else max(at, len(text) - 8)
        keep = max(keep, at, len(text) - _LONGEST)
        self._text, self._scanned = text[keep:], 0
        self._dropped += keep
        return found

    def _may_be_link(self, opening: int, bare: re.Match[str], last: bool) -> bool:
        """The address stands in a link whose end has not come."""
        return not last and 0 <= opening < bare.start() and "\n" not in self._text[opening : bare.start()]

    def _cite(self, found: list[dict[str, Any]], url: str, start: int, end: int) -> None:
        source = self._sources.find(url)
        if source is None:
            return
        place = {"start_index": self._dropped + start, "end_index": self._dropped + end}
        spot = {"url": url, "title": source.title, **place}
        found.append({"index": self._count, "type": "url_citation", "url_citation": spot})
        self._count += 1


def _plain(url: str) -> str:
    """An address without what readers and models change about it."""
    plain = url.partition("#")[0].rstrip("/")
    scheme, _, rest = plain.partition("://")
    return f"{scheme.lower()}://{rest.removeprefix('www.')}"
