"""Tools of the Responses API that the caller runs, but that chat has no word for, as plain functions and back.

    namespace     {"type": "namespace", "name": N, "tools": [function, ...]}; calls bear `namespace`. Agents offer
                  each MCP server so. Its functions are offered flat, as `N__name`.
    tool_search   run by the caller ("execution": "client"); calls are `tool_search_call`, and what was found, in
                  `tool_search_output.tools`, is on offer from then on. So it is with `additional_tools`.
    shell, local_shell, apply_patch   see `gateway.wire.bridge.shell_tools`.

`flatten` rewrites tools and items of a request; what it returns besides leads each function name back (`Alias`).
Sources: OpenAI's API reference (Responses: tools, items), its guide "Tool search", and requests of Codex 0.171.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.wire.bridge.shell_tools import KNOWN_TOOLS, NAMES_OF_CALLS, NAMES_OF_OUTPUTS, function_of
from gateway.wire.exact_json import load_exact
from gateway.wire.lenient import nests_deeper

Json = dict[str, Any]

_LONGEST = 64
"""Characters of a function's name, at OpenAI and most others."""
_DEEPEST = 64
"""Levels of arguments that are read; deeper ones could not be written again."""
_ODD = re.compile(r"[^A-Za-z0-9_-]")

_QUERY = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}


@dataclass(frozen=True, slots=True)
class Alias:
    """What a function upstream stands for. kind: the type of the item that a call of it becomes; name, namespace: of
    the caller's tool."""

    kind: str
    name: str
    namespace: str = ""


@dataclass(slots=True)
class Flat:
    """tools, items: those of a request, without what chat has no word for. aliases: by the function's name upstream.
    choice: the `tool_choice`, likewise."""

    tools: list[Mapping[str, Any]] = field(default_factory=list)
    items: list[Mapping[str, Any]] = field(default_factory=list)
    aliases: dict[str, Alias] = field(default_factory=dict)
    choice: Any = None


def flatten(tools: Iterable[Mapping[str, Any]], items: Sequence[Mapping[str, Any]], choice: Any) -> Flat:
    """The request's tools, canonical items and tool_choice with plain functions only. What is given is not changed."""
    flat = Flat()
    offered = [*tools, *_found_tools(items)]
    taken = {str(tool["name"]) for tool in offered if tool.get("type") in ("function", "custom") and tool.get("name")}
    names = _Names(taken)
    seen: set[str] = set()
    for tool in offered:
        for made in _flat_tools(tool, names, flat.aliases):
            name = made.get("name")
            # What was found before is offered once, and so is what the caller lists again.
            if name is None or name not in seen:
                flat.tools.append(made)
            seen.add(str(name))
    flat.items = [_flat_item(item, names) for item in items]
    flat.choice = _flat_choice(choice, names)
    return flat


class _Names:
    """Names upstream: the same for the same tool, and no two alike. taken: names that the caller gave functions."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        self._given: dict[tuple[str, str], str] = {}

    def flat(self, namespace: str, name: str) -> str:
        """The name of a namespace's function; of a tool of its own kind with `namespace` empty."""
        key = (namespace, name)
        if key not in self._given:
            plain = _ODD.sub("_", f"{namespace}__{name}" if namespace else name)
            if len(plain) > _LONGEST or plain in self._taken:
                mark = hashlib.sha256(f"{namespace}\0{name}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
                plain = f"{plain[: _LONGEST - 9]}_{mark}"
            self._taken.add(plain)
            self._given[key] = plain
        return self._given[key]


def _found_tools(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Tools that items bring along."""
    found: list[Mapping[str, Any]] = []
    for item in items:
        if item.get("type") in ("additional_tools", "tool_search_output"):
            listed = item.get("tools")
            found += [tool for tool in listed if isinstance(tool, Mapping)] if isinstance(listed, list) else []
    return found


def _flat_tools(tool: Mapping[str, Any], names: _Names, aliases: dict[str, Alias]) -> list[Mapping[str, Any]]:
    kind, name = tool.get("type"), tool.get("name")
    if kind == "namespace" and isinstance(name, str):
        made: list[Mapping[str, Any]] = []
        for inner in tool.get("tools") or ():
            if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
                continue
            if inner.get("type") not in ("function", "custom"):
                continue
            flat = names.flat(name, inner["name"])
            item = "function_call" if inner["type"] == "function" else "custom_tool_call"
            aliases[flat] = Alias(item, inner["name"], name)
            made.append({**_told(inner), "name": flat})
        return made
    if kind == "tool_search" and tool.get("execution") == "client":
        parameters = tool.get("parameters") if isinstance(tool.get("parameters"), Mapping) else _QUERY
        text = tool.get("description") or "Finds further tools, which can be called from then on."
        return [_function("tool_search", text, parameters, names, aliases)]
    known = function_of(str(kind), tool)
    if known is not None:
        return [_function(str(kind), *known, names, aliases)]
    return [_told(tool)] if kind in ("function", "custom") else [tool]


def _told(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """A tool without the mark that it is to be found by search: who has no such search has to be told at once."""
    return {key: value for key, value in tool.items() if key != "defer_loading"}


def _function(
    name: str, description: Any, parameters: Any, names: _Names, aliases: dict[str, Alias]
) -> Mapping[str, Any]:
    flat = names.flat("", name)
    aliases[flat] = Alias(f"{name}_call", name)
    return {"type": "function", "name": flat, "description": str(description), "parameters": parameters}


def _flat_item(item: Mapping[str, Any], names: _Names) -> Mapping[str, Any]:
    kind, call_id = str(item.get("type")), item.get("call_id")
    if kind in ("function_call", "custom_tool_call") and item.get("namespace"):
        rest = {key: value for key, value in item.items() if key != "namespace"}
        return {**rest, "name": names.flat(str(item["namespace"]), str(item.get("name")))}
    if kind in NAMES_OF_CALLS and isinstance(call_id, str):
        name = NAMES_OF_CALLS[kind]
        return _call(call_id, names.flat("", name), KNOWN_TOOLS[name].arguments(item))
    if kind == "tool_search_call" and isinstance(call_id, str):
        return _call(call_id, names.flat("", "tool_search"), item.get("arguments"))
    if kind in NAMES_OF_OUTPUTS and isinstance(call_id, str):
        text, failed = KNOWN_TOOLS[NAMES_OF_OUTPUTS[kind]].result(item)
        result: Json = {"type": "function_call_output", "call_id": call_id, "output": text}
        return {**result, "is_error": True} if failed else result
    if kind == "tool_search_output" and isinstance(call_id, str):
        return {"type": "function_call_output", "call_id": call_id, "output": _found_text(item, names)}
    return item


def _call(call_id: str, name: str, arguments: Any) -> Json:
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments or {}).decode()
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": text}


def _found_text(item: Mapping[str, Any], names: _Names) -> str:
    """In words, what a search for tools brought."""
    found = []
    for tool in _found_tools([item]):
        if tool.get("type") == "namespace":
            inner = [one for one in tool.get("tools") or () if isinstance(one, Mapping) and one.get("name")]
            found += [names.flat(str(tool.get("name")), str(one["name"])) for one in inner]
        elif tool.get("name"):
            found.append(str(tool["name"]))
    return f"These tools can be called now: {', '.join(found)}" if found else "No tool was found."


def _flat_choice(choice: Any, names: _Names) -> Any:
    if not isinstance(choice, Mapping):
        return choice
    if choice.get("type") == "allowed_tools" and isinstance(choice.get("tools"), list):
        return {**choice, "tools": [_flat_choice(one, names) for one in choice["tools"]]}
    if choice.get("namespace") and isinstance(choice.get("name"), str):
        rest = {key: value for key, value in choice.items() if key != "namespace"}
        return {**rest, "name": names.flat(str(choice["namespace"]), choice["name"])}
    if choice.get("type") in KNOWN_TOOLS:
        return {"type": "function", "name": names.flat("", str(choice["type"]))}
    return choice


def restore_call(alias: Alias, item_id: str, call_id: str, arguments: str, status: str) -> Json:
    """The item of the caller's own kind (`shell_call`, `tool_search_call`, ...) for a call of its function."""
    try:
        given = load_exact(arguments or "{}")
    except orjson.JSONDecodeError:
        given = {}
    given = given if isinstance(given, dict) and not nests_deeper(given, _DEEPEST) else {}
    item: Json = {"id": item_id, "type": alias.kind, "call_id": call_id, "status": status}
    if alias.kind == "tool_search_call":
        return {**item, "execution": "client", "arguments": given}
    known = KNOWN_TOOLS[NAMES_OF_CALLS[alias.kind]]
    if status not in known.statuses:
        item["status"] = known.statuses[0]
    return {**item, **known.members(given, arguments)}
