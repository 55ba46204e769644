"""An upper bound of the input in tokens.

As for every provider (a token stands for at least one byte), with Mistral's own costs of media: a picture is cut into
patches, at most 64 x 64 of them and a mark for each row (Pixtral; later models make fewer), and audio makes 12.5
tokens a second, padded to half a minute (recorded with Voxtral: 375 tokens for 4 seconds).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.api import BOUND, Target, bound_text_tokens

from .quirks import UNKNOWN

_AUDIO_LEAST = 400
_PROMPTS = 512  # what `safe_prompt` and `prompt_mode` add, and the conversation's own marks


def bound_input(body: Mapping[str, Any], target: Target | None, image_tokens: int = UNKNOWN.image_tokens) -> int:
    """Never less than the true count; at most the model's context, because a longer input is refused. Never raises."""
    weights = replace(BOUND, base=_PROMPTS, image=image_tokens, image_low=image_tokens)
    tokens = bound_text_tokens(body, weights) + _AUDIO_LEAST * _audio_parts(body)
    return min(tokens, target.context) if target is not None and target.context is not None else tokens


def _audio_parts(body: Mapping[str, Any]) -> int:
    messages = body.get("messages")
    found = 0
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, Mapping) else None
        for part in content if isinstance(content, list) else ():
            if isinstance(part, Mapping) and part.get("type") in ("input_audio", "file"):
                found += 1
    return found
