"""Small pieces of a chat delta in Responses form: log probabilities, annotations, images, usage of several rounds.

They come from upstreams, so any member may be missing or of the wrong type; what makes no sense is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gateway.wire.lenient import shallow

Json = dict[str, Any]


def logprobs_to_responses(logprobs: Any) -> list[Json]:
    """`choice.logprobs` as the Responses API has it: `bytes` and `top_logprobs` always there."""
    entries = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    made = []
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, Mapping) and isinstance(entry.get("token"), str):
            top = entry.get("top_logprobs")
            tops = [_logprob(other) for other in top if isinstance(other, Mapping)] if isinstance(top, list) else []
            made.append({**_logprob(entry), "top_logprobs": tops})
    return made


def _logprob(entry: Mapping[str, Any]) -> Json:
    token = entry.get("token")
    token = token if isinstance(token, str) else ""
    value = entry.get("logprob")
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        value = -9999.0  # what OpenAI writes for a token that is not among the likely ones
    raw = entry.get("bytes")
    if not isinstance(raw, list) or not all(type(byte) is int for byte in raw):
        raw = list(token.encode("utf-8", "replace"))
    return {"token": token, "logprob": value, "bytes": raw}


def logprobs_to_chat(logprobs: Any) -> Json | None:
    """A part's or delta's `logprobs` as a chat choice has them; None when there are none."""
    return {"content": logprobs_to_responses({"content": logprobs}), "refusal": None} if logprobs else None


def annotations_to_responses(given: Any) -> list[Json]:
    """Chat annotations as Responses ones: `url_citation` is flat there, with every member present."""
    made = []
    for annotation in given if isinstance(given, list) else ():
        kind = annotation.get("type") if isinstance(annotation, Mapping) else None
        if not isinstance(kind, str):
            continue
        inner = annotation.get(kind)
        flat = {**shallow(inner if isinstance(inner, Mapping) else annotation), "type": kind}
        if kind == "url_citation":
            flat = {"start_index": 0, "end_index": 0, "url": "", "title": "", **flat}
        made.append(flat)
    return made


def citations_to_responses(given: Any) -> list[Json]:
    """Citations of documents that chat has no annotation for, as `file_citation`, the one that Responses has. What
    tells nothing of a document (a number among the sources that the caller knows) is left out."""
    made = []
    for citation in given if isinstance(given, list) else ():
        if not isinstance(citation, Mapping) or not isinstance(citation.get("type"), str):
            continue
        if citation["type"] in _OF_FILES:
            made.append(dict(shallow(citation)))
            continue
        title, file_id = citation.get("document_title"), citation.get("file_id")
        if not (isinstance(title, str) or isinstance(file_id, str) or "document_index" in citation):
            continue
        end = citation.get("end_index")
        rest = {key: value for key, value in shallow(citation).items() if key not in ("type", "index")}
        named = {"file_id": file_id if isinstance(file_id, str) else "", "filename": title or ""}
        made.append({**rest, "type": "file_citation", **named, "index": end if type(end) is int else 0})
    return made


_OF_FILES = frozenset({"file_citation", "container_file_citation", "file_path"})


def cited_to_chat(given: Any) -> Json:
    """Responses annotations as members of a chat message or delta: `annotations` for addresses, the only kind that
    chat knows, and `citations` for all others."""
    notes, others = [], []
    for annotation in given if isinstance(given, list) else ():
        kind = annotation.get("type") if isinstance(annotation, Mapping) else None
        if kind == "url_citation":
            notes.append({"type": kind, kind: {key: value for key, value in annotation.items() if key != "type"}})
        elif isinstance(kind, str):
            others.append(dict(annotation))
    return {name: found for name, found in (("annotations", notes), ("citations", others)) if found}


def images_of_delta(given: Any) -> list[str]:
    """Base64 data of images that a model made (`images` of a chat delta, as several routers send them)."""
    made = []
    for image in given if isinstance(given, list) else ():
        link = image.get("image_url") if isinstance(image, Mapping) else None
        url = link.get("url") if isinstance(link, Mapping) else link
        if isinstance(url, str) and url.startswith("data:") and "," in url:
            made.append(url.partition(",")[2])
    return made


def extra_members(call: Mapping[str, Any]) -> Json:
    """What an upstream put into a tool call besides OpenAI's members, e.g. a thought signature."""
    return {key: shallow(value) for key, value in call.items() if key not in _CALL_MEMBERS and value is not None}


_CALL_MEMBERS = frozenset({"index", "id", "type", "function", "custom"})
