"""Tools and tool_choice between the two dialects, both ways.

Responses tools are flat (`{"type": "function", "name": ...}`), chat tools nest (`{"type": "function", "function":
{"name": ...}}`). Custom tools (free text input) exist in both; an upstream that lacks them gets a function with the
single string `input` instead, and its calls are turned back (`unwrap_custom_input`). Every other tool type is run by
a server, OpenAI's or this gateway's, and is set apart for the gateway's tool loop.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.wire.function_parameters import function_parameters
from gateway.wire.validators import refuse

Json = dict[str, Any]

_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_NAME = 64


@dataclass(slots=True)
class ChatTools:
    """tools: chat tools. hosted: the tools that are not functions of the caller, as given. emulated: names of custom
    tools that became functions. choice: chat tool_choice, None when not given. hosted_choice: the caller demands a
    hosted tool (the tool_choice as given). dropped: fields that could not be carried."""

    tools: list[Json] = field(default_factory=list)
    hosted: list[Json] = field(default_factory=list)
    emulated: frozenset[str] = frozenset()
    choice: Any = None
    hosted_choice: Json | None = None
    dropped: list[str] = field(default_factory=list)


def tools_to_chat(
    tools: Sequence[Mapping[str, Any]], choice: Any, *, custom_tools: bool, allowed_tools: bool
) -> ChatTools:
    """Responses tools and tool_choice as chat ones.

    custom_tools, allowed_tools: whether the upstream knows custom tools and `allowed_tools`; without the latter,
    the list itself is narrowed to what is allowed.
    """
    made = ChatTools()
    emulated: list[str] = []
    for tool in tools:
        kind = tool.get("type")
        if kind == "function":
            made.tools.append({"type": "function", "function": _without(tool, "type")})
        elif kind == "custom" and custom_tools:
            made.tools.append({"type": "custom", "custom": _custom_to_chat(tool)})
        elif kind == "custom":
            made.tools.append({"type": "function", "function": _emulate(tool)})
            emulated.append(tool["name"])
        else:
            made.hosted.append(dict(tool))
    made.emulated = frozenset(emulated)
    _choose(made, choice, allowed_tools)
    return made


def _without(value: Mapping[str, Any], *keys: str) -> Json:
    return {key: entry for key, entry in value.items() if key not in keys and entry is not None}


def _custom_to_chat(tool: Mapping[str, Any]) -> Json:
    custom = _without(tool, "type", "format")
    given = tool.get("format")
    if given:
        inner = _without(given, "type")
        custom["format"] = {"type": "grammar", "grammar": inner} if given.get("type") == "grammar" else dict(given)
    return custom


def _emulate(tool: Mapping[str, Any]) -> Json:
    """A function with one string, told in words what grammar the text has to follow."""
    description = str(tool.get("description") or "")
    given = tool.get("format") or {}
    if given.get("type") == "grammar":
        rule = f"`input` must match this {given.get('syntax', '')} grammar:\n{given.get('definition', '')}"
        description = f"{description}\n\n{rule}" if description else rule
    schema = {"type": "object", "properties": {"input": {"type": "string"}}}
    parameters = {**schema, "required": ["input"], "additionalProperties": False}
    function: Json = {"name": tool["name"], "parameters": parameters}
    if description:
        function["description"] = description
    return function


def _choose(made: ChatTools, choice: Any, allowed_tools: bool) -> None:
    if choice is None or isinstance(choice, str):
        made.choice = choice
        return
    kind = choice.get("type")
    if kind in ("function", "custom"):
        made.choice = _named(made, choice, _tool_names(made))
    elif kind == "allowed_tools":
        _allow(made, choice, allowed_tools)
    else:
        made.hosted_choice = dict(choice)


def _tool_names(made: ChatTools) -> Set[Any]:
    return {tool[tool["type"]].get("name") for tool in made.tools}


def _named(made: ChatTools, choice: Mapping[str, Any], known: Set[Any]) -> Json:
    if choice["name"] not in known:
        refuse("tool_choice.name", "names a tool that is not in `tools`")
    kind = "function" if choice["name"] in made.emulated else choice["type"]
    return {"type": kind, kind: {"name": choice["name"]}}


def _allow(made: ChatTools, choice: Mapping[str, Any], native: bool) -> None:
    allowed = [tool for tool in choice["tools"] if isinstance(tool, Mapping)]
    names = {tool.get("name") for tool in allowed}
    hosted = {tool.get("type") for tool in allowed} - {"function", "custom"}
    made.hosted = [tool for tool in made.hosted if tool.get("type") in hosted]
    if native:
        known = _tool_names(made)
        entries = [_named(made, tool, known) for tool in allowed if tool.get("type") in ("function", "custom")]
        made.choice = {"type": "allowed_tools", "allowed_tools": {"mode": choice["mode"], "tools": entries}}
        return
    made.tools = [tool for tool in made.tools if tool[tool["type"]].get("name") in names]
    made.choice = choice["mode"]


def unwrap_custom_input(arguments: str) -> str:
    """The free text out of the arguments of an emulated custom tool; a model that ignored the form keeps its text."""
    try:
        value = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments
    text = value.get("input") if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments


def wrap_custom_input(text: str) -> str:
    """The arguments that stand for this free text on an upstream where the tool is emulated."""
    return orjson.dumps({"input": text}).decode()


# -- chat -> Responses ------------------------------------------------------------------------------------------


def tools_from_chat(tools: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Chat tools as Responses tools. Chat functions are not strict unless they say so, Responses functions are:
    `strict` is always written."""
    made: list[Json] = []
    for tool in tools:
        kind = tool.get("type", "function")
        inner = tool.get(kind)
        if not isinstance(inner, Mapping):
            made.append(dict(tool))
        elif kind == "custom":
            custom = {"type": "custom", **_without(inner, "format")}
            given = inner.get("format")
            if given:
                grammar = given.get("grammar")
                custom["format"] = {"type": "grammar", **grammar} if isinstance(grammar, Mapping) else dict(given)
            made.append(custom)
        else:
            function = {"type": kind, "parameters": None, "strict": False, **_without(inner)}
            if function["parameters"] is not None:
                function["parameters"] = function_parameters(function["parameters"])
            made.append(function)
    return made


def tool_choice_from_chat(choice: Any) -> Any:
    """Chat tool_choice as Responses tool_choice."""
    if not isinstance(choice, Mapping):
        return choice
    kind = choice.get("type")
    if kind == "allowed_tools":
        inner = choice.get("allowed_tools")
        inner = inner if isinstance(inner, Mapping) else choice
        tools = [tool_choice_from_chat(tool) for tool in inner.get("tools") or ()]
        return {"type": "allowed_tools", "mode": inner.get("mode", "auto"), "tools": tools}
    named = choice.get(str(kind))
    return {"type": kind, "name": named.get("name")} if isinstance(named, Mapping) else dict(choice)


def function_name(wanted: str) -> str:
    """A name that every provider takes; what is too long keeps its beginning and a digest of the rest."""
    name = _NOT_A_NAME.sub("_", wanted)
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(wanted.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9]}_{digest}"
