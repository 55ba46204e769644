"""What a request to Google may not ask for: what changes its price or its model, and what names things that the
operator's project keeps there, which all accounts of the gateway would share.

Source: Google's API reference, "GenerateContentRequest" and "Caching", and its pages "Priority inference", "Files API".
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from gateway.api import Target, allows_tool, fold, kept_fault, kept_ids, objects_of, path_of, tool_fault

from .draft import refuse
from .tools import BUILTIN

Json = dict[str, Any]

_TOKENS_ONLY = ("googleSearch", "googleSearchRetrieval", "urlContext", "codeExecution", "computerUse")
_WORDS = {member: word for word, member in BUILTIN.items() if not word.startswith("web_search")}
TOOLS = (*_TOKENS_ONLY, *(_WORDS[name] for name in _TOKENS_ONLY))
"""Types of tools, see `gateway.api.Profile`, in Google's words and in chat's: searches, which are billed one by one,
and what costs nothing but tokens. Maps are billed by the prompt, file search reads stores of the operator's project."""

_FOLDED: dict[str, str] = {fold(name): name for name in (*_WORDS, *_TOKENS_ONLY)}
"""The usual spelling of a tool's name, by its folded one."""

_PLAIN_TIERS = frozenset({"", "auto", "default", "standard", "flex", "unspecified", "service_tier_unspecified"})
"""Tiers that cost what is billed, or less."""


_ELSEWHERE = "would choose another model than the one that is billed; leave it out"
_REFUSED: dict[str, str] = {
    "routingconfig": _ELSEWHERE,
    "modelselectionconfig": _ELSEWHERE,
    "cachedcontent": "caches are kept at the provider for all callers; send the content itself",
}
"""Members that are let through nowhere, by their folded names (`gateway.api.fold`), and why."""


def check_costs(out: Json, root: str, target: Target) -> None:
    """Raise CallerFault for what `out`, a body as it would go out to `target`, may not ask for, wherever it stands and
    however it is spelled. root: of the API's addresses."""
    for found in kept_ids({"tools": out.get("tools")}):
        if found.id not in target.shared_ids:
            raise kept_fault(found, target)
    for place, node in objects_of(out):
        for name, value in node.items():
            folded = fold(name)
            if folded == "tools":
                _check_tools(path_of(place, name), value, target)
            elif folded == "fileuri":
                if _is_kept(value, root):
                    raise refuse(
                        path_of(place, name), "this file is kept for all callers alike; send the content itself"
                    )
            elif folded == "servicetier":
                if value is not None and (not isinstance(value, str) or value.lower() not in _PLAIN_TIERS):
                    why = "this tier has another price, which this gateway cannot bill; leave it out"
                    raise refuse(path_of(place, name), why)
            elif folded in _REFUSED and value not in (None, ""):
                raise refuse(path_of(place, name), _REFUSED[folded])


def _is_kept(uri: Any, root: str) -> bool:
    """Whether a file may be one of the operator's project: in its buckets, or where the API keeps files, in whatever
    spelling of the address."""
    if not isinstance(uri, str):
        return uri is not None
    try:
        address, home = urlsplit(uri.strip().lower()), urlsplit(root.lower())
        host = address.hostname or ""
    except ValueError:
        return True
    if not uri.strip():
        return False
    host = host.rstrip(".")
    if address.scheme in ("", "gs") or host == "generativelanguage.googleapis.com":
        return True
    return host == home.hostname and "/files/" in unquote(address.path)


def _check_tools(path: str, tools: Any, target: Target) -> None:
    for at, tool in enumerate(tools if isinstance(tools, list) else [tools]):
        if isinstance(tool, list):  # readers of protocol buffers take lists of lists for one
            _check_tools(f"{path}[{at}]", tool, target)
        for name, value in tool.items() if isinstance(tool, dict) else ():
            if value is None or fold(name) == "functiondeclarations":
                continue
            kind = str(_FOLDED.get(fold(name), name))
            if not any(allows_tool(target, word, TOOLS) for word in (name, kind, _WORDS.get(kind, kind))):
                raise tool_fault(f"{path}[{at}].{name}", name, target)
