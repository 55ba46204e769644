"""What the finish reasons of all kinds of servers mean in the words of chat.

Sources: OpenAI's API reference (`finish_reason`), Anthropic's "Handling stop reasons", Google's `FinishReason`,
Bedrock's `stopReason`, Cohere's `finish_reason`, DeepSeek's and Zhipu's chat completion pages, vLLM and TGI.
A word that stands in no table is read by what it speaks of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.errors import Fault, UpstreamFault
from gateway.wire.errors.render import fault_from_stream_event

FAILED = "error"
"""Not a finish_reason: the answer failed."""

KNOWN = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})

_WORDS: Mapping[str, tuple[str, ...]] = {
    "stop": (
        "stop", "end_turn", "stop_sequence", "eos", "eos_token", "end", "complete", "completed", "done", "finished",
        "finish_reason_unspecified", "pause_turn",
    ),
    "length": (
        "length", "max_tokens", "model_length", "max_output_tokens", "max_length", "model_context_window_exceeded",
    ),
    "tool_calls": ("tool_calls", "tool_use", "tool_call", "function_calls"),
    "function_call": ("function_call",),
    "content_filter": (
        "content_filter", "content_filtered", "guardrail_intervened", "safety", "recitation", "language", "blocklist",
        "prohibited_content", "spii", "image_safety", "image_prohibited_content", "image_recitation", "refusal",
        "sensitive", "error_toxic",
    ),
    FAILED: (
        "error", "other", "malformed_function_call", "unexpected_tool_call", "too_many_tool_calls",
        "malformed_response", "missing_thought_signature", "malformed_model_output", "malformed_tool_use",
        "image_other", "no_image", "abort", "insufficient_system_resource", "network_error", "error_limit",
        "user_cancel",
    ),
}  # fmt: skip
_MEANING = {word: meaning for meaning, words in _WORDS.items() for word in words}

_HINTS = (
    (
        FAILED,
        (
            "error", "fail", "malformed", "abort", "cancel", "invalid", "unavailable", "timeout", "timed_out",
            "interrupt", "overload", "exception", "quota", "rate_limit", "disconnect",
        ),
    ),
    (
        "content_filter",
        (
            "filter", "safety", "guardrail", "block", "prohibit", "policy", "moderat", "censor", "refus", "unsafe",
            "sensitive", "violat", "toxic", "copyright", "forbid",
        ),
    ),
    ("length", ("length", "token", "limit", "truncat")),
    ("tool_calls", ("tool", "function")),
)  # fmt: skip


def meaning_of(reason: str) -> str:
    """One of `KNOWN`, or `FAILED`; "" for a word that says nothing about how the answer ended."""
    if reason in KNOWN:
        return reason
    word = reason.lower().replace("-", "_")
    found = _MEANING.get(word)
    if found is not None:
        return found
    return next((meaning for meaning, hints in _HINTS if any(hint in word for hint in hints)), "")


def failure_of(choice: Mapping[str, Any], reason: str) -> Fault:
    """The fault that a choice means which ended with `reason`. A server's own words, where the choice holds an
    `error` object (OpenRouter), are what the caller is told."""
    if isinstance(choice.get("error"), dict):
        return fault_from_stream_event({"error": choice["error"]})
    return UpstreamFault(
        "The provider failed inside its answer; try again.",
        code="upstream_failed",
        retryable=True,
        detail=f"finish_reason: {reason[:100]}",
    )


def nameless_call() -> UpstreamFault:
    """A tool call that has no name cannot be answered."""
    return UpstreamFault(
        "The provider sent a tool call without the name of a tool; try again.",
        code="upstream_invalid_response",
        retryable=True,
    )
