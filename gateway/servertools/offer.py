"""Which of the tools a request asks for the gateway runs itself, and as which functions the model sees them.

What is decided before admission costs nothing: it looks at the request and the configuration. Lists of tools of MCP
servers are asked for afterwards (`gateway.servertools.loop`).

Source: OpenAI's `openapi.yaml` (WebSearchTool, MCPTool, allowed_tools, require_approval), with dated types as other
makers have them (`web_search_20250305`, `web_fetch_20250910`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, NoReturn, cast

from gateway.call import Call
from gateway.errors import CallerFault
from gateway.servertools.mcp.spec import ServerSpec, remote_server
from gateway.servertools.toolbox import Toolbox
from gateway.servertools.websearch import NOT_CONFIGURED
from gateway.tools import ContextSize, SearchQuery, ServerTool
from gateway.wire.bridge.tools import function_name
from gateway.wire.lenient import dict_of, dicts_of, text_of

Json = dict[str, Any]
Kind = Literal["search", "page", "mcp", "tool"]

_SEARCH = re.compile(r"web_search(_preview)?(_\d{4}_?\d{2}_?\d{2})?", re.ASCII)
_PAGE = re.compile(r"web_fetch(_\d{8})?", re.ASCII)
_LONGEST_NAME = 64
_CHARACTERS_PER_TOKEN = 4
"""Of running text, about: a bound in tokens is one of characters here."""

SEARCH_FUNCTION: Json = {
    "name": "web_search",
    "description": "Search the web. Returns titles, addresses and excerpts of pages. When an answer uses what a page "
    "says, cite it right there as a Markdown link: [title](address).",
    "parameters": {
        "type": "object",
        "properties": {"query": {"type": "string", "description": "What to search for"}},
        "required": ["query"],
        "additionalProperties": False,
    },
}
PAGE_FUNCTION: Json = {
    "name": "open_page",
    "description": "Read the text of a web page, for example of a search result. Cite it as [title](address).",
    "parameters": {
        "type": "object",
        "properties": {"url": {"type": "string", "description": "The address of the page"}},
        "required": ["url"],
        "additionalProperties": False,
    },
}


@dataclass(slots=True, frozen=True)
class Hosted:
    """A function that the gateway answers. name: as the model calls it. price: credits for one call.
    server, tool: of an MCP server. own: a plugin's tool. approval: the caller is asked first."""

    name: str
    kind: Kind
    function: Json
    price: Decimal = Decimal(0)
    server: ServerSpec | None = None
    tool: str = ""
    own: ServerTool | None = None
    approval: bool = False


@dataclass(slots=True, frozen=True)
class McpEntry:
    """One MCP server of a request. allowed: which of its tools, None for all. approval: tells of a tool (its name and
    annotations) whether the caller is asked first. path: of the entry, for messages."""

    spec: ServerSpec
    path: str
    price: Decimal
    allowed: Callable[[Json], bool]
    approval: Callable[[Json], bool]
    description: str = ""


@dataclass(slots=True)
class ToolPlan:
    """What the gateway runs for one request. search: options of its web search, None for none. pages: the filters for
    pages that may be opened, None when none may; page_text: characters of one, None for the gateway's own bound.
    most_searches, most_pages: how many of each, None for the bound of all calls. choice: the caller demands a hosted
    tool (tool_choice as given). free: no model of it costs anything. sources: the answer shall list what was searched.
    results: what was found and why a search failed go into the items, for dialects whose answers show it."""

    search: SearchQuery | None = None
    pages: SearchQuery | None = None
    page_text: int | None = None
    most_searches: int | None = None
    most_pages: int | None = None
    servers: list[McpEntry] = field(default_factory=list)
    tools: list[ServerTool] = field(default_factory=list)
    choice: Json | None = None
    free: bool = False
    sources: bool = False
    results: bool = False
    most: int | None = None

    def __bool__(self) -> bool:
        return self.search is not None or self.pages is not None or bool(self.servers or self.tools)


def is_hosted(kind: Any, toolbox: Toolbox) -> bool:
    """Whether the gateway can run tools of this type."""
    if kind == "function" or not isinstance(kind, str):
        return False  # nearly always
    known = kind == "mcp" or kind in toolbox.tools or kind in toolbox.provided
    return known or _SEARCH.fullmatch(kind) is not None or _PAGE.fullmatch(kind) is not None


def is_search(kind: Any) -> bool:
    """Whether a tool of this type searches the web."""
    return isinstance(kind, str) and _SEARCH.fullmatch(kind) is not None


def make_plan(
    toolbox: Toolbox, call: Call, entries: Sequence[tuple[str, Mapping[str, Any]]], *, strict: bool = True
) -> ToolPlan:
    """The plan for the hosted tools of a request. entries: path and tool. Raises CallerFault that names the field.
    strict: a tool that nobody can run is a fault; otherwise it is left out and reported as dropped."""
    plan = ToolPlan(free=all(target.free or target.price is None for target in call.candidates))
    for path, tool in entries:
        kind = text_of(tool.get("type"))
        try:
            _add(toolbox, call, plan, kind, tool, path)
        except CallerFault as fault:
            if strict or fault.code != "unsupported_tool":
                raise
            call.dropped.append(path)
    return plan


def _add(toolbox: Toolbox, call: Call, plan: ToolPlan, kind: str, tool: Mapping[str, Any], path: str) -> None:
    if _SEARCH.fullmatch(kind):
        if not toolbox.search.available(plan.free):
            raise _unsupported(f"{path}: {NOT_CONFIGURED}.", path)
        plan.search = search_options(toolbox, tool, path)
        plan.most_searches = _count(tool, "max_uses", path)
        plan.pages = plan.pages or plan.search
    elif _PAGE.fullmatch(kind):
        if not toolbox.search.reads():
            raise _unsupported(
                f"{path}: this gateway does not read pages; its operator can install the plugin for it.", path
            )
        plan.pages = search_options(toolbox, tool, path)
        plan.most_pages = _count(tool, "max_uses", path)
        tokens = _count(tool, "max_content_tokens", path)
        plan.page_text = None if tokens is None else tokens * _CHARACTERS_PER_TOKEN
    elif kind == "mcp":
        plan.servers.append(mcp_entry(toolbox, call, tool, path))
    elif kind in toolbox.tools:
        plan.tools.append(toolbox.tools[kind])
    elif kind in toolbox.provided:
        label, name = toolbox.provided[kind]
        entry = {"type": "mcp", "server_label": label, "allowed_tools": [name], "require_approval": "never"}
        plan.servers.append(mcp_entry(toolbox, call, entry, path))
    else:
        raise _unsupported(
            f"{path}: {kind[:100]!r} is a built-in tool that neither this model nor this gateway has; leave it out, or "
            "offer a function instead. (The operator can map it to a tool of an MCP server by `provides`.)",
            path,
        )


def _unsupported(message: str, path: str) -> CallerFault:
    return CallerFault(message, code="unsupported_tool", param=path)


def search_options(toolbox: Toolbox, tool: Mapping[str, Any], path: str) -> SearchQuery:
    """The options of a search tool in any of the dialects, as a query without text. Raises CallerFault."""
    size = cast("ContextSize", tool.get("search_context_size") or "medium")
    if size not in ("low", "medium", "high"):
        _refuse(f"{path}.search_context_size", "must be low, medium or high")
    filters = dict_of(tool.get("filters"))
    place = dict_of(tool.get("user_location"))
    place = dict_of(place.get("approximate")) or place
    location = {name: text_of(place.get(name))[:100] for name in ("city", "region", "country", "timezone")}
    return SearchQuery(
        "",
        count=toolbox.search.count(size),
        allowed_domains=_domains(filters.get("allowed_domains") or tool.get("allowed_domains"), f"{path}.filters"),
        blocked_domains=_domains(filters.get("blocked_domains") or tool.get("blocked_domains"), f"{path}.filters"),
        location={name: value for name, value in location.items() if value},
        size=size,
    )


def _count(tool: Mapping[str, Any], name: str, path: str) -> int | None:
    value = tool.get(name)
    if value is None or (type(value) is int and value > 0):
        return value
    _refuse(f"{path}.{name}", "must be a whole number of at least 1")


def _domains(value: Any, path: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > 100 or not all(isinstance(entry, str) and entry for entry in value):
        _refuse(path, "domains are a list of at most 100 host names, such as ['example.com']")
    plain = [entry.partition("://")[2] or entry for entry in value]
    return tuple(entry.split("/")[0].lower() for entry in plain)


def mcp_entry(toolbox: Toolbox, call: Call, tool: Mapping[str, Any], path: str) -> McpEntry:
    """One entry of type `mcp`. Raises CallerFault that names the field; never repeats a credential."""
    label = text_of(tool.get("server_label"))
    if not label or len(label) > _LONGEST_NAME:
        _refuse(f"{path}.server_label", "is required, at most 64 characters")
    if tool.get("connector_id") is not None:
        _refuse(f"{path}.connector_id", "connectors are the provider's own; name the server by server_url")
    url = tool.get("server_url")
    own = toolbox.config.mcp_servers.get(label)
    allowed: Any = tool.get("allowed_tools")
    approval: Any = tool.get("require_approval")
    if url is None:
        caller = call.caller
        if own is None or caller is None or not own.allows(caller.account_id, caller.key_id):
            _refuse(f"{path}.server_label", f"there is no server {label[:60]!r} here; name one by server_url")
        limit = None if own.allowed_tools is None else frozenset(own.allowed_tools)
        wanted = _allowed(allowed, path)
        return McpEntry(
            toolbox.servers[label],
            path,
            toolbox.credits(own.price),
            allowed=lambda found: (limit is None or found["name"] in limit) and wanted(found),
            approval=_approval(approval if approval is not None else own.require_approval, path),
            description=text_of(tool.get("server_description")) or own.description,
        )
    if not toolbox.config.tools.remote_mcp:
        _refuse(f"{path}.server_url", "this gateway uses only MCP servers that its operator defined (tools.remote_mcp)")
    settings = toolbox.config
    try:
        headers = dict_of(tool.get("headers"))
        authorization = text_of(tool.get("authorization")) or text_of(tool.get("authorization_token"))
        spec = remote_server(label, text_of(url), headers, authorization, settings.fetch, settings.tools.timeout)
    except ValueError as problem:
        field_name, _, why = str(problem).partition(": ")
        _refuse(f"{path}.{field_name}", why)
    return McpEntry(
        spec,
        path,
        toolbox.credits(settings.tools.mcp_call_price),
        allowed=_allowed(allowed, path),
        approval=_approval("always" if approval is None else approval, path),
        description=text_of(tool.get("server_description")),
    )


def _allowed(value: Any, path: str) -> Callable[[Json], bool]:
    """`allowed_tools`: names, or a filter; beside OpenAI's members one may have `except_tool_names`, for dialects whose
    callers say which tools they do not want."""
    if value is None:
        return lambda tool: True
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        names = frozenset(value)
        return lambda tool: tool["name"] in names
    if isinstance(value, dict):
        return _filter(value)
    _refuse(f"{path}.allowed_tools", "must be a list of names, or an object with tool_names or read_only")


def _filter(value: Json) -> Callable[[Json], bool]:
    names, but = _names(value.get("tool_names")), _names(value.get("except_tool_names"))
    read_only = value.get("read_only")

    def matches(tool: Json) -> bool:
        if (names is not None and tool["name"] not in names) or (but is not None and tool["name"] in but):
            return False
        hint = dict_of(tool.get("annotations")).get("readOnlyHint") is True
        return read_only is None or hint == (read_only is True)

    return matches


def _names(listed: Any) -> frozenset[str] | None:
    return frozenset(name for name in listed if isinstance(name, str)) if isinstance(listed, list) else None


def _approval(value: Any, path: str) -> Callable[[Json], bool]:
    """`require_approval`: whether the caller is asked before a tool is called."""
    if value in ("always", "never"):
        return lambda tool: value == "always"
    if isinstance(value, dict):
        always, never = value.get("always"), value.get("never")
        ask = _filter(always) if isinstance(always, dict) else None
        skip = _filter(never) if isinstance(never, dict) else None

        def needed(tool: Json) -> bool:
            if ask is not None and ask(tool):
                return True
            # Where only `always` is given, all others run at once; where `never` is, all others are asked about.
            return skip is not None and not skip(tool)

        return needed
    _refuse(f"{path}.require_approval", "must be always, never, or an object with always or never")


def _refuse(path: str, why: str) -> NoReturn:
    raise CallerFault(f"{path}: {why}", param=path)


# -- functions -------------------------------------------------------------------------------------------------


class Functions:
    """The hosted functions of a request by name. taken: names of the caller's own, which are never used twice."""

    def __init__(self, taken: Sequence[str]) -> None:
        self._taken = set(taken)
        self.by_name: dict[str, Hosted] = {}

    def add(self, wanted: str, function: Json, kind: Kind, **more: Any) -> Hosted:
        """Offer a function under this name, or one that is free."""
        name = self._free(wanted)
        made = Hosted(name, kind, {**function, "name": name}, **more)
        self.by_name[name] = made
        self._taken.add(name)
        return made

    def definitions(self) -> list[Json]:
        """As chat tools, in the order in which they were offered."""
        return [{"type": "function", "function": hosted.function} for hosted in self.by_name.values()]

    def of_server(self, label: str, tool: str) -> Hosted | None:
        """The function that stands for a tool of a server."""
        for hosted in self.by_name.values():
            if hosted.server is not None and hosted.server.label == label and hosted.tool == tool:
                return hosted
        return None

    def _free(self, wanted: str) -> str:
        name = function_name(wanted)
        if name not in self._taken:
            return name
        for number in range(2, 10_000):
            other = f"{name[: _LONGEST_NAME - 5]}_{number}"
            if other not in self._taken:
                return other
        raise AssertionError("ten thousand tools of one name")


def mcp_function(entry: McpEntry, tool: Json) -> Json:
    """A server's tool as a function."""
    about = text_of(tool.get("description"))
    if entry.description:
        about = f"{entry.description}\n\n{about}" if about else entry.description
    function: Json = {"name": tool["name"], "parameters": tool["input_schema"]}
    if about:
        function["description"] = about
    return function


def names_of(tools: Any) -> list[str]:
    """Names of the functions and custom tools in a chat body."""
    found = []
    for tool in dicts_of(tools):
        inner = dict_of(tool.get(text_of(tool.get("type")) or "function"))
        found.append(text_of(inner.get("name")))
    return [name for name in found if name]
