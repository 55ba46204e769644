"""Tool definitions, `tool_choice` and `parallel_tool_calls`.

Sources: OpenAI's API reference (tools, tool_choice, allowed_tools); Anthropic's pages on tool use, strict tool use,
parallel tool use and the web search tool.
"""

from __future__ import annotations

import re
from typing import Any

from gateway.api import as_dict, as_text, function_parameters

from .draft import Draft, refuse

TOOL_NAMES = r"[A-Za-z0-9_-]{1,128}"
"""Names of functions by Anthropic's rule (API reference, `tools.name`); the gateway renames others."""

SEARCH_USES = {"low": 3, "medium": 5, "high": 10}
"""`search_context_size` to the most searches in one answer. Anthropic cannot set the size of a result, but the
number of results read is what the size is for, and a ceiling keeps one request's price bounded."""

_NATIVE_CHOICES = ("auto", "any", "tool", "none")
_OWN_SEARCH = re.compile(r"web_search_\d{8}", re.ASCII)


def is_openai_search(kind: str) -> bool:
    """Whether a type of tools means OpenAI's web search, with a date behind or without (`web_search_2025_08_26`), and
    not Anthropic's own."""
    return kind.startswith("web_search") and _OWN_SEARCH.fullmatch(kind) is None


def add_tools(draft: Draft) -> None:
    """Write `tools` and `tool_choice`. Raises CallerFault that names the field."""
    tools = _tools(draft)
    search = draft.body.get("web_search_options")
    if search is not None:
        tools.append(_search_tool(draft, as_dict(search, "web_search_options")))
    choice = _choice(draft, tools)
    parallel = draft.body.get("parallel_tool_calls")
    if parallel is False and tools and (choice is None or choice["type"] != "none"):
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    if tools:
        draft.out["tools"] = tools
        if choice is not None:
            draft.out["tool_choice"] = choice


def _tools(draft: Draft) -> list[dict[str, Any]]:
    tools = draft.body.get("tools")
    if tools is None:
        return []
    if not isinstance(tools, list):
        raise refuse("tools", "must be an array")
    return [_tool(draft, as_dict(tool, f"tools[{at}]"), f"tools[{at}]") for at, tool in enumerate(tools)]


def _tool(draft: Draft, tool: dict[str, Any], path: str) -> dict[str, Any]:
    kind = tool.get("type", "function")
    if kind == "custom" and "custom" in tool:
        raise refuse(f"{path}.type", "Anthropic has no free-form tools; describe the input as a function's parameters")
    if isinstance(kind, str) and is_openai_search(kind):
        return _search_tool(draft, tool)
    if kind != "function":
        return dict(tool)
    function = as_dict(tool.get("function"), f"{path}.function")
    out: dict[str, Any] = {
        "name": as_text(function.get("name"), f"{path}.function.name"),
        "input_schema": _schema(function.get("parameters"), f"{path}.function.parameters"),
    }
    if function.get("description") is not None:
        out["description"] = as_text(function["description"], f"{path}.function.description")
    if function.get("strict"):
        if draft.quirks.structured:
            out["strict"] = True
        else:
            draft.report("tools[].function.strict", "this model has no strict tools; leave strict out")
    for source, taken in ((function, ("name", "parameters", "description", "strict")), (tool, ("type", "function"))):
        out.update({key: value for key, value in source.items() if key not in taken and value is not None})
    return out


def _schema(parameters: Any, path: str) -> dict[str, Any]:
    """A tool's `input_schema`: Anthropic wants an object's, OpenAI lets the schema be left out."""
    schema = as_dict(function_parameters(parameters), path)
    kind = schema.get("type")
    if kind != "object":
        raise refuse(f"{path}.type", f"must be 'object', not {str(kind)[:40]!r}: the arguments of a tool are an object")
    return schema


def _search_tool(draft: Draft, options: dict[str, Any]) -> dict[str, Any]:
    """Anthropic's server-side web search from OpenAI's `web_search_options`, or from its built-in tool."""
    size = options.get("search_context_size") or "medium"
    if size not in SEARCH_USES:
        raise refuse("web_search_options.search_context_size", f"must be one of {', '.join(SEARCH_USES)}")
    tool: dict[str, Any] = {"type": draft.quirks.web_search, "name": "web_search", "max_uses": SEARCH_USES[size]}
    place = options.get("user_location")
    if place is not None:
        place = as_dict(place, "web_search_options.user_location")
        inner = place.get("approximate")
        inner = inner if isinstance(inner, dict) else place
        known = {key: inner[key] for key in ("city", "region", "country", "timezone") if inner.get(key)}
        tool["user_location"] = {"type": "approximate", **known}
    filters = options.get("filters")
    if isinstance(filters, dict):
        tool.update({key: value for key, value in filters.items() if value is not None})
    # Anthropic's own settings of the tool travel on; OpenAI's that have no counterpart are reported.
    own = ("max_uses", "allowed_domains", "blocked_domains", "cache_control")
    tool.update({key: options[key] for key in own if options.get(key) is not None})
    taken = ("type", "search_context_size", "user_location", "filters", *own)
    for key in [key for key in options if key not in taken and options[key] is not None]:
        draft.report(f"web_search_options.{key}", "Anthropic's web search has no such setting")
    return tool


def _choice(draft: Draft, tools: list[dict[str, Any]]) -> dict[str, Any] | None:
    """`tool_choice` in Anthropic's words, None for its default; `tools` is cut down in place for allowed_tools."""
    choice = draft.body.get("tool_choice")
    if choice is None:
        return None
    if isinstance(choice, dict) and choice.get("type") in _NATIVE_CHOICES:
        return dict(choice)
    mode, names = _read_choice(choice)
    if mode in ("auto", "none"):
        if names is not None:
            _keep_only(tools, names, "tool_choice.allowed_tools.tools")
        return {"type": mode}
    if not tools:
        raise refuse("tool_choice", "asks for a tool call, but there are no tools")
    if names is not None:
        _keep_only([*tools], names, "tool_choice.function.name")
    if draft.quirks.forced_tool == "never":
        draft.report("tool_choice", "this model cannot be made to call a tool; use auto and say so in the instructions")
        if names is not None:
            _keep_only(tools, names, "tool_choice.function.name")
        return {"type": "auto"}
    if mode == "tool" and names:
        return {"type": "tool", "name": names[0]}
    if names is not None:
        _keep_only(tools, names, "tool_choice.allowed_tools.tools")
    return {"type": "any"}


def _read_choice(choice: Any) -> tuple[str, list[str] | None]:
    """OpenAI's `tool_choice` as (auto | none | any | tool, the names it is limited to or None for all)."""
    if isinstance(choice, str):
        modes = {"auto": "auto", "none": "none", "required": "any", "any": "any"}
        if choice not in modes:
            raise refuse("tool_choice", "must be none, auto, required, or an object that names a tool")
        return modes[choice], None
    choice = as_dict(choice, "tool_choice")
    kind = choice.get("type")
    if kind == "function":
        function = choice.get("function")
        function = as_dict(function if function is not None else choice, "tool_choice.function")
        return "tool", [as_text(function.get("name"), "tool_choice.function.name")]
    if kind == "allowed_tools":
        allowed = as_dict(choice.get("allowed_tools", choice), "tool_choice.allowed_tools")
        listed = allowed.get("tools")
        if not isinstance(listed, list):
            raise refuse("tool_choice.allowed_tools.tools", "must be an array")
        names = []
        for at, tool in enumerate(listed):
            path = f"tool_choice.allowed_tools.tools[{at}]"
            tool = as_dict(tool, path)
            names.append(as_text(as_dict(tool.get("function", tool), f"{path}.function").get("name"), f"{path}.name"))
        return ("any" if allowed.get("mode") == "required" else "auto"), names
    raise refuse("tool_choice.type", f"{str(kind)[:40]!r} is not supported; use function or allowed_tools")


def _keep_only(tools: list[dict[str, Any]], names: list[str], path: str) -> None:
    known = {tool.get("name") for tool in tools}
    missing = [name for name in names if name not in known]
    if missing:
        raise refuse(path, f"there is no tool {missing[0][:80]!r}")
    tools[:] = [tool for tool in tools if tool.get("name") in names]
