"""Tool definitions and `tool_choice`.

Sources: OpenAI's API reference (tools, tool_choice, allowed_tools); Moonshot's API reference (tools: rule of names;
tool_choice) and its guide on migrating from OpenAI, which says to ask for the call in a message where `required` is not
supported. Tools of other kinds (`builtin_function`, as `$web_search`) travel on.
"""

from __future__ import annotations

from typing import Any

from gateway.api import allowed_tools_of, as_dict, as_list, as_text, function_parameters

from .draft import Draft, refuse
from .thinking import stop_thinking

TOOL_NAMES = r"[A-Za-z_][A-Za-z0-9_-]{2,63}"
"""Names of functions by Moonshot's rule; the gateway renames others."""

ASK = "Call one of the tools now, do not answer in text."
ASK_FOR = "Call the tool {name} now, do not answer in text."


def add_tools(draft: Draft) -> str:
    """Write `tools` and `tool_choice`. Returns an instruction for the end of the conversation, "" when none is
    needed. Raises CallerFault that names the field."""
    given = draft.body.get("tools")
    tools = [_tool(draft, tool, f"tools[{at}]") for at, tool in enumerate(as_list(given or [], "tools"))]
    mode, names = _read_choice(draft.body.get("tool_choice"))
    if not tools:
        if mode in ("required", "named"):
            raise refuse("tool_choice", "asks for a tool call, but there are no tools")
        return ""
    if draft.body.get("parallel_tool_calls") is False:
        draft.report("parallel_tool_calls", "Moonshot cannot be kept to one call at a time")
    if names is not None:
        tools = _only(draft, tools, names, mode)
    draft.out["tools"] = tools
    if mode in ("required", "named"):
        return _force(draft, mode, names)
    if mode:
        draft.out["tool_choice"] = mode
    return ""


def _force(draft: Draft, mode: str, names: list[str] | None) -> str:
    """The nearest that the model has to a forced call. A named tool is alone in the list by now."""
    able = draft.quirks.forced_tool
    if able == "without_thinking":
        if draft.thinks:
            stop_thinking(draft)
        able = "yes"
    if able == "yes":
        if mode == "named" and names:
            draft.out["tool_choice"] = {"type": "function", "function": {"name": names[0]}}
        else:
            draft.out["tool_choice"] = "required"
        return ""
    if able == "required":
        draft.out["tool_choice"] = "required"
        return ""
    draft.report("tool_choice", "this model cannot be forced to call a tool; it is asked to")
    draft.out["tool_choice"] = "auto"
    return ASK_FOR.format(name=names[0]) if mode == "named" and names else ASK


def _tool(draft: Draft, tool: Any, path: str) -> dict[str, Any]:
    tool = as_dict(tool, path)
    kind = tool.get("type", "function")
    if kind == "custom":
        raise refuse(f"{path}.type", "Moonshot has no free-form tools; describe the input as a function's parameters")
    kept = {key: value for key, value in tool.items() if key != "cache_control"}
    if kind != "function":
        return kept
    function = as_dict(tool.get("function"), f"{path}.function")
    function = {key: value for key, value in function.items() if value is not None}
    as_text(function.get("name"), f"{path}.function.name")
    # Required there, optional at OpenAI.
    function["parameters"] = function_parameters(function.get("parameters"))
    return {**kept, "type": "function", "function": function}


def _read_choice(choice: Any) -> tuple[str, list[str] | None]:
    """`tool_choice` as ("" | auto | none | required | named, the names it is limited to or None for all)."""
    if choice is None:
        return "", None
    if isinstance(choice, str):
        if choice not in ("none", "auto", "required"):
            raise refuse("tool_choice", "must be none, auto, required, or an object that names a tool")
        return choice, None
    choice = as_dict(choice, "tool_choice")
    if choice.get("type") == "function":
        function = as_dict(choice.get("function"), "tool_choice.function")
        return "named", [as_text(function.get("name"), "tool_choice.function.name")]
    if choice.get("type") != "allowed_tools":
        raise refuse("tool_choice.type", "must be function or allowed_tools")
    required, names = allowed_tools_of(choice)
    return "required" if required else "auto", names


def _only(draft: Draft, tools: list[dict[str, Any]], names: list[str], mode: str) -> list[dict[str, Any]]:
    """The tools that are named. With a model that takes the name itself, a named choice keeps all of them."""
    kept = [tool for tool in tools if isinstance(tool.get("function"), dict) and tool["function"].get("name") in names]
    if not kept:
        where = "tool_choice.function.name" if mode == "named" else "tool_choice.allowed_tools.tools"
        raise refuse(where, "names none of the tools")
    return tools if mode == "named" and draft.quirks.forced_tool in ("yes", "without_thinking") else kept
