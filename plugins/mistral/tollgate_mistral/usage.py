"""Mistral's token counts in OpenAI's sense.

Older answers name cached tokens `num_cached_tokens`; and tokens of audio stand beside `prompt_tokens`, so that only
the total shows them (recorded with Voxtral: 9 + 375 of audio + 201 = 585), while OpenAI counts them within.
"""

from __future__ import annotations

from typing import Any

from gateway.api import count_of, dict_of, with_cached


def translate_usage(raw: Any) -> Any:
    """The `usage` of an answer; every member of Mistral's own stays. What is no object is passed on as it is."""
    if not isinstance(raw, dict):
        return raw
    usage = with_cached(raw, "num_cached_tokens")
    details = dict_of(usage.get("prompt_tokens_details"))
    prompt, completion = count_of(raw.get("prompt_tokens")), count_of(raw.get("completion_tokens"))
    if prompt is None or completion is None:
        return usage
    total, audio = count_of(raw.get("total_tokens")), count_of(details.get("audio_tokens"))
    if total is None:
        usage["total_tokens"] = prompt + completion
    elif audio and total == prompt + completion + audio:
        usage["prompt_tokens"] = prompt + audio
    return usage
