"""A tool message to a `functionResponse` part, and media that cannot stand within it.

Sources: Google's API reference (`FunctionResponse`: `response` is an object, its keys `output` and `error` have a
meaning of their own) and its page on function calling, "Multimodal function responses" (Gemini 3: images, PDF, text).
"""

from __future__ import annotations

from typing import Any

import orjson

from .draft import Draft
from .parts import Part, parts_of

WITHIN = ("image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain")
"""Media types that `functionResponse.parts` takes."""

SEE_BELOW = "(See the media that follow.)"

_EXACT = 2**53
"""`response` is a protobuf Struct, whose numbers are doubles: whole numbers are exact up to here."""


def result_parts(draft: Draft, message: dict[str, Any], identity: str, name: str, path: str) -> tuple[Part, list[Part]]:
    """The `functionResponse` for a tool message that answers the call `identity` of the function `name`, and the
    parts that must follow in a user turn of their own."""
    content = message.get("content")
    inside: list[Part] = []
    after: list[Part] = []
    if isinstance(content, dict):
        texts = [orjson.dumps(content).decode()]
    else:
        texts = []
        for part in parts_of(draft, content, f"{path}.content"):
            if "text" in part:
                texts.append(part["text"])
            elif draft.quirks.media_in_results and _fits_within(part):
                inside.append(part)
            else:
                after.append(part)
    response = _response("\n".join(texts), message.get("is_error") is True)
    if after and not any(texts):
        response = {"result": SEE_BELOW}
    answer: dict[str, Any] = {"id": identity, "name": name, "response": response}
    if inside:
        answer["parts"] = inside
    if after:
        after.insert(0, {"text": f"(Media from the result of {name}:)"})
    return {"functionResponse": answer}, after


def _fits_within(part: Part) -> bool:
    held = part.get("inlineData") or part.get("fileData")
    return isinstance(held, dict) and held.get("mimeType") in WITHIN


def _response(text: str, failed: bool) -> dict[str, Any]:
    """The `response` object: JSON as it is when it is an object and survives being made of doubles, else as text."""
    if failed:
        return {"error": text}
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {"result": text}
    if not _survives(parsed):
        return {"result": text}
    return parsed if isinstance(parsed, dict) else {"result": parsed}


def _survives(value: Any) -> bool:
    """Whether every number is exact as a double, and nothing nests too deeply to be wrapped once more."""
    todo = [(value, 0)]
    while todo:
        item, depth = todo.pop()
        if depth > 100 or (type(item) is int and abs(item) > _EXACT):
            return False
        if type(item) is float and item.is_integer() and abs(item) > _EXACT:
            return False  # orjson reads whole numbers beyond 64 bits as floats
        if isinstance(item, dict):
            todo.extend((inner, depth + 1) for inner in item.values())
        elif isinstance(item, list):
            todo.extend((inner, depth + 1) for inner in item)
    return True
