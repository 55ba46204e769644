"""The remaining parameters: sampling, limits, identity, tiers, and those that Anthropic cannot express.

Sources: OpenAI's API reference (create chat completion); Anthropic's API reference ("Create a Message"), and its
migration guides on which models still take temperature, top_p and top_k.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from gateway.api import as_dict, as_text

from .draft import Draft, refuse
from .thinking import thinks

CANNOT: dict[str, tuple[tuple[Any, ...], str]] = {
    "seed": ((), "Anthropic has no seed"),
    "logprobs": ((False,), "Anthropic gives no log probabilities"),
    "top_logprobs": ((0,), "Anthropic gives no log probabilities"),
    "logit_bias": (({},), "Anthropic has no logit bias"),
    "frequency_penalty": ((0,), "Anthropic has no penalties"),
    "presence_penalty": ((0,), "Anthropic has no penalties"),
    "prediction": ((), "Anthropic takes no predicted output"),
    "store": ((False,), "Anthropic does not store completions"),
    "verbosity": (("medium",), "Anthropic has no verbosity; say it in the instructions"),
    "prompt_cache_key": ((), "Anthropic caches by cache_control marks in the messages"),
    "prompt_cache_options": (({},), "Anthropic caches by cache_control marks in the messages"),
    "moderation": ((), "Anthropic does not run OpenAI's moderation"),
    "prompt_cache_retention": (("in_memory", "in-memory"), "Anthropic caches by cache_control marks in the messages"),
}
"""Parameters without a counterpart: the values that ask for nothing, and why every other value is reported."""

HANDLED = frozenset({
    "model", "messages", "stream", "stream_options", "n", "tools", "tool_choice", "parallel_tool_calls",
    "web_search_options", "response_format", "reasoning_effort", "thinking", "max_tokens", "max_completion_tokens",
    "temperature", "top_p", "top_k", "stop", "stop_sequences", "user", "safety_identifier", "metadata",
    "service_tier", "modalities", "audio", "functions", "function_call", "betas", "anthropic_beta", "output_config",
    "system",
})  # fmt: skip
"""Keys of a chat body that are read by name. `n` is emulated by the gateway with several calls (`max_n`)."""

BETAS = {
    "mcp_servers": "mcp-client-2025-11-20",
    "context_management": "context-management-2025-06-27",
}
"""Parameters of Anthropic's own that need a beta header."""

_TIERS = {"auto": "auto", "priority": "auto", "default": "standard_only", "standard_only": "standard_only"}
_OPAQUE = re.compile(r"(?!\d{7,}$)[A-Za-z0-9_.:-]{1,256}")


def add_limits(draft: Draft, known_limit: int, fallback: int) -> None:
    """`max_tokens`, which Anthropic requires: what the gateway allows, else what was asked, else the model's limit.

    known_limit: the model's own limit in tokens or 0; fallback: tokens to ask for when nothing is known.
    """
    asked = draft.call.max_output
    if asked is None:
        for key in ("max_completion_tokens", "max_tokens"):
            if draft.body.get(key) is not None:
                asked = _whole(draft.body[key], key)
                break
    if asked is None:
        asked = known_limit or fallback
    draft.out["max_tokens"] = min(asked, known_limit) if known_limit else asked
    stop = draft.body.get("stop")
    if stop is None:
        stop = draft.body.get("stop_sequences")
    if stop is not None:
        _add_stop(draft, stop)


def _whole(value: Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise refuse(path, "must be a whole number of at least 1")
    return value


def _add_stop(draft: Draft, stop: Any) -> None:
    listed = [stop] if isinstance(stop, str) else stop
    if not isinstance(listed, list) or not all(isinstance(entry, str) for entry in listed):
        raise refuse("stop", "must be a string or an array of strings")
    kept = [entry for entry in listed if entry.strip()]
    if len(kept) < len(listed):
        draft.report("stop", "Anthropic refuses stop sequences of white space alone")
    if kept:
        draft.out["stop_sequences"] = kept


def add_sampling(draft: Draft) -> None:
    """temperature, top_p and top_k, as far as the model and its thinking allow. Call it after thinking."""
    temperature = _number(draft, "temperature", 2)
    top_p = _number(draft, "top_p", 1)
    top_k = draft.body.get("top_k")
    if draft.quirks.sampling == "none":
        _report_if(draft, "temperature", temperature not in (None, 1), "this model's temperature is fixed at 1")
        _report_if(draft, "top_p", top_p not in (None, 1), "this model takes no top_p")
        _report_if(draft, "top_k", top_k is not None, "this model takes no top_k")
        return
    if thinks(draft):
        _report_if(draft, "temperature", temperature not in (None, 1), "thinking needs temperature 1")
        _report_if(draft, "top_p", top_p is not None and top_p < 0.95, "thinking needs top_p between 0.95 and 1")
        _report_if(draft, "top_k", top_k is not None, "thinking goes without top_k")
        if top_p is not None and 0.95 <= top_p < 1:
            draft.out["top_p"] = top_p
        return
    if temperature is not None:
        if temperature > 1:
            draft.report("temperature", "Anthropic's scale ends at 1, which was used")
        draft.out["temperature"] = min(temperature, 1)
    if top_p is not None:
        if draft.quirks.sampling == "one" and temperature is not None:
            _report_if(draft, "top_p", top_p != 1, "this model takes temperature or top_p, not both")
        else:
            draft.out["top_p"] = top_p
    if top_k is not None:
        draft.out["top_k"] = top_k


def _number(draft: Draft, name: str, most: int) -> float | None:
    value = draft.body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise refuse(name, f"must be a number from 0 to {most}")
    return value


def _report_if(draft: Draft, name: str, asked: bool, why: str) -> None:
    if asked:
        draft.report(name, why)


def add_identity(draft: Draft) -> None:
    """`metadata.user_id` (the only member Anthropic knows) from metadata, safety_identifier or user; service_tier."""
    metadata = draft.body.get("metadata")
    metadata = as_dict(metadata, "metadata") if metadata is not None else {}
    user_id = metadata.get("user_id")
    if set(metadata) - {"user_id"}:
        draft.report("metadata", "Anthropic keeps only metadata.user_id")
    if user_id is None:
        for key in ("safety_identifier", "user"):
            if draft.body.get(key) is not None:
                user_id = _opaque(as_text(draft.body[key], key))
                break
    if user_id:
        draft.out["metadata"] = {"user_id": user_id}
    tier = draft.body.get("service_tier")
    if tier is not None:
        known = _TIERS.get(tier) if isinstance(tier, str) else None
        if known is None:
            draft.report("service_tier", "Anthropic has only auto and default")
        else:
            draft.out["service_tier"] = known


def _opaque(user: str) -> str:
    """An identifier that Anthropic accepts: it refuses mail addresses, telephone numbers and over 256 characters."""
    if not user or _OPAQUE.fullmatch(user):
        return user
    return "sha256-" + hashlib.sha256(user.encode("utf-8", "replace")).hexdigest()


def add_rest(draft: Draft) -> None:
    """Refuse or report what cannot be carried; pass everything else on under its own name."""
    body = draft.body
    modalities = body.get("modalities")
    if modalities not in (None, ["text"]):
        raise refuse("modalities", "Anthropic models answer in text only")
    _report_if(draft, "audio", body.get("audio") is not None, "Anthropic models answer in text only")
    for name, (neutral, why) in CANNOT.items():
        value = body.get(name)
        if value is not None and value not in neutral:
            draft.report(name, why)
    for key, value in body.items():
        if key in HANDLED or key in CANNOT or value is None:
            continue
        draft.out[key] = value
        if key in BETAS:
            draft.add_beta(BETAS[key])
    if isinstance(body.get("output_config"), dict):
        draft.out["output_config"] = {**body["output_config"], **draft.out.get("output_config", {})}
    for key in ("betas", "anthropic_beta"):
        listed = body.get(key) or []
        for beta in listed if isinstance(listed, list) else [None]:
            if not isinstance(beta, str) or not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", beta):
                raise refuse(key, "must be an array of beta names")
            draft.add_beta(beta)
