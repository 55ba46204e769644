"""A Messages request as a chat request, for targets that do not speak Anthropic's dialect.

Source: Anthropic's API reference, "Create a Message". Each parameter is translated, reported as dropped, or makes the
request impossible elsewhere (`Notes`). What must be right wherever the request goes raises CallerFault here.
"""

from __future__ import annotations

import hashlib
from typing import Any

from gateway.api import Notes, as_dict, as_list, as_text, effort_of_budget, is_closed, refuse_forbidden, schema_of
from tollgate_anthropic.costs import refuse_thread
from tollgate_anthropic.draft import refuse

from .turns import chat_messages

Json = dict[str, Any]
_GATEWAYS = ("web_fetch_", "mcp_toolset")

_READ = frozenset({
    "model", "max_tokens", "messages", "system", "stream", "stop_sequences", "temperature", "top_p", "top_k",
    "thinking", "output_config", "output_format", "metadata", "service_tier", "tools", "tool_choice",
})  # fmt: skip

_ONLY_THERE = {
    "container": "a container for code",
    "user_profile_id": "a profile kept at the provider",
}
"""Parameters whose absence would change what the answer is, and what they ask for."""

_EFFORTS = {"minimal": "minimal", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "xhigh"}
_TIERS = {"auto": "auto", "standard_only": "default"}
_TOOL_FRAME = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})
_SEARCH_FILTERS = ("allowed_domains", "blocked_domains")
_SEARCH_FRAME = frozenset({"type", "name", "user_location", "cache_control", "max_uses", *_SEARCH_FILTERS})
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_MOST_STOPS = 4
_MOST_USER = 64


def check(body: Json, *, counting: bool = False) -> None:
    """Is this a Messages request at all? counting: for `count_tokens`, which has no `max_tokens`.

    Raises CallerFault that names the field.
    """
    for key in body:
        if key not in _READ:
            refuse_forbidden(key)
    model = body.get("model")
    if model is not None and (not isinstance(model, str) or len(model) > 256 or not model.isprintable()):
        raise refuse("model", "must be the id of a model, as listed by GET /models")
    limit = body.get("max_tokens")
    if limit is None and not counting:
        raise refuse("max_tokens", "is required; say how many tokens the answer may have")
    if limit is not None and (type(limit) is not int or not 0 <= limit < 2**63):
        raise refuse("max_tokens", "must be a whole number of at least 1")
    # Wherever the request goes: without the history the model would answer another conversation.
    thread = refuse_thread(body.get("thread"))
    if thread is not None:
        raise thread
    if body.get("stream") not in (None, True, False):
        raise refuse("stream", "must be true or false")


def chat_body(body: Json, notes: Notes) -> Json:
    """The chat body of a checked request. Raises CallerFault for what is malformed; `notes` gets the rest."""
    out: Json = {"messages": chat_messages(notes, body.get("system"), body.get("messages"))}
    limit = body.get("max_tokens")
    if limit is not None:
        out["max_tokens"] = limit or 1
    if limit == 0:
        notes.blame("max_tokens", "filling the prompt cache without an answer")
    if body.get("model"):
        out["model"] = body["model"]
    if body.get("stream"):
        out["stream"] = True
    _add_sampling(out, body, notes)
    _add_stops(out, body.get("stop_sequences"), notes)
    _add_tools(out, body, notes)
    _add_thinking(out, body, notes)
    _add_format(out, body, notes)
    _add_identity(out, body, notes)
    for key, value in body.items():
        if key in _READ or value is None or (key in _ONLY_THERE and not value):
            continue
        if key in _ONLY_THERE:
            notes.blame(key, _ONLY_THERE[key])
        elif key == "mcp_servers":
            if servers := _servers(value, body.get("tools")):
                out["tools"] = [*out.get("tools", ()), *servers]
        else:
            notes.report(key[:64])
    return out


def _add_sampling(out: Json, body: Json, notes: Notes) -> None:
    for name, most in (("temperature", 1), ("top_p", 1)):
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise refuse(name, f"must be a number from 0 to {most}")
        out[name] = value
    top_k = body.get("top_k")
    if top_k is not None:
        if type(top_k) is not int or not 0 <= top_k < 2**31:
            raise refuse("top_k", "must be a whole number of at least 0")
        if top_k:  # 0 narrows nothing
            out["top_k"] = top_k
            notes.beyond["top_k"] = "top_k"  # OpenAI and others refuse it


def _add_stops(out: Json, stops: Any, notes: Notes) -> None:
    if stops is None:
        return
    listed = [as_text(stop, f"stop_sequences[{at}]") for at, stop in enumerate(as_list(stops, "stop_sequences"))]
    kept = [stop for stop in listed if stop]
    if len(kept) > _MOST_STOPS:
        notes.report(f"stop_sequences[{_MOST_STOPS}:]")
    if kept:
        out["stop"] = kept[:_MOST_STOPS]


def _add_tools(out: Json, body: Json, notes: Notes) -> None:
    tools = body.get("tools")
    made = []
    for at, tool in enumerate(as_list(tools, "tools") if tools is not None else ()):
        if isinstance(tool, dict) and str(tool.get("type")).startswith("web_search_"):
            # A search of the provider's, which others have as well, under chat's name.
            out["web_search_options"] = _search(tool, f"tools[{at}]", notes)
        else:
            made.append(_tool(tool, f"tools[{at}]", notes))
    # Which tools of a server there are is said with the server (`_servers`).
    made = [tool for tool in made if tool.get("type") != "mcp_toolset"]
    if made:
        out["tools"] = made
    choice = body.get("tool_choice")
    if choice is None:
        return
    choice = as_dict(choice, "tool_choice")
    if not made:
        if choice.get("type") in ("auto", "none") or "web_search_options" in out:
            return
        raise refuse("tool_choice", "asks for a tool call, but there are no tools")
    kind = choice.get("type")
    if kind == "tool":
        name = as_text(choice.get("name"), "tool_choice.name")
        if all(tool.get("function", {}).get("name") != name and tool.get("name") != name for tool in made):
            raise refuse("tool_choice.name", f"there is no tool {name[:80]!r}")
        out["tool_choice"] = {"type": "function", "function": {"name": name}}
    elif isinstance(kind, str) and kind in _CHOICES:
        out["tool_choice"] = _CHOICES[kind]
    else:
        raise refuse("tool_choice.type", "must be auto, any, tool or none")
    if choice.get("disable_parallel_tool_use") is True and kind != "none":
        out["parallel_tool_calls"] = False


def _search(tool: Json, path: str, notes: Notes) -> Json:
    """chat's `web_search_options`."""
    notes.report_rest(tool, _SEARCH_FRAME, "tools[]")
    options: Json = {}
    filters = {key: tool[key] for key in _SEARCH_FILTERS if tool.get(key) is not None}
    if filters:
        options["filters"] = filters
    if tool.get("max_uses") is not None:
        options["max_uses"] = tool["max_uses"]
    place = tool.get("user_location")
    if place is not None:
        known = as_dict(place, f"{path}.user_location")
        approximate = {key: value for key, value in known.items() if key != "type"}
        options["user_location"] = {"type": "approximate", "approximate": approximate}
    return options


def _tool(given: Any, path: str, notes: Notes) -> Json:
    """A function; a tool of Anthropic's own kind stays as it is, for the estimate of its input."""
    tool: Json = as_dict(given, path)
    kind = tool.get("type")
    if isinstance(kind, str) and kind.startswith(_GATEWAYS):
        return dict(tool)  # the gateway runs them for models that have none
    if kind not in (None, "custom"):
        notes.blame(path, f"a tool of type {str(kind)[:60]!r}")
        return dict(tool)
    if tool.get("cache_control") is not None:
        notes.report("cache_control")
    notes.report_rest(tool, _TOOL_FRAME, "tools[]")
    function: Json = {
        "name": as_text(tool.get("name"), f"{path}.name"),
        "parameters": schema_of(tool.get("input_schema"), f"{path}.input_schema"),
    }
    if tool.get("description") is not None:
        function["description"] = as_text(tool["description"], f"{path}.description")
    if tool.get("strict") is not None:
        function["strict"] = tool["strict"] is True
    return {"type": "function", "function": function}


def _servers(given: Any, tools: Any) -> list[Json]:
    """Servers of the MCP connector as hosted tools of the hub, for models whose provider does not connect. tools: the
    request's, whose `mcp_toolset` entries say which tools of a server there are; older requests say it with the server.
    """
    made: list[Json] = []
    toolsets = {
        str(tool.get("mcp_server_name")): _toolset(tool, f"tools[{at}]")
        for at, tool in enumerate(tools if isinstance(tools, list) else ())
        if isinstance(tool, dict) and tool.get("type") == "mcp_toolset"
    }
    for at, entry in enumerate(as_list(given, "mcp_servers")):
        server = as_dict(entry, f"mcp_servers[{at}]")
        settings = server.get("tool_configuration")
        settings = as_dict(settings, f"mcp_servers[{at}].tool_configuration") if settings is not None else {}
        if settings.get("enabled") is False:
            continue
        name = as_text(server.get("name"), f"mcp_servers[{at}].name")
        tool = {
            "type": "mcp",
            "server_label": name,
            "server_url": server.get("url"),
            "authorization": server.get("authorization_token"),
            "allowed_tools": toolsets.pop(name, None) or settings.get("allowed_tools"),
            "require_approval": "never",
        }
        made.append({key: value for key, value in tool.items() if value is not None})
    for name in toolsets:
        raise refuse("tools", f"mcp_servers has no server {name[:60]!r} for the mcp_toolset")
    return made


def _toolset(tool: Json, path: str) -> Json | None:
    """What an `mcp_toolset` says as `allowed_tools` of the hub, None when it takes no tool away. `configs` of single
    tools come before `default_config`."""
    default = as_dict(tool.get("default_config") or {}, f"{path}.default_config").get("enabled") is not False
    configs = as_dict(tool.get("configs") or {}, f"{path}.configs")
    others = [
        name
        for name, config in configs.items()
        if (as_dict(config, f"{path}.configs.{name[:60]}").get("enabled", default) is not False) != default
    ]
    if default:
        return {"except_tool_names": others} if others else None
    return {"tool_names": others}


def _add_thinking(out: Json, body: Json, notes: Notes) -> None:
    config = body.get("output_config")
    config = as_dict(config, "output_config") if config is not None else {}
    notes.report_rest(config, frozenset({"effort", "format"}), "output_config")
    effort = config.get("effort")
    if effort is not None:
        effort = as_text(effort, "output_config.effort")
        if effort not in _EFFORTS:
            notes.report("output_config.effort")
    thinking = body.get("thinking")
    thinking = as_dict(thinking, "thinking") if thinking is not None else {}
    notes.report_rest(thinking, frozenset({"type", "budget_tokens"}), "thinking")
    kind = thinking.get("type")
    if kind == "disabled":
        out["reasoning_effort"] = "none"
    elif effort in _EFFORTS:
        out["reasoning_effort"] = _EFFORTS[effort]
    elif kind == "enabled":
        budget = thinking.get("budget_tokens")
        if type(budget) is not int or budget < 1:
            raise refuse("thinking.budget_tokens", "must be a whole number of at least 1024")
        out["reasoning_effort"] = effort_of_budget(budget)
    elif kind == "adaptive":
        out["reasoning_effort"] = "medium"
    elif kind is not None:
        notes.report("thinking")


def _add_format(out: Json, body: Json, notes: Notes) -> None:
    """`output_config.format`, or `output_format` as it was called while in beta."""
    config = body.get("output_config")
    wanted, path = body.get("output_format"), "output_format"
    if isinstance(config, dict) and config.get("format") is not None:
        wanted, path = config["format"], "output_config.format"
    if wanted is None:
        return
    wanted = as_dict(wanted, path)
    if wanted.get("type") != "json_schema":
        notes.blame(f"{path}.type", f"an answer in the format {str(wanted.get('type'))[:60]!r}")
        return
    schema = schema_of(wanted.get("schema"), f"{path}.schema")
    spec = {"name": "answer", "schema": schema, "strict": is_closed(schema)}
    out["response_format"] = {"type": "json_schema", "json_schema": spec}


def _add_identity(out: Json, body: Json, notes: Notes) -> None:
    metadata = body.get("metadata")
    if metadata is not None:
        metadata = as_dict(metadata, "metadata")
        notes.report_rest(metadata, frozenset({"user_id"}), "metadata")
        user = metadata.get("user_id")
        if user is not None:
            user = as_text(user, "metadata.user_id")
            # OpenAI takes at most 64 characters; coding agents send more. The same user stays the same.
            long = len(user) > _MOST_USER
            out["user"] = hashlib.sha256(user.encode("utf-8", "replace")).hexdigest() if long else user
    tier = body.get("service_tier")
    if tier is not None:
        known = _TIERS.get(tier) if isinstance(tier, str) else None
        if known is None:
            notes.report("service_tier")
        else:
            out["service_tier"] = known
