"""The remaining parameters: limits, sampling, reasoning, the answer's format, and those that Mistral cannot express.

Sources: OpenAI's API reference (create chat completion); Mistral's API reference (chat completion); its errors
"Extra inputs are not permitted" (422) and "top_p must be 1 when using greedy sampling".
"""

from __future__ import annotations

from typing import Any

from gateway.api import EFFORTS, as_dict, as_list, as_text, nearest_effort

from .draft import Draft, refuse

CANNOT: dict[str, tuple[tuple[Any, ...], str]] = {
    "logprobs": ((False,), "Mistral gives no log probabilities"),
    "top_logprobs": ((0,), "Mistral gives no log probabilities"),
    "logit_bias": (({},), "Mistral has no logit bias"),
    "user": (("",), "Mistral takes no end-user ids; metadata is carried"),
    "safety_identifier": (("",), "Mistral takes no end-user ids; metadata is carried"),
    "store": ((False,), "Mistral does not store completions"),
    "verbosity": (("medium",), "Mistral has no verbosity; say it in the instructions"),
    "service_tier": (("auto", "default", "standard"), "Mistral lets no tier be chosen"),
    "web_search_options": ((), "Mistral's chat has no such option; use the web_search tool of POST /responses"),
    "prompt_cache_options": (({},), "Mistral caches by prompt_cache_key alone"),
    "prompt_cache_retention": (("in_memory", "in-memory"), "Mistral caches by prompt_cache_key alone"),
    "moderation": ((), "Mistral does not run OpenAI's moderation; see its own guardrails and safe_prompt"),
    "audio": ((), "Mistral's chat models answer in text only"),
}
"""Parameters without a counterpart: the values that ask for nothing, and why every other value is reported."""

HANDLED = frozenset({
    "model", "messages", "stream", "stream_options", "tools", "tool_choice", "parallel_tool_calls", "response_format",
    "reasoning_effort", "max_tokens", "max_completion_tokens", "temperature", "top_p", "seed", "random_seed", "stop",
    "functions", "function_call", "modalities",
})  # fmt: skip
"""Keys of a chat body that are read by name. Mistral's streams always end with usage, so nothing is lost with
`stream_options`; `n` is Mistral's own, too."""


def add_limits(draft: Draft) -> None:
    """`max_tokens` and `stop`."""
    limit = draft.call.max_output
    if limit is None:
        given = [_whole(draft.body[key], key) for key in ("max_completion_tokens", "max_tokens") if key in draft.body]
        limit = min((value for value in given if value is not None), default=None)
    if limit is not None:
        draft.out["max_tokens"] = limit
    stop = draft.body.get("stop")
    if stop is not None:
        for at, entry in enumerate([stop] if isinstance(stop, str) else as_list(stop, "stop")):
            as_text(entry, f"stop[{at}]")
        if stop:
            draft.out["stop"] = stop


def _whole(value: Any, path: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise refuse(path, "must be a whole number of at least 1")
    return value


def add_sampling(draft: Draft) -> None:
    """temperature, top_p and the seed."""
    temperature = _number(draft, "temperature", 2)
    most = draft.quirks.most_temperature
    if temperature is not None:
        if temperature > most:
            draft.report("temperature", f"Mistral's scale ends at {most:g}, which was used")
        draft.out["temperature"] = min(temperature, most)
    top_p = _number(draft, "top_p", 1)
    # Without a temperature the likeliest token is taken, so top_p changes nothing; Mistral refuses the combination.
    if top_p is not None and temperature != 0:
        draft.out["top_p"] = top_p
    seed = draft.body.get("seed")
    if seed is None:
        seed = draft.body.get("random_seed")
    if seed is not None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise refuse("seed", "must be a whole number")
        # Mistral's seeds are not negative; the same seed still gives the same one.
        draft.out["random_seed"] = seed % 2**63


def _number(draft: Draft, name: str, most: int) -> float | None:
    value = draft.body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise refuse(name, f"must be a number from 0 to {most}")
    return value


def add_effort(draft: Draft) -> None:
    """`reasoning_effort`, as far as the model knows it."""
    effort = draft.body.get("reasoning_effort")
    if effort is None:
        return
    known = draft.quirks.efforts
    if known is None or effort in known or (known and effort not in EFFORTS):
        # An effort that nobody knows passes: the provider's own error explains it best.
        draft.out["reasoning_effort"] = effort
    elif not known:
        if effort != "none":
            draft.report("reasoning_effort", "this model does not reason")
    else:
        if effort != "minimal" or "none" not in known:
            draft.report("reasoning_effort", f"this model knows {', '.join(known)}")
        draft.out["reasoning_effort"] = nearest_effort(effort, known)


def add_format(draft: Draft) -> None:
    """`response_format`, which Mistral speaks natively; there a schema must have its members."""
    given = draft.body.get("response_format")
    if given is None:
        return
    given = as_dict(given, "response_format")
    if given.get("type") == "json_schema":
        wrapped = as_dict(given.get("json_schema"), "response_format.json_schema")
        inner = {key: value for key, value in wrapped.items() if value is not None}
        inner.setdefault("schema", {"type": "object"})
        given = {**given, "json_schema": inner}
    draft.out["response_format"] = given


def add_rest(draft: Draft) -> None:
    """Refuse or report what cannot be carried; pass everything else on under its own name."""
    body = draft.body
    if body.get("modalities") not in (None, ["text"]):
        raise refuse("modalities", "Mistral's chat models answer in text only")
    for name, (neutral, why) in CANNOT.items():
        value = body.get(name)
        if value is not None and value not in neutral:
            draft.report(name, why)
    for key, value in body.items():
        if key not in HANDLED and key not in CANNOT and value is not None:
            draft.out[key] = value
