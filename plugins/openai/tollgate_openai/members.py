"""Members of messages that other providers know and OpenAI itself refuses ("Unknown parameter").

A conversation may move to OpenAI's models half-way. Thoughts given back (`reasoning_content`, `reasoning_details` of
assistant messages) are readable to their maker alone, and `cache_control` marks what Anthropic shall cache; OpenAI
caches by itself. Source: OpenAI's API reference (create chat completion), whose messages and parts have none of them.
Servers that copied the dialect often do, so there they stay.
"""

from __future__ import annotations

from typing import Any

from gateway.api import Call, CallerFault

_THOUGHTS = ("reasoning_details", "reasoning_content")
_MARK = "cache_control"


def without_foreign_members(messages: Any, call: Call) -> Any:
    """`messages` without these members; the very same object where there are none.

    Notes in `call.dropped`, once each, what was left out: `reasoning_details` (which holds the text of a
    `reasoning_content` beside it as well), `reasoning_content` standing alone, `cache_control`. A member that says
    nothing (null, empty) is left out without a word. Raises CallerFault instead when the call is strict.
    """
    if not isinstance(messages, list):
        return messages
    kept = [_message(message, f"messages[{at}]", call) for at, message in enumerate(messages)]
    changed = any(new is not old for new, old in zip(kept, messages, strict=True))
    return kept if changed else messages


def _message(message: Any, path: str, call: Call) -> Any:
    if not isinstance(message, dict):
        return message
    found = [_MARK] if _MARK in message else []
    if message.get("role") == "assistant":
        found += [name for name in _THOUGHTS if name in message]
    said = [name for name in found if message[name]]
    if "reasoning_details" in said and "reasoning_content" in said:
        said.remove("reasoning_content")
    for name in said:
        _note(name, path, call)
    content = message.get("content")
    parts = _parts(content, f"{path}.content", call) if isinstance(content, list) else content
    if not found and parts is content:
        return message
    kept = {key: value for key, value in message.items() if key not in found}
    if parts is not content:
        kept["content"] = parts
    return kept


def _parts(parts: list[Any], path: str, call: Call) -> list[Any]:
    marked = [at for at, part in enumerate(parts) if isinstance(part, dict) and _MARK in part]
    if not marked:
        return parts
    kept = list(parts)
    for at in marked:
        if parts[at][_MARK]:
            _note(_MARK, f"{path}[{at}]", call)
        kept[at] = {key: value for key, value in parts[at].items() if key != _MARK}
    return kept


def _note(name: str, path: str, call: Call) -> None:
    if call.strict:
        raise CallerFault(
            f"{path}.{name}: OpenAI does not know this member; leave it out.",
            param=f"{path}.{name}",
            code="unsupported_parameter",
        )
    # A call may be built again for a retry or for another target.
    if name not in call.dropped:
        call.dropped.append(name)
