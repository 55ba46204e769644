"""Names of functions by the rule of who takes them, and back: in the requests and answers of chat and of Responses.

OpenAI, Mistral and most others take letters, digits, `_` and `-`, up to 64; Anthropic up to 128; Google dots too, and a
letter or `_` first; Moonshot no fewer than three. Callers have longer names, with dots and colons, from the servers
that their tools come from. A name that breaks the rule of a target is sent under another, which depends on nothing but
itself as long as nobody else has that one: so prompt caches hold, and earlier turns name what this one names.

Only functions and custom tools are renamed. What a provider runs itself (`builtin_function`, ...) is called as it says.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from gateway.wire.lenient import dicts_of, text_of

Json = dict[str, Any]
Rename = Callable[[str], str]

COMMON_NAMES = r"[A-Za-z0-9_-]{1,64}"
"""OpenAI's rule (API reference, function object: `name`), which most servers copied."""

_OWN = ("function", "custom")
_ODD = re.compile(r"[^A-Za-z0-9_-]")
_KEPT = 48
_CALL_ITEMS = ("function_call", "custom_tool_call")


class Renaming:
    """The names of one request. sent: own names to those they are sent under; back: the other way. Only of those that
    differ."""

    __slots__ = ("back", "sent")

    def __init__(self, sent: Mapping[str, str]) -> None:
        self.sent = dict(sent)
        self.back = {other: own for own, other in sent.items()}

    def forth(self, name: str) -> str:
        """What a name is sent as."""
        return self.sent.get(name, name)

    def restore(self, name: str) -> str:
        """The caller's own name."""
        return self.back.get(name, name)


def plan_chat(body: Json, rule: str) -> Renaming | None:
    """What has to be renamed in a chat body, None for nothing. rule: a pattern that names must match whole."""
    return _plan(lambda note: rename_chat_request(body, note), rule)


def plan_responses(body: Json, rule: str) -> Renaming | None:
    """The same for the body of a Responses request."""
    return _plan(lambda note: rename_responses_request(body, note), rule)


def fresh_name(own: str, taken: Callable[[str], bool]) -> str:
    """A name for `own` that every rule allows and for which `taken` is false: the same for the same name."""
    plain = _ODD.sub("_", own)[:_KEPT]
    key = own
    while True:
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        made = f"fn_{plain}_{digest}"
        if not taken(made):
            return made
        key += "\0"


def _plan(visit: Callable[[Rename], Any], rule: str) -> Renaming | None:
    legal = re.compile(rule).fullmatch
    found: dict[str, None] = {}

    def note(name: str) -> str:
        found[name] = None
        return name

    visit(note)
    odd = [name for name in found if legal(name) is None]
    if not odd:
        return None
    taken = set(found)
    sent: dict[str, str] = {}
    for name in odd:
        sent[name] = fresh_name(name, taken.__contains__)
        taken.add(sent[name])
    return Renaming(sent)


# Chat.


def rename_chat_request(body: Json, rename: Rename) -> Json:
    """A chat body with its functions renamed; what does not change is shared with the body given."""
    out = dict(body)
    others = [tool for tool in dicts_of(body.get("tools")) if tool.get("type") not in (None, *_OWN)]
    kept = {name for tool in others if isinstance(name := _inner_name(tool), str)}
    for key in ("tools", "functions"):
        if body.get(key):
            out[key] = _each(body[key], lambda tool: _holder(tool, rename))
    if isinstance(body.get("tool_choice"), dict):
        out["tool_choice"] = _choice(body["tool_choice"], rename)
    if isinstance(body.get("function_call"), dict):
        out["function_call"] = _named(body["function_call"], rename)
    if body.get("messages"):
        out["messages"] = _each(body["messages"], lambda message: _message(message, rename, kept))
    return out


def rename_chat_answer(body: Json, rename: Rename) -> Json:
    """A completion or a chunk with the names of its calls changed."""
    choices = body.get("choices")
    return {**body, "choices": _each(choices, lambda choice: _chosen(choice, rename))} if choices else body


def _chosen(choice: Json, rename: Rename) -> Json:
    for key in ("message", "delta"):
        if isinstance(choice.get(key), dict):
            return {**choice, key: _message(choice[key], rename, ())}
    return choice


def _message(message: Json, rename: Rename, kept: Any) -> Json:
    if message.get("role") in ("tool", "function"):
        return message if text_of(message.get("name")) in kept else _named(message, rename)
    if message.get("tool_calls"):
        message = {**message, "tool_calls": _each(message["tool_calls"], lambda call: _holder(call, rename))}
    if isinstance(message.get("function_call"), dict):
        message = {**message, "function_call": _named(message["function_call"], rename)}
    return message


def _choice(choice: Json, rename: Rename) -> Json:
    """A choice of one tool, in chat's or Responses' spelling, or of several."""
    if choice.get("type") != "allowed_tools":
        return _holder(choice, rename)
    inner = choice.get("allowed_tools")
    if isinstance(inner, dict):
        return {**choice, "allowed_tools": {**inner, "tools": _each(inner.get("tools"), lambda t: _holder(t, rename))}}
    return {**choice, "tools": _each(choice.get("tools"), lambda tool: _holder(tool, rename))}


def _holder(entry: Json, rename: Rename) -> Json:
    """A tool, a call or a choice: its name stands within `function` or `custom`, or beside its type."""
    if (entry.get("type") or "function") not in _OWN:
        return entry
    for key in _OWN:
        if isinstance(entry.get(key), dict):
            return {**entry, key: _named(entry[key], rename)}
    return _named(entry, rename)


# Responses.


def rename_responses_request(body: Json, rename: Rename) -> Json:
    """The body of a Responses request with its functions renamed; what does not change is shared."""
    out = dict(body)
    if body.get("tools"):
        out["tools"] = _each(body["tools"], lambda tool: _tool(tool, rename))
    if isinstance(body.get("tool_choice"), dict):
        out["tool_choice"] = _choice(body["tool_choice"], rename)
    if isinstance(body.get("input"), list):
        out["input"] = _each(body["input"], lambda item: _item(item, rename))
    return out


def rename_responses_answer(body: Json, rename: Rename) -> Json:
    """A response object, or an event of its stream, with the names changed where they stand."""
    out = dict(body)
    if isinstance(body.get("response"), dict):
        out["response"] = rename_responses_answer(body["response"], rename)
    if isinstance(body.get("item"), dict):
        out["item"] = _item(body["item"], rename)
    if body.get("output"):
        out["output"] = _each(body["output"], lambda item: _item(item, rename))
    if str(body.get("type")).startswith("response.function_call_arguments."):
        return _named(out, rename)
    return rename_responses_request(out, rename)


def _tool(tool: Json, rename: Rename) -> Json:
    if tool.get("type") == "namespace":
        return {**tool, "tools": _each(tool.get("tools"), lambda inner: _holder(inner, rename))}
    return _holder(tool, rename)


def _item(item: Json, rename: Rename) -> Json:
    kind = item.get("type")
    if kind in _CALL_ITEMS:
        return _named(item, rename)
    if kind in ("additional_tools", "tool_search_output") and item.get("tools"):
        return {**item, "tools": _each(item["tools"], lambda tool: _tool(tool, rename))}
    return item


# Both.


def _named(entry: Json, rename: Rename) -> Json:
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        return entry
    other = rename(name)
    return entry if other == name else {**entry, "name": other}


def _inner_name(tool: Json) -> Any:
    function = tool.get("function")
    return function.get("name") if isinstance(function, dict) else tool.get("name")


def _each(values: Any, change: Callable[[Json], Json]) -> Any:
    """A list with its objects changed; anything else as it is, for the provider to judge."""
    if not isinstance(values, list):
        return values
    return [change(value) if isinstance(value, dict) else value for value in values]
