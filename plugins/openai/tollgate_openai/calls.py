"""Tool calls of earlier turns, as a server of OpenAI's dialect takes them back.

Calls that were made without any arguments get `{}`, since many servers read them as JSON (vLLM, SGLang and others for
the model's template). They refuse the whole conversation, in every later turn, when a model once wrote what is no
JSON object, or was cut off while it wrote; OpenAI itself does not look. OpenAI refuses ids of more than 40 characters
("string too long"), as other providers and gateways make them.
"""

from __future__ import annotations

import hashlib
from typing import Any

from gateway.api import arguments_json


def mend_calls(message: dict[str, Any], longest: int | None, *, reads: bool) -> dict[str, Any]:
    """The message with its calls, or the id that it answers, mended; the very same object where nothing is wrong.

    longest: most characters of an id, None for any. reads: the server reads the arguments.
    """
    answered = message.get("tool_call_id")
    if longest is not None and isinstance(answered, str) and len(answered) > longest:
        return {**message, "tool_call_id": short_id(answered, longest)}
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    mended = [_call(call, longest, reads) for call in calls]
    changed = any(new is not old for new, old in zip(mended, calls, strict=True))
    return {**message, "tool_calls": mended} if changed else message


def short_id(identity: str, longest: int) -> str:
    """An id that is too long by its hash, the same every time."""
    return ("call_" + hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest())[:longest]


def _call(call: Any, longest: int | None, reads: bool) -> Any:
    if not isinstance(call, dict):
        return call
    identity, function = call.get("id"), call.get("function")
    if longest is not None and isinstance(identity, str) and len(identity) > longest:
        call = {**call, "id": short_id(identity, longest)}
    given = function.get("arguments") if isinstance(function, dict) else ""
    if not isinstance(function, dict) or not (given is None or isinstance(given, str)):
        return call
    told = arguments_json(given, "arguments") if reads else given or "{}"
    return call if told == given else {**call, "function": {**function, "arguments": told}}
