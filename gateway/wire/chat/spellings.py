"""Other spellings of a chat request, which compatible servers and their SDKs have and OpenAI's API refuses, restated
in OpenAI's.

Looked for only in a body that was found wrong, so that a right one costs nothing. Nothing is guessed: each of these can
mean one thing only. What says nothing (an empty list) is as if it were not there; Mistral's API (`tool_choice`,
`image_url`, tool calls without a type) and answers that had no content, sent back as they came, are the others.
"""

from __future__ import annotations

from typing import Any

from gateway.wire.chat.messages import SAID_BESIDE_CONTENT

Json = dict[str, Any]

_EMPTY = ("stop", "functions", "modalities")


def restate(body: Json) -> bool:
    """Restate in place what is spelt otherwise; whether there was any. body: a request, perhaps wrong everywhere."""
    changed = False
    for name in _EMPTY:
        if name in body and body[name] in ("", []):
            del body[name]
            changed = True
    if body.get("tool_choice") == "any":
        body["tool_choice"] = "required"
        changed = True
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            changed = _restate_message(message) or changed
    return changed


def _restate_message(message: Json) -> bool:
    role, content = message.get("role"), message.get("content")
    if content is None or content == []:
        says_it_elsewhere = role == "assistant" and any(message.get(name) for name in SAID_BESIDE_CONTENT)
        # Whoever asks without a content made a mistake, which the caller should hear of.
        if says_it_elsewhere or (content is None and role not in ("assistant", "tool")):
            return _restate_calls(message)
        message["content"] = ""
        return True
    changed = _restate_calls(message)
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and part.get("type") == "image_url" and isinstance(part.get("image_url"), str):
            part["image_url"] = {"url": part["image_url"]}
            changed = True
    return changed


def _restate_calls(message: Json) -> bool:
    """Calls of an assistant; the only kind with a `function` is that of functions."""
    changed = False
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict) and call.get("type") is None and isinstance(call.get("function"), dict):
            call["type"] = "function"
            changed = True
    return changed
