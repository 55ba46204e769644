"""Other spellings of a chat request, which compatible servers and their SDKs have and OpenAI's API refuses, restated
in OpenAI's.

Looked for only in a body that was found wrong, so that a right one costs nothing. Nothing is guessed: each of these can
mean one thing only. What says nothing (an empty list) is as if it were not there; Mistral's API (`tool_choice`,
`image_url`, tool calls without a type), answers that had no content, sent back as they came, and parts, functions and
choices as the Responses API writes them (editors that ask newer models do so at the chat door) are the others.
"""

from __future__ import annotations

from typing import Any

from gateway.wire.chat.messages import SAID_BESIDE_CONTENT, calls_told_twice

Json = dict[str, Any]

_EMPTY = ("stop", "functions", "modalities")
_TEXTS = ("input_text", "output_text")
_FILE = ("file_id", "file_data", "file_url", "filename")


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
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        changed = _framed(tool) or changed
    changed = _framed(body.get("tool_choice")) or changed
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
    twice = calls_told_twice(message)
    if twice:
        content = [part for at, part in enumerate(content or ()) if at not in twice]
        message["content"] = content or None
        changed = True
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict):
            changed = _restate_part(part) or changed
    return changed


def _restate_part(part: Json) -> bool:
    kind, link = part.get("type"), part.get("image_url")
    if kind in _TEXTS:
        part["type"] = "text"
        for name in ("annotations", "logprobs"):  # of an answer that is sent back
            part.pop(name, None)
    elif kind in ("image_url", "input_image") and isinstance(link, str):
        detail = part.pop("detail", None)
        part.update(type="image_url", image_url={"url": link, **({"detail": detail} if detail is not None else {})})
    elif kind == "input_file":
        file = {name: part.pop(name) for name in _FILE if part.get(name) is not None}
        if "file_url" in file:  # chat has no place for it, but servers that take one read it there
            file.setdefault("file_data", file["file_url"])
        part.update(type="file", file=file)
    else:
        return False
    return True


def _framed(tool: Any) -> bool:
    """Put a function that is described, or chosen, without a frame into one."""
    if not isinstance(tool, dict) or tool.get("type") != "function" or not isinstance(tool.get("name"), str):
        return False
    if "function" in tool:
        return False
    tool["function"] = {name: tool.pop(name) for name in list(tool) if name != "type"}
    return True


def _restate_calls(message: Json) -> bool:
    """Calls of an assistant; the only kind with a `function` is that of functions."""
    changed = False
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict) and call.get("type") is None and isinstance(call.get("function"), dict):
            call["type"] = "function"
            changed = True
    return changed
