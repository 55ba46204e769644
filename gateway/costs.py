"""What a request may not have a provider do: run tools that cost more than the prices say, and use what is kept there
for the operator's one account.

Where the line is, is data: `Profile.tools` says which tools a target runs at the price of its tokens and searches, an
operator lets further ones through (`hosted_tools`) and names what everybody may use (`shared_ids`), both in the
provider's section. A plugin's own dialect is checked by that plugin, with the functions of this module.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from gateway.call import Call, Target
from gateway.errors import CallerFault
from gateway.wire.bridge.client_tools import CALLERS_TOOLS
from gateway.wire.bridge.shell_tools import function_of
from gateway.wire.kept_ids import KeptId, kept_ids, kept_ids_of_plain
from gateway.wire.lenient import matches_any, text_of
from gateway.wire.structure import objects_of, path_of

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


def check_tools(body: Mapping[str, Any], dialect: str, target: Target) -> None:
    """Raise CallerFault for a tool of a chat or Responses body that `target` must not be asked to run, wherever it
    stands: groups of tools, and items of the input, bring further ones."""
    for place, node in objects_of(body):
        tools = node.get("tools")
        for at, tool in enumerate(tools if isinstance(tools, list) else ()):
            kind = text_of(tool.get("type")) if isinstance(tool, dict) else ""
            if kind and kind not in _CALLERS_OWN and not _covered(tool, kind, dialect, target):
                raise tool_fault(f"{path_of(place, 'tools')}[{at}]", kind, target)


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
        tools = node.get("tools")
        for at, tool in enumerate(tools if isinstance(tools, list) else ()):
            if not (isinstance(tool, dict) and _run_by_caller(tool)):
                return f"{path_of(place, 'tools')}[{at}]"
    return ""


def _run_by_caller(tool: Mapping[str, Any]) -> bool:
    kind = text_of(tool.get("type"))
    if kind == "tool_search":
        return tool.get("execution") == "client"
    return not kind or kind in CALLERS_TOOLS or kind.startswith("computer") or function_of(kind, tool) is not None


def read_costs(body: Mapping[str, Any], dialect: str, target: Target) -> list[KeptId]:
    """`check_tools`, and the ids in a body that name what is kept at the provider of `target` and is not shared."""
    if dialect in CONVERSATIONS:
        check_tools(body, dialect, target)
        found = kept_ids(body)
    else:
        found = kept_ids_of_plain(body)
    return [kept for kept in found if not kept.id or kept.id not in target.shared_ids]


async def check_kept(call: Call, found: Iterable[KeptId], target: Target, owns: Owns) -> None:
    """Raise CallerFault for the first of these ids that the caller's account does not own."""
    for kept in found:
        if not kept.id or not await owns(call, target, kept):
            raise kept_fault(kept, target)
