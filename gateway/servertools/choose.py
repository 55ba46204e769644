"""Who runs a hosted tool of a request: the provider, or the gateway. Decided for all targets that may answer together,
because the request is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.call import Call, Target
from gateway.errors import CallerFault
from gateway.profile import WebSearch
from gateway.servertools.offer import ToolPlan, is_hosted, is_search, make_plan, names_of
from gateway.servertools.toolbox import Toolbox
from gateway.wire.lenient import text_of

Json = dict[str, Any]
Entry = tuple[str, Mapping[str, Any]]
"""Path and tool."""


@dataclass(slots=True, frozen=True)
class Abilities:
    """What a target has itself. search: its web search. all: every hosted tool of OpenAI's Responses API."""

    search: WebSearch = "no"
    all: bool = False


@dataclass(slots=True)
class Split:
    """own: what the gateway runs. native: what the targets run themselves. unknown: what nobody is known to run."""

    own: list[Entry] = field(default_factory=list)
    native: list[Entry] = field(default_factory=list)
    unknown: list[Entry] = field(default_factory=list)


def split(
    toolbox: Toolbox,
    call: Call,
    entries: Sequence[Entry],
    abilities: Callable[[Target], Abilities],
    *,
    functions: bool,
) -> Split:
    """Sort the hosted tools of a request. functions: the caller has functions of its own beside them. Raises
    CallerFault when the operator wants a model's own search where it has none."""
    found = Split()
    has = [abilities(target) for target in call.candidates]
    every = bool(has) and all(ability.all for ability in has)
    own_beside = any(_ours(toolbox, text_of(tool.get("type")), tool, every) for _, tool in entries)
    for path, tool in entries:
        kind = text_of(tool.get("type"))
        if is_search(kind):
            ours = _searches(toolbox, call, has, path, functions or own_beside)
        else:
            ours = _ours(toolbox, kind, tool, every)
        if ours:
            found.own.append((path, tool))
        elif every or is_search(kind):
            found.native.append((path, tool))
        else:
            found.unknown.append((path, tool))
    return found


def _ours(toolbox: Toolbox, kind: str, tool: Mapping[str, Any], every: bool) -> bool:
    if is_search(kind) or not is_hosted(kind, toolbox):
        return False
    if kind == "mcp":
        # What the operator defined is nowhere else; a server on the internet is reached by whoever can.
        return not every or (tool.get("server_url") is None and tool.get("connector_id") is None)
    return kind in toolbox.tools or kind in toolbox.provided or not every


def _searches(toolbox: Toolbox, call: Call, has: Sequence[Abilities], path: str, functions: bool) -> bool:
    """Whether the gateway searches."""
    modes = {toolbox.config.search.mode_of(target.model) for target in call.candidates}
    if "own" in modes:
        return True
    can = all(ability.search != "no" for ability in has)
    if can and functions and any(ability.search == "alone" for ability in has):
        free = all(target.free for target in call.candidates)
        can = not toolbox.search.available(free) or "native" in modes
    if not can and "native" in modes:
        raise CallerFault(
            f"{path}: this model has no web search of its own, and its operator allows no other (search.mode).",
            code="unsupported_tool",
            param=path,
        )
    return not can


def plan_hub(toolbox: Toolbox, call: Call, abilities: Callable[[Target], Abilities]) -> ToolPlan | None:
    """The plan for a call whose hub body asks for hosted tools, which are taken out of the body; None when it asks for
    none that the gateway runs. Raises CallerFault that names the field."""
    body = call.body
    tools = body.get("tools")
    tools = tools if isinstance(tools, list) else []
    entries = [
        (f"tools[{at}]", tool)
        for at, tool in enumerate(tools)
        if isinstance(tool, dict) and is_hosted(tool.get("type"), toolbox)
    ]
    options = body.get("web_search_options")
    if isinstance(options, dict):
        entries.append(("web_search_options", {"type": "web_search", **options}))
    if not entries:
        return None
    functions = names_of(tools)
    found = split(toolbox, call, entries, abilities, functions=bool(functions))
    if not found.own:
        return None
    if (body.get("n") or 1) != 1:
        raise CallerFault("n: with tools that the gateway runs there is one choice.", param="n")
    ours = {id(tool) for _, tool in found.own}
    paths = {path for path, _ in found.own}
    left = [tool for tool in tools if id(tool) not in ours]
    changed = {key: value for key, value in body.items() if key not in ("tools", "web_search_options")}
    if left:
        changed["tools"] = left
    if isinstance(options, dict) and "web_search_options" not in paths:
        changed["web_search_options"] = options
    plan = make_plan(toolbox, call, found.own, strict=call.strict or not functions)
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and is_hosted(choice.get("type"), toolbox):
        plan.choice = choice
    if plan.choice is not None or not left:
        changed.pop("tool_choice", None)
    if not left and isinstance(choice, str):
        plan.choice = {"type": "required"} if choice in ("required", "any") else None
        if choice == "none":
            changed["tool_choice"] = "none"
    # Forms of other dialects say the tools in their own way, to upstreams that do not have them.
    hub = call.forms.get("chat")
    call.body, call.forms = changed, {} if hub is None else {"chat": replace(hub, body=changed)}
    return plan or None
