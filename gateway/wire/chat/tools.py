"""Validation of the tools of a chat request, and of the choice among them.

Source: OpenAI's `openapi.yaml`, ChatCompletionTool and ChatCompletionToolChoiceOption.
"""

from __future__ import annotations

import re
from typing import Any

from gateway.wire.json_schema import Component, Tree, alternatives, tagged
from gateway.wire.schema_refs import json_schema
from gateway.wire.validators import (
    Validator,
    boolean,
    filled_string,
    mapping,
    obj,
    object_tree,
    one_of,
    printable,
    refuse,
    refuse_type,
    string,
)

# OpenAI allows [a-zA-Z0-9_-]{1,64}. Others take more: 128 characters, dots, colons, and a leading dollar sign for
# functions that run at the provider; MCP's servers may have slashes (SEP-986). What breaks the rule of a target is
# renamed for it (`gateway.wire.tool_names`).
_NAME_PATTERN = r"[A-Za-z0-9_$.:/-]{1,128}"
_NAME = re.compile(_NAME_PATTERN)


def _check_function_name(path: str, name: Any) -> None:
    if type(name) is not str or not name:
        refuse_type(path, "the name of a function", name)
    if _NAME.fullmatch(name) is None:
        problem = (
            f"'{printable(name, 80)}' is not a function name; use at most 128 letters, digits, '_', '-', '.', ':', '/'"
        )
        refuse(path, problem, code="invalid_value")


_FUNCTION_NAME = Validator(_check_function_name, {"type": "string", "pattern": f"^{_NAME_PATTERN}$"})
FUNCTION = obj(
    {"name": _FUNCTION_NAME, "description": string, "parameters": json_schema, "strict": boolean},
    required=("name",),
    expected="an object with the function's name and parameters",
)
_CUSTOM_TOOL = obj(
    {"name": _FUNCTION_NAME, "description": string, "format": obj({"type": filled_string}, required=("type",))},
    required=("name",),
)
_TOOL_KINDS: dict[str, Validator] = {"function": FUNCTION, "custom": _CUSTOM_TOOL}


def _check_tools(path: str, value: Any) -> None:
    """Any number of tools: OpenAI takes 128, others more. Kinds of tools we do not know travel on."""
    if type(value) is not list:
        refuse_type(path, "an array", value)
    for index, tool in enumerate(value):
        at = f"{path}[{index}]"
        if type(tool) is not dict:
            refuse_type(at, "a tool object with a type", tool)
        if tool.get("type") is None:
            refuse_type(f"{at}.type", "'function' or another kind of tool", None)
        filled_string.check(f"{at}.type", tool["type"])
        kind_of_tool: str = tool["type"]
        inner = _TOOL_KINDS.get(kind_of_tool)
        if inner is None:
            continue
        if kind_of_tool not in tool and "name" in tool:
            refuse(
                f"{at}.{kind_of_tool}",
                f"is missing; in Chat Completions the name and parameters of a tool stand inside '{kind_of_tool}'",
                code="missing_required_parameter",
            )
        inner.check(f"{at}.{kind_of_tool}", tool.get(kind_of_tool))


_TOOL = Component(
    "ChatTool",
    tagged({word: {"properties": {word: inner.tree}, "required": [word]} for word, inner in _TOOL_KINDS.items()}),
)
TOOLS = Validator(_check_tools, {"type": "array", "items": _TOOL})

_CHOICES = ("none", "auto", "required")
_WORDS_AS_TYPES = (*_CHOICES, "any", "tool")
_choice_word = one_of(_CHOICES, {"any": "use required"})


def check_tool_choice(path: str, choice: Any, tools: list[dict[str, Any]]) -> None:
    """Raise CallerFault 400 unless `choice` is one, and names only what is among `tools` (checked before)."""
    if type(choice) is str:
        _choice_word.check(path, choice)
        if choice == "required" and not tools:
            refuse(path, "'required' needs at least one tool; add tools or remove tool_choice")
        return
    if type(choice) is not dict:
        refuse_type(path, 'none, auto, required or an object such as {"type": "function", "function": ...}', choice)
    kind_of_choice = choice.get("type")
    filled_string.check(f"{path}.type", kind_of_choice)
    if kind_of_choice in _TOOL_KINDS:
        _check_named_tool(path, choice, tools)
    elif kind_of_choice == "allowed_tools":
        _check_allowed_tools(f"{path}.allowed_tools", choice.get("allowed_tools"), tools)
    elif kind_of_choice in _WORDS_AS_TYPES:
        refuse(f"{path}.type", "expected function, allowed_tools or custom; none, auto and required are plain strings")
    # Other kinds name tools that run at a provider; the provider judges them.


def _check_named_tool(path: str, named: dict[str, Any], tools: list[dict[str, Any]]) -> None:
    """`{"type": T, T: {"name": ...}}` names one of the tools."""
    kind_of_tool = named["type"]
    inner = named.get(kind_of_tool)
    if type(inner) is not dict:
        refuse_type(f"{path}.{kind_of_tool}", "an object with the tool's name", inner)
    filled_string.check(f"{path}.{kind_of_tool}.name", inner.get("name"))
    name: str = inner["name"]
    known = [tool[kind_of_tool]["name"] for tool in tools if tool["type"] == kind_of_tool]
    if name not in known:
        _refuse_unknown_name(f"{path}.{kind_of_tool}.name", name, known, "tools")


def _refuse_unknown_name(path: str, name: str, known: list[str], where: str) -> None:
    listed = printable(", ".join(known[:10]), 300) if known else "none"
    problem = f"'{printable(name, 80)}' is not defined in {where}; defined: {listed}"
    refuse(path, problem, code="invalid_value")


_allowed_mode = one_of(("auto", "required"))


def _check_allowed_tools(path: str, allowed: Any, tools: list[dict[str, Any]]) -> None:
    if type(allowed) is not dict:
        refuse_type(path, "an object with a mode and tools", allowed)
    _allowed_mode.check(f"{path}.mode", allowed.get("mode"))
    named = allowed.get("tools")
    if type(named) is not list or not named:
        refuse_type(f"{path}.tools", "an array with at least one element", named)
    for index, tool in enumerate(named):
        at = f"{path}.tools[{index}]"
        mapping.check(at, tool)
        filled_string.check(f"{at}.type", tool.get("type"))
        if tool["type"] in _TOOL_KINDS:
            _check_named_tool(at, tool, tools)


def check_function_call(path: str, call: Any, functions: list[dict[str, Any]]) -> None:
    """The same for the older spelling, with `functions`."""
    if type(call) is str:
        if call not in ("none", "auto"):
            refuse(path, f"expected none, auto or {{\"name\": ...}}, got '{printable(call, 40)}'", code="invalid_value")
        return
    mapping.check(path, call)
    filled_string.check(f"{path}.name", call.get("name"))
    known = [function["name"] for function in functions]
    if call["name"] not in known:
        _refuse_unknown_name(f"{path}.name", call["name"], known, "functions")


def _naming(word: str) -> Tree:
    return {"properties": {word: object_tree({"name": filled_string}, ("name",))}, "required": [word]}


_NAMING = {word: _naming(word) for word in _TOOL_KINDS}
_ALLOWED_TOOLS = {
    "type": "object",
    "properties": {"mode": _allowed_mode.tree, "tools": {"type": "array", "minItems": 1, "items": tagged(_NAMING)}},
    "required": ["mode", "tools"],
}
TOOL_CHOICE_TREE = alternatives(
    _choice_word.tree,
    *tagged(
        {**_NAMING, "allowed_tools": {"properties": {"allowed_tools": _ALLOWED_TOOLS}, "required": ["allowed_tools"]}},
        refused=_WORDS_AS_TYPES,
    )["anyOf"],
)
"""The schema of `tool_choice`; that what it names is among the tools, is a rule between fields."""

FUNCTION_CALL_TREE = alternatives(
    {"type": "string", "enum": ["none", "auto"]}, object_tree({"name": filled_string}, ("name",))
)
"""The schema of `function_call`, the older spelling of `tool_choice`."""
