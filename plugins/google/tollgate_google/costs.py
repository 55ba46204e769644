"""What a request to Google may not ask for: what changes its price or its model, and what names things that the
operator's project keeps there, which all accounts of the gateway would share.

Source: Google's API reference, "GenerateContentRequest" and "Caching", and its pages "Priority inference", "Files API".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.api import Target, allows_tool, kept_fault, kept_ids, tool_fault

from .draft import refuse
from .tools import BUILTIN

Json = dict[str, Any]

_TOKENS_ONLY = ("googleSearch", "googleSearchRetrieval", "urlContext", "codeExecution", "computerUse")
_WORDS = {member: word for word, member in BUILTIN.items() if not word.startswith("web_search")}
TOOLS = (*_TOKENS_ONLY, *(_WORDS[name] for name in _TOKENS_ONLY))
"""Types of tools, see `gateway.api.Profile`, in Google's words and in chat's: searches, which are billed one by one,
and what costs nothing but tokens. Maps are billed by the prompt, file search reads stores of the operator's project."""

_PLAIN_TIERS = frozenset({"", "auto", "default", "standard", "flex", "unspecified", "service_tier_unspecified"})
"""Tiers that cost what is billed, or less."""


def check_costs(out: Json, root: str, target: Target) -> None:
    """Raise CallerFault for what `out`, a body as it would go out to `target`, may not ask for. root: of the API's
    addresses."""
    for path, kind in _tools(out):
        if not any(allows_tool(target, name, TOOLS) for name in (kind, _WORDS.get(kind, kind))):
            raise tool_fault(path, kind, target)
    for found in kept_ids({"tools": out.get("tools")}):
        if found.id not in target.shared_ids:
            raise kept_fault(found, target)
    for name in ("serviceTier", "service_tier"):
        tier = out.get(name)
        if tier is not None and (not isinstance(tier, str) or tier.lower() not in _PLAIN_TIERS):
            raise refuse(name, "this tier has another price, which this gateway cannot bill; leave it out")
    for path in ("", "generationConfig", "generation_config"):
        holder = out.get(path) if path else out
        for name in ("routingConfig", "routing_config"):
            if isinstance(holder, dict) and holder.get(name) is not None:
                where = f"{path}.{name}" if path else name
                raise refuse(where, "would choose another model than the one that is billed; leave it out")
    for name in ("cachedContent", "cached_content"):
        if out.get(name):
            raise refuse(name, "caches are kept at the provider for all callers; send the content itself")
    kept = (f"{root}/files/", "https://generativelanguage.googleapis.com/", "gs://", "files/")
    for path, part in _parts(out):
        for name in ("fileData", "file_data"):
            data = part.get(name)
            uri = (data.get("fileUri") or data.get("file_uri")) if isinstance(data, dict) else None
            if isinstance(uri, str) and uri.startswith(kept):
                raise refuse(f"{path}.{name}", "this file is kept for all callers alike; send the content itself")


def _tools(out: Json) -> Iterator[tuple[str, str]]:
    tools = out.get("tools")
    for at, tool in enumerate(tools if isinstance(tools, list) else [tools]):
        for name in tool if isinstance(tool, dict) else ():
            if name not in ("functionDeclarations", "function_declarations") and tool[name] is not None:
                yield f"tools[{at}].{name}", name


def _parts(out: Json) -> Iterator[tuple[str, Json]]:
    contents = out.get("contents")
    system = out.get("systemInstruction") or out.get("system_instruction")
    turns = [(f"contents[{at}]", turn) for at, turn in enumerate(contents if isinstance(contents, list) else ())]
    for path, turn in [*turns, ("systemInstruction", system)]:
        parts = turn.get("parts") if isinstance(turn, dict) else None
        for at, part in enumerate(parts if isinstance(parts, list) else ()):
            if isinstance(part, dict):
                yield f"{path}.parts[{at}]", part
