"""Tool definitions, `tool_choice` and `parallel_tool_calls`.

Sources: OpenAI's API reference (tools, tool_choice, allowed_tools); Mistral's API reference (tools, tool_choice).
"""

from __future__ import annotations

from typing import Any

from gateway.api import allowed_tools_of, as_dict, as_list, as_text, function_parameters

from .draft import Draft, refuse

_WORDS = {"auto": "auto", "none": "none", "required": "any", "any": "any"}


def add_tools(draft: Draft) -> None:
    """Write `tools`, `tool_choice` and `parallel_tool_calls`. Raises CallerFault that names the field."""
    tools = draft.body.get("tools")
    if tools is not None:
        tools = [_tool(tool, f"tools[{at}]") for at, tool in enumerate(as_list(tools, "tools"))]
    choice = draft.body.get("tool_choice")
    if not tools:
        if choice not in (None, "auto", "none"):
            raise refuse("tool_choice", "asks for a tool call, but there are no tools")
        return
    draft.out["tools"] = tools
    if choice is not None:
        draft.out["tool_choice"] = _choice(tools, choice)
    if draft.body.get("parallel_tool_calls") is not None:
        draft.out["parallel_tool_calls"] = draft.body["parallel_tool_calls"]


def _tool(tool: Any, path: str) -> dict[str, Any]:
    tool = as_dict(tool, path)
    kind = tool.get("type", "function")
    if kind == "custom":
        raise refuse(f"{path}.type", "Mistral has no free-form tools; describe the input as a function's parameters")
    kept = {key: value for key, value in tool.items() if key != "cache_control"}
    if kind != "function":
        return kept
    function = as_dict(tool.get("function"), f"{path}.function")
    as_text(function.get("name"), f"{path}.function.name")
    function = {key: value for key, value in function.items() if value is not None}
    # Required there, optional at OpenAI.
    function["parameters"] = function_parameters(function.get("parameters"))
    return {**kept, "type": "function", "function": function}


def _choice(tools: list[dict[str, Any]], choice: Any) -> Any:
    """`tool_choice` in Mistral's words; `tools` is cut down in place for allowed_tools."""
    if isinstance(choice, str):
        if choice not in _WORDS:
            raise refuse("tool_choice", "must be none, auto, required, or an object that names a tool")
        return _WORDS[choice]
    choice = as_dict(choice, "tool_choice")
    if choice.get("type") != "allowed_tools":
        return choice
    required, names = allowed_tools_of(choice)
    kept = [tool for tool in tools if _name(tool) in names]
    if not kept:
        raise refuse("tool_choice.allowed_tools.tools", "names none of the tools")
    tools[:] = kept
    return "any" if required else "auto"


def _name(tool: dict[str, Any]) -> Any:
    function = tool.get("function")
    return function.get("name") if isinstance(function, dict) else None
