"""A chat completion's token counts and its end, in Anthropic's sense.

Anthropic counts three kinds of input apart: fresh, read from the cache, written to it (its page on prompt caching).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from gateway.api import read_usage

Json = dict[str, Any]

STOP_REASONS: Mapping[str, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
"""`finish_reason` to `stop_reason`; unknown ones are `end_turn`."""

_NATIVE = frozenset({
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "model_context_window_exceeded"
})  # fmt: skip


def usage_of(usage: Mapping[str, Any]) -> Json:
    """The `usage` of a message from a chat completion's; `cost`, the credits charged, stays under its name."""
    numbers = read_usage(usage)
    fresh = numbers.prompt_tokens - numbers.cached_tokens - numbers.cache_write_tokens
    out: Json = {
        "input_tokens": max(fresh, 0),
        "cache_creation_input_tokens": numbers.cache_write_tokens,
        "cache_read_input_tokens": numbers.cached_tokens,
        "output_tokens": numbers.completion_tokens,
    }
    if numbers.reasoning_tokens:
        out["output_tokens_details"] = {"thinking_tokens": numbers.reasoning_tokens}
    if numbers.web_searches:
        out["server_tool_use"] = {"web_search_requests": numbers.web_searches, "web_fetch_requests": 0}
    if usage.get("cost") is not None:
        out["cost"] = usage["cost"]
    return out


def ending_of(choice: Mapping[str, Any], called: bool, stops: Collection[str]) -> Json:
    """`stop_reason`, `stop_sequence` and `stop_details` of the choice that ended. called: there are tool calls.
    stops: the sequences that were asked for."""
    native, matched = choice.get("native_finish_reason"), choice.get("stop_sequence")
    if isinstance(native, str) and native in _NATIVE:
        reason = native
    else:
        reason = STOP_REASONS.get(str(choice.get("finish_reason")), "end_turn")
        other = choice.get("stop_reason")
        if reason == "end_turn" and isinstance(other, str) and other in stops:
            # Some servers say in a member of their own which sequence it was.
            reason, matched = "stop_sequence", other
    if called and reason == "end_turn":
        reason = "tool_use"  # servers that end calls with `stop`: an agent would not run them
    elif not called and reason == "tool_use":
        reason = "end_turn"  # an agent would wait for a call
    end: Json = {"stop_reason": reason, "stop_sequence": matched if isinstance(matched, str) else None}
    details = choice.get("stop_details")
    if isinstance(details, dict):
        end["stop_details"] = details
    return end
