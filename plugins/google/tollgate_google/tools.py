"""Tool definitions, `tool_choice`, `parallel_tool_calls` and `web_search_options`.

Sources: OpenAI's API reference (tools, tool_choice, allowed_tools); Google's pages on function calling (modes, also
VALIDATED), on grounding with Google Search, and on combining its own tools with functions (Gemini 3).
"""

from __future__ import annotations

from typing import Any

from gateway.api import as_dict, as_list, as_text

from .draft import Draft, refuse
from .openapi import to_openapi
from .schema import Fitting, Schema

TOOL_NAMES = r"[A-Za-z_][A-Za-z0-9_.-]{0,63}"
"""Names of functions by Google's rule, as its error says it: "Must start with a letter or an underscore. Must be
alphameric, underscores, dots or dashes, with a maximum length of 64." The gateway renames others. Newer documents allow
colons and 128 characters, which not every version does."""

BUILTIN = {
    "web_search": "googleSearch",
    "web_search_preview": "googleSearch",
    "google_search": "googleSearch",
    "google_maps": "googleMaps",
    "code_execution": "codeExecution",
    "url_context": "urlContext",
    "file_search": "fileSearch",
    "computer_use": "computerUse",
    "google_search_retrieval": "googleSearchRetrieval",
}
"""Types of tools that Google runs itself, and OpenAI's name of the same, to members of Google's `Tool`."""

_OWN = frozenset(BUILTIN.values())


def add_tools(draft: Draft) -> None:
    """Write `tools` and `toolConfig`. Raises CallerFault that names the field."""
    functions: list[dict[str, Any]] = []
    strict: list[str] = []
    own: dict[str, Any] = {}
    for at, tool in enumerate(as_list(draft.body.get("tools") or [], "tools")):
        _sort(draft, as_dict(tool, f"tools[{at}]"), f"tools[{at}]", functions, own, strict)
    search = draft.body.get("web_search_options")
    if search is not None:
        own.setdefault("googleSearch", _search(draft, as_dict(search, "web_search_options")))
    if functions and own and not draft.quirks.mixed_tools:
        # "Tool use with function calling is unsupported": the caller's functions are the contract it programmed to.
        name = "web_search_options" if search is not None else "tools"
        draft.report(name, f"this model cannot have {', '.join(own)} beside functions")
        own = {}
    mode, allowed = _choice(draft, functions)
    if mode == "AUTO" and allowed is not None:
        functions = [function for function in functions if function.get("name") in allowed]
        allowed = None
    _write(draft, functions, own)
    config = _calling(draft, mode, allowed, strict, bool(own))
    given = as_dict(draft.out.get("toolConfig") or {}, "toolConfig")
    made: dict[str, Any] = {}
    if functions and config:
        made["functionCallingConfig"] = config
    if functions and own:
        made["includeServerSideToolInvocations"] = True
    if made or given:
        draft.out["toolConfig"] = {**made, **given}  # Google's own words count, where a caller gave them
    if draft.body.get("parallel_tool_calls") is False and functions and mode != "NONE":
        draft.report("parallel_tool_calls", "Gemini decides by itself how many calls it makes; say so in instructions")


def _write(draft: Draft, functions: list[dict[str, Any]], own: dict[str, Any]) -> None:
    tools: list[dict[str, Any]] = [{"functionDeclarations": functions}] if functions else []
    tools += [{name: value} for name, value in own.items()]
    if tools:
        draft.out["tools"] = tools


def _sort(
    draft: Draft,
    tool: dict[str, Any],
    path: str,
    functions: list[dict[str, Any]],
    own: dict[str, Any],
    strict: list[str],
) -> None:
    """One entry of `tools`: a function, one of Google's tools by type, or one in Google's own form."""
    kind = tool.get("type", "function" if "function" in tool else None)
    if kind == "function":
        functions.append(_function(draft, tool, path, strict))
    elif kind is None:
        for key, value in tool.items():
            if key in ("functionDeclarations", "function_declarations"):
                functions += [as_dict(entry, f"{path}.{key}") for entry in as_list(value, f"{path}.{key}")]
            else:
                own[BUILTIN.get(key, key)] = value
    elif not isinstance(kind, str):
        raise refuse(f"{path}.type", "must be a string")
    elif kind.startswith("web_search"):  # OpenAI's and Anthropic's have dates behind
        own["googleSearch"] = _search(draft, {key: value for key, value in tool.items() if key != "type"}, path)
    elif kind in BUILTIN or kind in _OWN:
        inner = tool.get(kind)
        rest = {key: value for key, value in tool.items() if key not in ("type", kind)}
        own[BUILTIN.get(kind, kind)] = inner if isinstance(inner, dict) else rest
    else:
        raise refuse(f"{path}.type", f"{kind[:40]!r} is no tool of Gemini's; use function, {', '.join(BUILTIN)}")


def _function(draft: Draft, tool: dict[str, Any], path: str, strict: list[str]) -> dict[str, Any]:
    function = as_dict(tool.get("function"), f"{path}.function")
    name = as_text(function.get("name"), f"{path}.function.name")
    out: dict[str, Any] = {"name": name}
    if function.get("description") is not None:
        out["description"] = as_text(function["description"], f"{path}.function.description")
    parameters = function.get("parameters")
    where = f"{path}.function.parameters"
    wanted = function.get("strict") is True
    if wanted:
        strict.append(name)
    if parameters:
        schema = _object(as_dict(parameters, where), where)
        fitting = Fitting(schema, where)
        fitted = fitting.fit()
        for keyword in fitting.unenforced if wanted else ():
            draft.report(f"tools[].function.parameters.{keyword}", "Gemini is only told this keyword, not held to it")
        _add_parameters(draft, out, fitted, where)
    for key, value in function.items():
        # Google's own members (response, responseJsonSchema, behavior) travel on.
        if key not in ("name", "description", "parameters", "strict", "cache_control") and value is not None:
            out[key] = value
    if tool.get("cache_control") is not None or function.get("cache_control") is not None:
        draft.report("tools[].cache_control", "Gemini caches by itself, or by cachedContent")
    return out


def _object(schema: Schema, path: str) -> Schema:
    kind = schema.get("type")
    if kind is None:
        return {"type": "object", **schema} if "$ref" not in schema else schema
    if kind not in ("object", "OBJECT") and kind != ["object"]:
        raise refuse(f"{path}.type", f"must be 'object', not {str(kind)[:40]!r}: the arguments of a tool are an object")
    return schema


def _add_parameters(draft: Draft, out: dict[str, Any], schema: Schema, path: str) -> None:
    if draft.quirks.schema == "json":
        out["parametersJsonSchema"] = schema
        return
    lowered = to_openapi(schema, path)
    if lowered.get("properties"):
        # "should be non-empty for OBJECT type": a function without parameters has no schema here.
        out["parameters"] = lowered


def _search(draft: Draft, options: dict[str, Any], path: str = "web_search_options") -> dict[str, Any]:
    """The `googleSearch` tool. What OpenAI's search can be told beside that has no counterpart."""
    kept = ("timeRangeFilter", "time_range_filter", "searchTypes", "search_types", "excludeDomains", "exclude_domains")
    for key, value in options.items():
        neutral = value is None or value == {} or (key == "search_context_size" and value == "medium")
        if key not in kept and not neutral:
            draft.report(f"{path.partition('[')[0]}.{key}", "Google's search has no such setting")
    return {key: options[key] for key in kept if options.get(key) is not None}


def _calling(draft: Draft, mode: str, allowed: list[str] | None, strict: list[str], own: bool) -> dict[str, Any]:
    """`functionCallingConfig`. ANY holds the arguments to their schema; in AUTO only VALIDATED does that."""
    config: dict[str, Any] = {}
    if mode:
        config["mode"] = mode
    if allowed is not None:
        config["allowedFunctionNames"] = allowed
    if mode in ("", "AUTO"):
        if own and draft.quirks.validated:
            config["mode"] = "VALIDATED"  # AUTO is refused beside Google's own tools
        elif strict and draft.quirks.validated:
            config["mode"] = "VALIDATED"
        elif strict:
            draft.report("tools[].function.strict", "this model cannot be held to a tool's schema unless it must call")
    return config


def _choice(draft: Draft, functions: list[dict[str, Any]]) -> tuple[str, list[str] | None]:
    """`tool_choice` as Google's mode ("" for its default) and the names it is limited to, None for all."""
    choice = draft.body.get("tool_choice")
    if choice is None:
        return "", None
    mode, names = _read_choice(choice)
    if mode in ("ANY", "AUTO") and names is not None:
        known = {function.get("name") for function in functions}
        missing = [name for name in names if name not in known]
        if missing:
            raise refuse("tool_choice", f"there is no tool {missing[0][:80]!r}")
    if mode == "ANY" and not functions:
        raise refuse("tool_choice", "asks for a tool call, but there are no tools")
    return mode, names


def _read_choice(choice: Any) -> tuple[str, list[str] | None]:
    if isinstance(choice, str):
        modes = {"auto": "AUTO", "none": "NONE", "required": "ANY", "any": "ANY", "validated": "VALIDATED"}
        if choice not in modes:
            raise refuse("tool_choice", "must be none, auto, required, or an object that names a tool")
        return modes[choice], None
    choice = as_dict(choice, "tool_choice")
    kind = choice.get("type")
    if kind in ("auto", "none", "required", "any"):
        return _read_choice(kind)
    if kind == "function":
        function = choice.get("function")
        function = as_dict(function if function is not None else choice, "tool_choice.function")
        return "ANY", [as_text(function.get("name"), "tool_choice.function.name")]
    if kind == "allowed_tools":
        allowed = as_dict(choice.get("allowed_tools", choice), "tool_choice.allowed_tools")
        names = []
        for at, tool in enumerate(as_list(allowed.get("tools"), "tool_choice.allowed_tools.tools")):
            path = f"tool_choice.allowed_tools.tools[{at}]"
            tool = as_dict(tool, path)
            names.append(as_text(as_dict(tool.get("function", tool), f"{path}.function").get("name"), f"{path}.name"))
        return ("ANY" if allowed.get("mode") == "required" else "AUTO"), names
    raise refuse("tool_choice.type", f"{str(kind)[:40]!r} is not supported; use function or allowed_tools")
