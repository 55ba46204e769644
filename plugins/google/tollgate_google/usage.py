"""Google's token counts in OpenAI's sense.

Google counts the results of its own tools and the thoughts apart (API reference, `UsageMetadata`: the total is the sum
of prompt, candidates, tool use and thoughts); OpenAI's prompt_tokens and completion_tokens include them.
"""

from __future__ import annotations

from typing import Any

from gateway.api import count_of, writable

_TAKEN = frozenset({
    "promptTokenCount", "candidatesTokenCount", "totalTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount",
    "cachedContentTokenCount", "promptTokensDetails", "candidatesTokensDetails", "toolUsePromptTokensDetails",
    "serviceTier",
})  # fmt: skip

TIERS = {"standard": "default", "flex": "flex", "priority": "priority"}
"""`usageMetadata.serviceTier` in OpenAI's words."""

_PLAIN = frozenset({"promptTokenCount", "candidatesTokenCount", "totalTokenCount", "thoughtsTokenCount"})


def main_counts(raw: dict[str, Any]) -> tuple[int, int, int] | None:
    """(prompt, completion, reasoning) tokens of one report, or None when it has none that can be believed."""
    prompt, total = raw.get("promptTokenCount"), raw.get("totalTokenCount")
    answer, thoughts = raw.get("candidatesTokenCount"), raw.get("thoughtsTokenCount")
    if (
        type(prompt) is type(total) is type(answer) is int
        and prompt >= 0
        and answer >= 0
        and prompt + answer == total
        and count_of(total) is not None
        and not thoughts
        and "toolUsePromptTokenCount" not in raw
    ):
        return prompt, answer, 0  # as most of a stream's hundreds of reports are
    prompt, total, answer, thoughts = count_of(prompt), count_of(total), count_of(answer), count_of(thoughts)
    if prompt is None and total is None:
        return None
    tools = count_of(raw.get("toolUsePromptTokenCount")) or 0
    completion = (answer or 0) + (thoughts or 0)
    if prompt is None:
        prompt = max((total or 0) - completion - tools, 0)
    if total is not None:
        gap = total - prompt - tools - completion
        if gap == -(thoughts or 0) and gap < 0:
            completion += gap  # some answers count the thoughts among the candidates' tokens already
        elif gap > 0 and (answer is None or thoughts is None):
            completion += gap  # thoughts that only the total shows, as with the first thinking models
        elif gap > 0:
            tools += gap
    return prompt + tools, completion, min(thoughts or 0, completion)


def translate_usage(raw: dict[str, Any]) -> dict[str, Any] | None:
    """The `usage` of a chat completion for one `usageMetadata`, or None when it has no believable counts.

    What Google adds (traffic type, the split of the cache by kind of media) stays under its own name.
    """
    counts = main_counts(raw)
    if counts is None:
        return None
    prompt, completion, reasoning = counts
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": min(count_of(raw.get("cachedContentTokenCount")) or 0, prompt)},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    if raw.keys() <= _PLAIN:
        return usage
    for key in ("promptTokensDetails", "toolUsePromptTokensDetails"):
        if key in raw:
            _add_media(usage["prompt_tokens_details"], raw[key], prompt)
    if "candidatesTokensDetails" in raw:
        _add_media(usage["completion_tokens_details"], raw["candidatesTokensDetails"], completion)
    if raw.get("toolUsePromptTokenCount"):
        usage["prompt_tokens_details"]["tool_use_tokens"] = raw["toolUsePromptTokenCount"]
    if not raw.keys() <= _TAKEN:
        for key, value in raw.items():
            if key not in _TAKEN and value is not None and key not in usage:
                usage[key] = value if isinstance(value, (str, int)) else writable(value)
    return usage


def _add_media(details: dict[str, Any], listed: Any, most: int) -> None:
    """Counts by kind of media, as `audio_tokens`, `image_tokens`, ..., added up over several lists."""
    for entry in listed if isinstance(listed, list) else ():
        kind = entry.get("modality") if isinstance(entry, dict) else None
        count = count_of(entry.get("tokenCount")) if isinstance(entry, dict) else None
        if isinstance(kind, str) and kind.isalpha() and len(kind) < 20 and count is not None:
            name = f"{kind.lower()}_tokens"
            details[name] = min(details.get(name, 0) + count, most)


def service_tier(raw: Any) -> str | None:
    """OpenAI's name for the tier that served the answer, or None."""
    tier = raw.get("serviceTier") if isinstance(raw, dict) else None
    return TIERS.get(tier.lower()) if isinstance(tier, str) else None
