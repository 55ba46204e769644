"""Moonshot's token counts in OpenAI's sense: cached tokens stand at the top of its `usage` (`cached_tokens`), and in a
stream the whole object stands within a choice (its guide on migrating from OpenAI)."""

from __future__ import annotations

from typing import Any

from gateway.api import count_of, with_cached


def translate_usage(raw: Any) -> Any:
    """The `usage` of an answer; every member of Moonshot's own stays. What is no object is passed on as it is."""
    if not isinstance(raw, dict):
        return raw
    usage = with_cached(raw, "cached_tokens")
    prompt, completion = count_of(raw.get("prompt_tokens")), count_of(raw.get("completion_tokens"))
    if raw.get("total_tokens") is None and prompt is not None and completion is not None:
        usage["total_tokens"] = prompt + completion
    return usage


def lift_usage(chunk: dict[str, Any]) -> None:
    """Put the usage of a chunk or completion to its top, translated, in place. The top's own counts first."""
    found = chunk.get("usage")
    choices = chunk.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and isinstance(choice.get("usage"), dict):
            inner = choice.pop("usage")
            found = found or inner
    if found is not None:
        chunk["usage"] = translate_usage(found)
