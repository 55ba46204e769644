"""Members of a chat request, as a provider's plugin reads them on the way to another dialect.

Each raises the CallerFault that names the path of what is wrong: a body was validated when it came in, but a plugin of
the chain may have changed it, and what only some providers look at is not validated for all.
Source: OpenAI's API reference, create chat completion.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.errors import CallerFault
from gateway.wire.lenient import as_dict, as_list, as_text, dump
from gateway.wire.mending import load_mended

UNREADABLE = "INVALID_JSON"
"""The member that holds arguments which are no JSON object: Anthropic's word for it (fine-grained tool streaming)."""
_LIMITS = ("max_completion_tokens", "max_tokens")


def arguments_of(value: Any, path: str) -> dict[str, Any]:
    """A tool call's `arguments` as an object, their digits kept. Nothing at all means no arguments; an object is what
    some clients send instead of its JSON.

    A text that is no JSON object, as models write it and limits cut it off, comes wrapped into one: the turn it stands
    in is over, and a caller who gets a 400 for it can never go on with the conversation.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return {}
    if isinstance(value, dict):
        return value
    text = as_text(value, path)
    try:
        parsed = load_mended(text.encode("utf-8", "replace"))
    except orjson.JSONDecodeError:
        return {UNREADABLE: text}
    if parsed is None:
        return {}
    return parsed if isinstance(parsed, dict) else {UNREADABLE: text}


def arguments_json(value: Any, path: str) -> str:
    """The same as JSON: the text itself where it is that of an object."""
    if isinstance(value, str) and value[:1] == "{":
        try:
            orjson.loads(value)
        except orjson.JSONDecodeError:
            pass
        else:
            return value
    return dump(arguments_of(value, path))


def output_limit_of(body: Mapping[str, Any]) -> int | None:
    """The output limit in tokens under either of its names, the smaller one where both stand; None without any."""
    given = [(key, body[key]) for key in _LIMITS if body.get(key) is not None]
    for key, value in given:
        if type(value) is not int or value < 1:
            raise CallerFault(f"{key}: must be a whole number of at least 1", param=key)
    return min((value for _, value in given), default=None)


def stops_of(body: Mapping[str, Any]) -> list[str]:
    """The sequences in `stop`, one or several."""
    stop = body.get("stop")
    if stop is None:
        return []
    return [
        as_text(entry, f"stop[{at}]")
        for at, entry in enumerate([stop] if isinstance(stop, str) else as_list(stop, "stop"))
    ]


def allowed_tools_of(choice: Mapping[str, Any]) -> tuple[bool, list[str]]:
    """What a `tool_choice` of type `allowed_tools` says: whether a call is required, and the names of the tools. The
    Responses API has the members one level higher; both forms are taken."""
    allowed = as_dict(choice.get("allowed_tools", choice), "tool_choice.allowed_tools")
    names = []
    for at, entry in enumerate(as_list(allowed.get("tools"), "tool_choice.allowed_tools.tools")):
        path = f"tool_choice.allowed_tools.tools[{at}]"
        entry = as_dict(entry, path)
        names.append(as_text(as_dict(entry.get("function", entry), path).get("name"), f"{path}.function.name"))
    return allowed.get("mode") == "required", names
