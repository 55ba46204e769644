"""`tools` and `toolConfig` of a generateContent request as those of a chat request.

Source: Google's API reference (`Tool`, `FunctionDeclaration`, `ToolConfig`).
"""

from __future__ import annotations

from typing import Any

from gateway.api import Notes, as_dict, as_list, as_text, schema_of
from tollgate_google.draft import refuse

from .schema import json_schema
from .spelling import camel

Json = dict[str, Any]

_MODES = {"AUTO": "auto", "ANY": "required", "NONE": "none", "VALIDATED": "auto", "MODE_UNSPECIFIED": "auto"}
_FRAME = frozenset({"name", "description", "parameters", "parametersJsonSchema"})


def add_tools(out: Json, body: Json, notes: Notes) -> None:
    """Write `tools`, `web_search_options` and `tool_choice`. Raises CallerFault that names the field."""
    listed = body.get("tools")
    listed = [listed] if isinstance(listed, dict) else listed  # Google takes one tool for a list of one
    made: list[Json] = []
    for at, tool in enumerate(as_list(listed, "tools") if listed is not None else []):
        for name, held in camel(as_dict(tool, f"tools[{at}]")).items():
            path = f"tools[{at}].{name[:64]}"
            if held is None:
                continue
            if name == "functionDeclarations":
                made += [_function(entry, f"{path}[{i}]", notes) for i, entry in enumerate(as_list(held, path))]
            elif name in ("googleSearch", "googleSearchRetrieval"):  # the latter is its name for older models
                search = camel(as_dict(held, path))
                notes.report_rest(search, frozenset({"excludeDomains"}), f"tools[].{name}")
                blocked = search.get("excludeDomains")
                out["web_search_options"] = {"filters": {"blocked_domains": blocked}} if blocked else {}
            elif name == "urlContext":
                made.append({"type": "web_fetch"})  # the gateway reads pages for models that cannot
            else:
                notes.blame(path, "a tool that Google runs itself")
    if made:
        out["tools"] = made
    config = body.get("toolConfig")
    if config is not None:
        config = camel(as_dict(config, "toolConfig"))
        notes.report_rest(config, frozenset({"functionCallingConfig"}), "toolConfig")
        if config.get("functionCallingConfig") is not None and made:
            _choose(out, camel(as_dict(config["functionCallingConfig"], "toolConfig.functionCallingConfig")), notes)


def _function(given: Any, path: str, notes: Notes) -> Json:
    found = camel(as_dict(given, path))
    notes.report_rest(found, _FRAME, "tools[].functionDeclarations[]")
    function: Json = {"name": as_text(found.get("name"), f"{path}.name")}
    if found.get("description") is not None:
        function["description"] = as_text(found["description"], f"{path}.description")
    if found.get("parametersJsonSchema") is not None:
        function["parameters"] = schema_of(found["parametersJsonSchema"], f"{path}.parametersJsonSchema")
    elif found.get("parameters") is not None:
        function["parameters"] = json_schema(schema_of(found["parameters"], f"{path}.parameters"))
    return {"type": "function", "function": function}


def _choose(out: Json, config: Json, notes: Notes) -> None:
    path = "toolConfig.functionCallingConfig"
    notes.report_rest(config, frozenset({"mode", "allowedFunctionNames"}), path)
    mode = config.get("mode", "AUTO")
    choice = _MODES.get(mode.upper()) if isinstance(mode, str) else None
    if choice is None:
        raise refuse(f"{path}.mode", "must be AUTO, ANY, NONE or VALIDATED")
    if mode == "VALIDATED":
        notes.report(f"{path}.mode")
    names = config.get("allowedFunctionNames")
    names = [] if names is None else as_list(names, f"{path}.allowedFunctionNames")
    known = [tool["function"]["name"] for tool in out["tools"]]
    for name in names:
        if name not in known:
            raise refuse(f"{path}.allowedFunctionNames", f"there is no function {str(name)[:80]!r}")
    if not names or choice == "none":
        out["tool_choice"] = choice
    elif choice == "required" and len(names) == 1:
        out["tool_choice"] = {"type": "function", "function": {"name": names[0]}}
    else:
        # The same choice with fewer functions: every server understands that, few know a list of allowed ones.
        out["tools"] = [tool for tool in out["tools"] if tool["function"]["name"] in names]
        out["tool_choice"] = choice
