"""Whether a chat body is the plainest kind, which most are: words of the usual roles, and nothing that any check or
translation looks for. One cheap test instead of a walk for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PLAIN_MEMBERS = frozenset(
    {
        "model",
        "messages",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "n",
        "stop",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "response_format",
        "reasoning_effort",
        "verbosity",
        "service_tier",
        "metadata",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
    }
)
"""Members that name no tool, no function, no media and nothing that a provider keeps."""
PLAIN_ROLES = ("user", "assistant", "system", "developer")  # a tuple: a hostile role may be unhashable


def says_only_words(body: Mapping[str, Any]) -> bool:
    """Whether a body has plain members only, and messages of nothing but a role and a text. Then there is no tool, no
    link, no id of what is kept at a provider and no older form in it, and no target is told it otherwise than another.
    False for what is not sure."""
    if not body.keys() <= PLAIN_MEMBERS:
        return False
    messages = body.get("messages")
    if type(messages) is not list:
        return False
    for message in messages:
        if (
            type(message) is not dict
            or len(message) != 2
            or type(message.get("content")) is not str
            or message.get("role") not in PLAIN_ROLES
        ):
            return False
    return True
