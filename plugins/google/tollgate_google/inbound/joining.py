"""Several responses of one answer, as a stream or a list has them, joined to the one that says the same.

Source: Google's reference of `generateContent`: a `GenerateContentResponse` of a stream has the parts that came since
the last one, and counts that are those of the whole answer so far.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.api import dict_of, dicts_of

from .spelling import camel

Json = dict[str, Any]

_JOINED = frozenset({"text", "thought"})
"""Members of a part whose text goes on in the next one."""


def joined(responses: Iterable[Json]) -> Json:
    """The response. What is told again replaces what was told before; parts follow each other, pieces of one text are
    put together."""
    whole: Json = {}
    candidates: dict[int, Json] = {}
    for response in responses:
        for place, candidate in enumerate(map(camel, dicts_of(response.get("candidates")))):
            index = candidate.get("index")
            _add(candidates.setdefault(index if type(index) is int else place, {}), candidate)
        whole.update({key: value for key, value in response.items() if key != "candidates" and value is not None})
    if candidates:
        whole["candidates"] = [candidates[index] for index in sorted(candidates)]
    return whole


def _add(into: Json, candidate: Json) -> None:
    content = dict_of(candidate.get("content"))
    held = dict_of(into.get("content"))
    parts = list(held.get("parts") or ())
    for part in dicts_of(content.get("parts")):
        last = parts[-1] if parts else {}
        if (
            part.keys() <= _JOINED
            and last.keys() <= _JOINED
            and "text" in part
            and "text" in last
            and bool(part.get("thought")) == bool(last.get("thought"))
        ):
            parts[-1] = {**last, "text": f"{last['text']}{part['text']}"}
        else:
            parts.append(part)
    into.update({key: value for key, value in candidate.items() if value is not None})
    into["content"] = {**held, **content, "parts": parts}
