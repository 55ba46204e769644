"""Members of messages, and of a web search, that other providers know and OpenAI itself refuses ("Unknown parameter"),
as do some servers that copied its dialect.

A conversation may move to OpenAI's models half-way. Thoughts given back (`reasoning_content`, `reasoning_details` of
assistant messages, `extra_content` of their calls) are readable to their maker alone, and `cache_control` marks what
Anthropic shall cache; OpenAI caches by itself. Source: OpenAI's API reference (create chat completion), whose messages,
calls and parts have none of them. Servers that copied the dialect often do, so there they stay, but where
`quirks.thoughts` says `refused`.
"""

from __future__ import annotations

from typing import Any

from gateway.api import Call, CallerFault

_THOUGHTS = ("reasoning_details", "reasoning_content", "reasoning")
_MARK = "cache_control"
_CALL_EXTRA = "extra_content"
_SEARCH = ("filters", "max_uses")


def without_foreign_members(messages: Any, call: Call) -> Any:
    """`messages` without these members; the very same object where there are none.

    Notes in `call.dropped`, once each, what was left out: thoughts by the first name they have, `cache_control`,
    `extra_content`. A member that says nothing (null, empty) is left out without a word. Raises CallerFault instead
    when the call is strict.
    """
    if not isinstance(messages, list):
        return messages
    kept = [_message(message, f"messages[{at}]", call) for at, message in enumerate(messages)]
    changed = any(new is not old for new, old in zip(kept, messages, strict=True))
    return kept if changed else messages


def without_foreign_search(options: Any, call: Call) -> Any:
    """`web_search_options` without what only other providers' searches can be told; the very same object where there is
    nothing of it. Noted and refused like members of messages."""
    if not isinstance(options, dict) or not any(name in options for name in _SEARCH):
        return options
    for name in _SEARCH:
        if options.get(name):
            note_member(f"web_search_options.{name}", "", call)
    return {key: value for key, value in options.items() if key not in _SEARCH}


def _message(message: Any, path: str, call: Call) -> Any:
    if not isinstance(message, dict):
        return message
    found = [_MARK] if _MARK in message else []
    if message.get("role") == "assistant":
        found += [name for name in _THOUGHTS if name in message]
    said = [name for name in found if message[name]]
    thoughts = [name for name in said if name in _THOUGHTS]
    said = [name for name in said if name not in thoughts[1:]]  # the same ones, under other names
    for name in said:
        note_member(name, path, call)
    content, calls = message.get("content"), message.get("tool_calls")
    parts = _without(_MARK, content, f"{path}.content", call) if isinstance(content, list) else content
    bare = _without(_CALL_EXTRA, calls, f"{path}.tool_calls", call) if isinstance(calls, list) else calls
    if not found and parts is content and bare is calls:
        return message
    kept = {key: value for key, value in message.items() if key not in found}
    if parts is not content:
        kept["content"] = parts
    if bare is not calls:
        kept["tool_calls"] = bare
    return kept


def _without(name: str, entries: list[Any], path: str, call: Call) -> list[Any]:
    """Parts or calls without a member; the very same list where none has it."""
    having = [at for at, entry in enumerate(entries) if isinstance(entry, dict) and name in entry]
    if not having:
        return entries
    kept = list(entries)
    for at in having:
        if entries[at][name]:
            note_member(name, f"{path}[{at}]", call)
        kept[at] = {key: value for key, value in entries[at].items() if key != name}
    return kept


def note_member(name: str, path: str, call: Call) -> None:
    """Note a member that is left out. path: the message or part it stands in, empty for the body. Raises CallerFault
    when the call is strict."""
    if call.strict:
        place = f"{path}.{name}" if path else name
        raise CallerFault(
            f"{place}: the model {call.model} does not know this member; leave it out.",
            param=place,
            code="unsupported_parameter",
        )
    # A call may be built again for a retry or for another target.
    if name not in call.dropped:
        call.dropped.append(name)
