"""A response that is longer than it may be, ended where it should have ended; see `gateway.api.TextRoom`."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.api import TextRoom, dict_of, dicts_of

from .spelling import camel

Json = dict[str, Any]

_KEPT = ("index", "safetyRatings")


def shorten_reply(body: Json, tokens: int) -> Json:
    """A response with at most so many tokens of text in each candidate. A call of a function that is not there whole is
    left out."""
    candidates = [_short_candidate(camel(one), TextRoom(tokens)) for one in dicts_of(body.get("candidates"))]
    return {**body, "candidates": candidates}


def _short_candidate(candidate: Json, room: TextRoom) -> Json:
    content, parts = dict_of(candidate.get("content")), []
    for part in map(camel, dicts_of(content.get("parts"))):
        call = part.get("functionCall")
        if not room.left or (call is not None and not room.holds(orjson.dumps(dict_of(call).get("args")).decode())):
            break
        text = part.get("text")
        if isinstance(text, str):
            part = {**part, "text": room.fit(text)}
        parts.append(part)
    kept = {name: candidate[name] for name in _KEPT if name in candidate}
    return {**kept, "content": {**content, "parts": parts}, "finishReason": "MAX_TOKENS"}
