"""Grounding metadata as `annotations` of a chat message.

OpenAI's API reference knows one kind in chat, `url_citation` with the span of characters that it supports. Google's
`groundingSupports` name byte offsets within a part of the answer (API reference, `Segment`), but which part is left
out by some answers, so the segment's own text decides.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from gateway.api import Activity, dict_of, dicts_of, search_activity, text_of

_OWN = re.compile(r"ws_g[0-9a-f]{24}")
_SOURCES = ("web", "maps", "retrievedContext", "image")


def activity_of(metadata: Any, seed: str) -> Activity:
    """The searches that a candidate's `groundingMetadata` tells of. Which address each of them found is not told, so
    the first has them all. seed: unique for the candidate."""
    metadata = dict_of(metadata)
    queries = metadata.get("webSearchQueries")
    urls = [text_of(dict_of(chunk.get("web")).get("uri")) for chunk in dicts_of(metadata.get("groundingChunks"))]
    made = Activity()
    asked = [query for query in queries if isinstance(query, str) and query] if isinstance(queries, list) else []
    for at, query in enumerate(asked):
        identity = hashlib.sha256(f"{seed}/{at}".encode("utf-8", "replace")).hexdigest()[:24]
        made += search_activity(f"g{identity}", query, [url for url in urls if url] if not at else ())
    return made


def is_own(item_id: str) -> bool:
    """Whether a search with this item id was Google's: its models are not told of those again."""
    return _OWN.fullmatch(item_id) is not None


def annotations_of(metadata: Any, content: str) -> list[dict[str, Any]]:
    """The citations in a candidate's `groundingMetadata`; `content` is the whole text of the answer.

    Sources that support no segment in particular are left to the metadata itself, unless no segment is named at all:
    then each supports the whole answer. Entries carry their `index`, which SDKs need in streams.
    """
    metadata = dict_of(metadata)
    chunks = metadata.get("groundingChunks")
    sources = [_source(chunk) for chunk in chunks] if isinstance(chunks, list) else []
    made: list[dict[str, Any]] = []
    supports = dicts_of(metadata.get("groundingSupports"))
    raw = content.encode("utf-8", "replace") if supports else b""
    at = 0
    for support in supports:
        start, end = _span(dict_of(support.get("segment")), content, raw, at)
        at = start
        indices = support.get("groundingChunkIndices")
        for index in indices if isinstance(indices, list) else ():
            if type(index) is int and 0 <= index < len(sources):
                _add(made, sources[index], start, end)
    if not supports:
        for source in sources:
            _add(made, source, 0, len(content))
    return made


def searches_of(metadata: Any, every: bool) -> int:
    """How many web searches were run: every query, or one for an answer that searched."""
    queries = dict_of(metadata).get("webSearchQueries")
    count = sum(1 for query in queries if text_of(query).strip()) if isinstance(queries, list) else 0
    return count if every else min(count, 1)


def _source(chunk: Any) -> tuple[str, str]:
    """Address and title of a grounding chunk; the address is empty when it has none."""
    for kind in _SOURCES:
        source = dict_of(dict_of(chunk).get(kind))
        link = text_of(source.get("uri")) or text_of(source.get("sourceUri"))
        if link:
            return link, text_of(source.get("title"))
    return "", ""


def _add(made: list[dict[str, Any]], source: tuple[str, str], start: int, end: int) -> None:
    link, title = source
    if link:
        spot = {"url": link, "title": title, "start_index": start, "end_index": end}
        made.append({"index": len(made), "type": "url_citation", "url_citation": spot})


def _span(segment: dict[str, Any], content: str, raw: bytes, after: int) -> tuple[int, int]:
    """The characters of `content` that a segment means.

    after: where the last segment began; segments come in order, so a repeated sentence is looked for from there.
    """
    start, end = _offset(segment.get("startIndex"), len(raw)), _offset(segment.get("endIndex"), len(raw))
    wanted = text_of(segment.get("text"))
    if end >= start:
        found = raw[start:end].decode("utf-8", "replace")
        if not wanted or found == wanted:
            begin = len(raw[:start].decode("utf-8", "replace"))
            return begin, begin + len(found)
    if wanted:
        place = content.find(wanted, after)
        place = content.find(wanted) if place < 0 else place
        if place >= 0:
            return place, place + len(wanted)
    return 0, len(content)


def _offset(value: Any, most: int) -> int:
    return min(max(value, 0), most) if type(value) is int else 0
