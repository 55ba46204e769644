"""Anthropic's token counts in OpenAI's sense.

Anthropic counts the three kinds of input apart (its page on prompt caching: total input = input_tokens +
cache_creation_input_tokens + cache_read_input_tokens); OpenAI's prompt_tokens is their sum.
"""

from __future__ import annotations

from typing import Any

from gateway.api import count_of

_TAKEN = frozenset({
    "input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens",
    "output_tokens_details", "server_tool_use", "service_tier",
})  # fmt: skip

TIERS = {"standard": "default", "priority": "priority", "batch": "flex"}
"""`usage.service_tier` in OpenAI's words."""


def merge_usage(seen: dict[str, Any], new: Any) -> None:
    """Lay a later report of the same stream over an earlier one: its counts are cumulative, absent ones still hold."""
    if isinstance(new, dict):
        seen.update({key: value for key, value in new.items() if value is not None})


def translate_usage(raw: Any) -> dict[str, Any] | None:
    """The `usage` of a chat completion, or None when `raw` has no believable main counts.

    What Anthropic adds (the split of cache writes by lifetime, region, speed) stays under its own name.
    Counts of server-side tools stand in `server_tool_use_details`.
    """
    if not isinstance(raw, dict):
        return None
    fresh, completion = count_of(raw.get("input_tokens")), count_of(raw.get("output_tokens"))
    if fresh is None or completion is None:
        return None
    read = count_of(raw.get("cache_read_input_tokens")) or 0
    written = count_of(raw.get("cache_creation_input_tokens")) or 0
    prompt = fresh + read + written
    usage: dict[str, Any] = {key: value for key, value in raw.items() if key not in _TAKEN and value is not None}
    split = usage.get("cache_creation")
    if isinstance(split, dict) and sum(count_of(part) or 0 for part in split.values()) != written:
        # A stream gives the split of cache writes only at its beginning, when there were fewer of them.
        del usage["cache_creation"]
    usage.update(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details={"cached_tokens": read, "cache_write_tokens": written},
    )
    details = raw.get("output_tokens_details")
    thinking = count_of(details.get("thinking_tokens")) if isinstance(details, dict) else None
    if thinking is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": min(thinking, completion)}
    served = raw.get("server_tool_use")
    if isinstance(served, dict):
        counts = {key: count_of(value) for key, value in served.items()}
        usage["server_tool_use_details"] = {key: count for key, count in counts.items() if count is not None}
    return usage


def service_tier(raw: Any) -> str | None:
    """OpenAI's name for the tier that served the answer, or None."""
    tier = raw.get("service_tier") if isinstance(raw, dict) else None
    return TIERS.get(tier) if isinstance(tier, str) else None
