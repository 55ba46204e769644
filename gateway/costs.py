"""What a request may not have a provider do: run tools that cost more than the prices say, and use what is kept there
for the operator's one account.

Where the line is, is data: `Profile.tools` says which tools a target runs at the price of its tokens and searches, an
operator lets further ones through (`hosted_tools`) and names what everybody may use (`shared_ids`), both in the
provider's section. A plugin's own dialect is checked by that plugin, with the functions of this module.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

from gateway.call import Call, Target
from gateway.errors import CallerFault
from gateway.wire.bridge.shell_tools import CALLERS_TOOLS, function_of
from gateway.wire.kept_ids import KeptId, ids_in
from gateway.wire.lenient import matches_any, text_of
from gateway.wire.structure import Place, objects_of, path_of

Owns = Callable[[Call, Target, KeptId], Awaitable[bool]]
"""Whether the account of a call got an id at the provider of a target, through this gateway."""

CONVERSATIONS = frozenset({"chat", "responses"})
"""Dialects whose tools and turns are known here; a plugin's own is that plugin's matter."""
_CALLERS_OWN = frozenset({"function", "custom"})
_SEARCH = ("web_search", "web_search_*")
_BRINGS_MORE = frozenset({"web_search_options", "prompt", "container", "mcp_servers"})
_FIX = {
    "file": "send the file itself",
    "prompt": "send its text",
    "conversation": "send the whole conversation",
    "response": "send the whole conversation",
    "cache": "send the content itself",
}


async def nobody_owns(call: Call, target: Target, kept: KeptId) -> bool:
    """What a gateway answers that remembers no ids of providers."""
    return False


def allows_tool(target: Target, kind: str, known: Iterable[str]) -> bool:
    """Whether tools of this type may be sent to `target`. known: patterns of those that cost only tokens and searches
    there, `Profile.tools`."""
    if kind in _CALLERS_OWN or kind in target.hosted_tools:
        return True
    return matches_any(kind, known)


def tool_fault(path: str, kind: str, target: Target) -> CallerFault:
    """What is told to whoever asks for a tool that is not allowed."""
    return CallerFault(
        f"{path}: {kind[:100]!r} may cost more at the provider than tokens, and this gateway has no price for it; "
        f"leave it out. (The operator may let it through: providers.{target.provider}.hosted_tools.)",
        code="unsupported_tool",
        param=path,
    )


def kept_fault(kept: KeptId, target: Target) -> CallerFault:
    """What is told to whoever names something that is not known to be its own."""
    fix = _FIX.get(kept.kind, "leave it out")
    what = kept.kind.replace("_", " ")
    return CallerFault(
        f"{kept.path}: this {what} is kept at the provider, in an account that all callers share, and was not made by "
        f"yours; {fix}. (The operator may share it: providers.{target.provider}.shared_ids.)",
        code="unsupported_parameter",
        param=kept.path,
    )


def read_costs(body: Mapping[str, Any], dialect: str, target: Target) -> list[KeptId]:
    """The ids in a body that name what is kept at the provider of `target` and is not shared. Raises CallerFault for a
    tool of a chat or Responses body that `target` must not be asked to run. Both wherever they stand: groups of tools,
    items of the input, and members that a server added bring further ones."""
    found: list[KeptId] = []
    checks_tools = dialect in CONVERSATIONS
    for place, node in objects_of(body):
        if checks_tools and "tools" in node:
            for where, tool in _tools_in(place, node):
                kind = text_of(tool.get("type")) if isinstance(tool, dict) else ""
                if kind and kind not in _CALLERS_OWN and not _covered(tool, kind, dialect, target):
                    raise tool_fault(path_of(where), kind, target)
        found += ids_in(place, node)
    return [kept for kept in found if not kept.id or kept.id not in target.shared_ids]


def _tools_in(place: Place | None, node: Mapping[str, Any]) -> Iterator[tuple[Place, Any]]:
    """The tools that an object of a body lists, with their places: also a single one without a list around it, and
    those in lists of lists, which some readers take for one."""
    tools = node.get("tools")
    waiting: list[tuple[Place, Any]] = [] if tools is None else [((place, "tools"), tools)]
    while waiting:
        where, tool = waiting.pop()
        if isinstance(tool, list):
            waiting += [((where, at), tool[at]) for at in reversed(range(len(tool)))]
        else:
            yield where, tool


def _covered(tool: Mapping[str, Any], kind: str, dialect: str, target: Target) -> bool:
    if kind in target.hosted_tools:
        return True
    if dialect == "chat" and matches_any(kind, _SEARCH):
        # In chat no usage tells of searches but that of targets which say that they search.
        return target.profile.web_search != "no"
    environment = tool.get("environment")
    if kind == "shell" and isinstance(environment, dict) and environment.get("type") != "local":
        return False  # the provider's container, in place of the caller's own machine
    return allows_tool(target, kind, target.profile.tools)


def run_by_provider(body: Mapping[str, Any], target: Target) -> str:
    """The path of the first thing in a chat or Responses body, as it is sent, by which the provider itself reads or
    does more than what was sent: a tool that it runs, a stored prompt, what an operator lets through without a price.
    "" for none."""
    for name, value in body.items():
        if value and (name in _BRINGS_MORE or name in target.hosted_tools):
            return name
    for place, node in objects_of(body):
        for where, tool in _tools_in(place, node):
            if not (isinstance(tool, dict) and _run_by_caller(tool)):
                return path_of(where)
    return ""


def _run_by_caller(tool: Mapping[str, Any]) -> bool:
    kind = text_of(tool.get("type"))
    if kind == "tool_search":
        return tool.get("execution") == "client"
    return not kind or kind in CALLERS_TOOLS or kind.startswith("computer") or function_of(kind, tool) is not None


async def check_kept(call: Call, found: Iterable[KeptId], target: Target, owns: Owns) -> None:
    """Raise CallerFault for the first of these ids that the caller's account does not own."""
    for kept in found:
        if not kept.id or not (kept.id in call.given_ids or await owns(call, target, kept)):
            raise kept_fault(kept, target)
