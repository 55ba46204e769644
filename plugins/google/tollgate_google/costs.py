"""What a request to Google may not ask for: what changes its price or its model, and what names things that the
operator's project keeps there, which all accounts of the gateway would share.

Source: Google's API reference, "GenerateContentRequest" and "Caching", and its pages "Priority inference", "Files API".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .draft import refuse

Json = dict[str, Any]

_PLAIN_TIERS = frozenset({"", "auto", "default", "standard", "flex", "unspecified", "service_tier_unspecified"})
"""Tiers that cost what is billed, or less."""


def check_costs(out: Json, root: str) -> None:
    """Raise CallerFault for what `out`, a body as it would go out, may not ask for. root: of the API's addresses."""
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


def _parts(out: Json) -> Iterator[tuple[str, Json]]:
    contents = out.get("contents")
    system = out.get("systemInstruction") or out.get("system_instruction")
    turns = [(f"contents[{at}]", turn) for at, turn in enumerate(contents if isinstance(contents, list) else ())]
    for path, turn in [*turns, ("systemInstruction", system)]:
        parts = turn.get("parts") if isinstance(turn, dict) else None
        for at, part in enumerate(parts if isinstance(parts, list) else ()):
            if isinstance(part, dict):
                yield f"{path}.parts[{at}]", part
