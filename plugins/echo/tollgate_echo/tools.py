"""Which functions the echo model calls, and with what.

`tool_choice` counts first: `none` never, a named function always, `required` at least one. Otherwise (`auto`) a
function is called when the last user message contains its name or a telling word of it: "Weather in Lisbon?" calls
`get_weather`. The directive `tools=name,name` calls exactly those. After tool results the model answers in text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import orjson

from tollgate_echo.hints import Hints
from tollgate_echo.schema import Builder, Effort

_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_WORD = re.compile(r"\w+")
# What no model can know by itself: asked for it, the model searches, if it has a function for that.
_CURRENT = ("new", "latest", "today", "current", "recent")

MOST_CALLS = 128
"""Calls in one choice; OpenAI takes as many tools in one request."""

MOST_OFFERED = 1_024
"""Functions whose names are looked for in a message; the others are called when they are asked for by name."""

LONGEST_MESSAGE = 4_000
"""Characters of a message in which names are looked for."""

# Words in function names that every message could contain.
_TELLS_NOTHING = frozenset(
    "a an and by call check create current data delete do execute fetch find for from func function get give in info "
    "is it list llm make my new of on or query read run search set show start stop test the this to tool update use "
    "value what with".split()
)


@dataclass(slots=True, frozen=True)
class ToolCall:
    """One call: the function's name and its arguments as JSON text."""

    name: str
    arguments: str


def choose_calls(
    body: Mapping[str, Any], message: str, wanted: Sequence[str] | None, answered: bool, effort: Effort
) -> list[ToolCall]:
    """The calls to make, at most `MOST_CALLS`; empty for an answer in text.

    message: the last user message. wanted: names from the directive, or None. answered: tool results came last.
    effort: what all their arguments together may cost to make.
    """
    functions = _functions(body)
    if not functions:
        return []
    if wanted is not None:
        names = [name for name in wanted if name in functions]
    else:
        names = _names(body.get("tool_choice"), functions, message, answered)
    if body.get("parallel_tool_calls") is False:
        names = names[:1]
    message = message[:LONGEST_MESSAGE]
    return [
        ToolCall(name, _arguments(functions[name], Hints(message, _telling_word(name, message)), effort))
        for name in names[:MOST_CALLS]
    ]


def _functions(body: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The offered functions by name. Other kinds of tools are nothing this model could call."""
    found: dict[str, Mapping[str, Any]] = {}
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            found[function["name"]] = function
    return found


def _names(choice: Any, functions: Mapping[str, Any], message: str, answered: bool) -> list[str]:
    if choice == "none":
        return []
    mode = choice if isinstance(choice, str) else "auto"
    offered = list(functions)
    if isinstance(choice, dict):
        function = choice.get("function")
        if isinstance(function, dict):
            named = function.get("name")
            return [named] if isinstance(named, str) and named in functions else []
        allowed = choice.get("allowed_tools")
        if isinstance(allowed, dict):
            mode = str(allowed.get("mode"))
            permitted = _functions(allowed)
            offered = [name for name in offered if name in permitted]
    if answered and mode != "required":
        return []
    lower = message[:LONGEST_MESSAGE].lower()
    words = {word.removesuffix("s") for word in _WORD.findall(lower)}
    matching = [name for name in offered[:MOST_OFFERED] if _telling(name, lower, words)]
    return matching or (offered[:1] if mode == "required" else [])


def _telling_word(name: str, message: str) -> str:
    """The word of a function's name (or all of it) that the message contains, "" when there is none."""
    lower = message.lower()
    return _telling(name, lower, {word.removesuffix("s") for word in _WORD.findall(lower)})


def _telling(name: str, lower: str, words: Set[str]) -> str:
    """The same of a message in lower case. words: its words without the `s` of plurals."""
    if name.lower() in lower:
        return name
    for part in _PART.findall(name):
        word = part.lower().removesuffix("s")
        if len(word) > 2 and word not in _TELLS_NOTHING and word in words:
            return str(word)
    if "search" in name.lower():
        return next((word for word in _CURRENT if word in words), "")
    return ""


def _arguments(function: Mapping[str, Any], hints: Hints, effort: Effort) -> str:
    parameters = function.get("parameters")
    if not isinstance(parameters, dict):
        return "{}"
    value = Builder({"type": "object", **parameters}, hints, optional=False, effort=effort).build()
    return orjson.dumps(value).decode()
