"""Content that comes as a list of chunks: thoughts, texts, citations and what else Mistral puts there.

One `Content` reads the chunks of one choice, whole or streamed, so that both say the same. Thinking becomes
`reasoning_content`, and, once the chunk is complete, an entry of `reasoning_details` to give back. References become
`annotations` (OpenAI's `url_citation`, with the span of the text they support) when they lead to an address, else
`citations`.
"""

from __future__ import annotations

from typing import Any

from .details import block_detail, thinking_detail
from .sources import Sources

_THINKING_MEMBERS = ("type", "thinking")


class Content:
    """Reads the chunks of one choice. open: a thought has begun whose entry was not yet given out."""

    def __init__(self, sources: Sources) -> None:
        self.open = False
        self._sources = sources
        self._pieces: list[Any] = []
        self._rest: dict[str, Any] = {}
        self._details = 0
        self._annotations = 0
        self._citations = 0
        self._length = 0
        self._start = 0
        self._cited = True

    def add_text(self, text: str, into: dict[str, Any]) -> None:
        """A text of the answer, already in `into["content"]`. Into `into` goes what its coming completed."""
        if text:
            self.close(into)
            self.count(len(text))

    def count(self, characters: int) -> None:
        """Note characters of the answer's text: citations tell their place by them."""
        if self._cited:
            self._start, self._cited = self._length, False
        self._length += characters

    def read(self, chunks: list[Any], into: dict[str, Any]) -> None:
        """Read `chunks` and write what they say into a delta or message, `content` included if there is text."""
        text: str | None = None
        for chunk in chunks:
            kind = chunk.get("type") if isinstance(chunk, dict) else None
            if isinstance(chunk, str):
                chunk, kind = {"type": "text", "text": chunk}, "text"
            if kind == "thinking":
                self._think(chunk, into)
            elif kind == "text" and isinstance(chunk.get("text"), str):
                self.add_text(chunk["text"], into)
                text = (text or "") + chunk["text"]
            elif chunk is not None:
                self.close(into)
                if kind in ("reference", "tool_reference"):
                    self._cite(chunk, into)
                else:
                    _extend(into, "reasoning_details", block_detail(self._details, chunk))
                    self._details += 1
        if text is not None:
            into["content"] = text

    def close(self, into: dict[str, Any]) -> None:
        """The thought that is open, if any, is complete: its entry goes into `into`."""
        if not self.open:
            return
        pieces = [str(piece) if isinstance(piece, _Text) else piece for piece in self._pieces]
        _extend(into, "reasoning_details", thinking_detail(self._details, pieces, self._rest))
        self._details += 1
        self.open, self._pieces, self._rest = False, [], {}

    def _think(self, chunk: dict[str, Any], into: dict[str, Any]) -> None:
        self.open = True
        thoughts = chunk.get("thinking")
        for piece in thoughts if isinstance(thoughts, list) else [thoughts]:
            text = piece.get("text") if isinstance(piece, dict) and piece.get("type") == "text" else piece
            if isinstance(text, str):
                into["reasoning_content"] = into.get("reasoning_content", "") + text
                if self._pieces and isinstance(self._pieces[-1], _Text):
                    self._pieces[-1].add(text)
                else:
                    self._pieces.append(_Text(text))
            elif piece is not None:
                self._pieces.append(piece)
        self._rest.update({key: value for key, value in chunk.items() if key not in _THINKING_MEMBERS})
        if chunk.get("closed") is True:
            self.close(into)

    def _cite(self, chunk: dict[str, Any], into: dict[str, Any]) -> None:
        self._cited = True
        # Without addresses the text of a stream is passed on uncounted, so there is no span to tell.
        span = {"start_index": self._start, "end_index": self._length} if self._sources.possible else {}
        found = [chunk] if isinstance(chunk.get("url"), str) and chunk["url"] else []
        ids = chunk.get("reference_ids")
        left = []
        for identity in ids if isinstance(ids, list) else ():
            source = self._sources.find(identity)
            if source is None:
                left.append(identity)
            else:
                found.append(source)
        for source in found:
            title = source.get("title")
            spot = {"url": source["url"], "title": title if isinstance(title, str) else "", **span}
            note = {"index": self._annotations, "type": "url_citation", "url_citation": spot}
            _extend(into, "annotations", note)
            self._annotations += 1
        if left or not found:
            kept = {**chunk, "reference_ids": left} if left else chunk
            _extend(into, "citations", {**kept, "index": self._citations, **span})
            self._citations += 1


class _Text:
    """A text that grows: streams bring thoughts word by word."""

    __slots__ = ("_parts",)

    def __init__(self, text: str) -> None:
        self._parts = [text]

    def add(self, text: str) -> None:
        self._parts.append(text)

    def __str__(self) -> str:
        return "".join(self._parts)


def _extend(into: dict[str, Any], name: str, entry: dict[str, Any]) -> None:
    held = into.get(name)
    if isinstance(held, list):
        held.append(entry)
    else:
        into[name] = [entry]
