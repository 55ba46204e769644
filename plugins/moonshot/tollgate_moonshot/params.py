"""The remaining parameters: limits, sampling, identity, and those that Moonshot does not know.

Sources: OpenAI's API reference (create chat completion); Moonshot's API reference (chat) and its guide on migrating
from OpenAI. Moonshot ignores what it does not know, so the gateway has to say it.
"""

from __future__ import annotations

from typing import Any

from gateway.api import as_list, as_text

from .draft import Draft, refuse

CANNOT: dict[str, tuple[tuple[Any, ...], str]] = {
    "seed": ((), "Moonshot has no seed"),
    "logit_bias": (({},), "Moonshot has no logit bias"),
    "metadata": (({},), "Moonshot keeps no metadata"),
    "store": ((False,), "Moonshot does not store completions"),
    "verbosity": (("medium",), "Moonshot has no verbosity; say it in the instructions"),
    "service_tier": (("auto", "default"), "Moonshot lets no tier be chosen"),
    "prediction": ((), "Moonshot takes no predicted output"),
    "web_search_options": ((), "Moonshot's search is the tool $web_search; or use web_search of POST /responses"),
    "prompt_cache_options": (({},), "Moonshot caches by prompt_cache_key alone"),
    "prompt_cache_retention": (("in_memory", "in-memory"), "Moonshot caches by prompt_cache_key alone"),
    "moderation": ((), "Moonshot does not run OpenAI's moderation"),
    "audio": ((), "Moonshot's models answer in text only"),
}
"""Parameters without a counterpart: the values that ask for nothing, and why every other value is reported."""

FIXED: dict[str, tuple[Any, ...]] = {
    "temperature": (1,),
    "top_p": (0.95, 1),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
}
"""What some models fix, and the values that say no more than that (1 for top_p is every client's default)."""

HANDLED = frozenset({
    "model", "messages", "stream", "stream_options", "n", "tools", "tool_choice", "parallel_tool_calls", "thinking",
    "reasoning_effort", "max_tokens", "max_completion_tokens", "stop", "user", "safety_identifier", "functions",
    "function_call", "modalities", *FIXED,
})  # fmt: skip
"""Keys of a chat body that are read by name. `n` is emulated by the gateway with several calls (`max_n`): most models
make one choice only, and the others do so at a temperature near 0."""

MOST_STOPS = 5
STOP_BYTES = 32


def add_limits(draft: Draft) -> None:
    """The output limit and `stop`."""
    limit = draft.call.max_output
    if limit is None:
        given = [_whole(draft.body[key], key) for key in ("max_completion_tokens", "max_tokens") if key in draft.body]
        limit = min((value for value in given if value is not None), default=None)
    if limit is not None:
        draft.out[draft.quirks.limit] = limit
    stop = draft.body.get("stop")
    if stop is None:
        return
    listed = [stop] if isinstance(stop, str) else as_list(stop, "stop")
    if len(listed) > MOST_STOPS:
        raise refuse("stop", f"Moonshot takes at most {MOST_STOPS} sequences")
    for at, entry in enumerate(listed):
        if len(as_text(entry, f"stop[{at}]").encode("utf-8", "surrogatepass")) > STOP_BYTES:
            raise refuse(f"stop[{at}]", f"Moonshot takes at most {STOP_BYTES} bytes in a sequence")
    if listed:
        draft.out["stop"] = stop


def _whole(value: Any, path: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise refuse(path, "must be a whole number of at least 1")
    return value


def add_sampling(draft: Draft) -> None:
    """temperature, top_p and the penalties, where the model lets them be set. Call it after thinking."""
    ranges = {"temperature": (0, 2), "top_p": (0, 1), "presence_penalty": (-2, 2), "frequency_penalty": (-2, 2)}
    for name, (least, most) in ranges.items():
        value = draft.body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise refuse(name, f"must be a number from {least} to {most}")
        if not draft.quirks.sampling:
            if value not in FIXED[name]:
                draft.report(name, "this model's sampling is fixed")
        elif name == "temperature" and value > 1:
            draft.report(name, "Moonshot's scale ends at 1, which was used")
            draft.out[name] = 1
        else:
            draft.out[name] = value


def add_identity(draft: Draft) -> None:
    """`safety_identifier`, which OpenAI's older `user` stands for as well."""
    for name in ("safety_identifier", "user"):
        if draft.body.get(name):
            draft.out["safety_identifier"] = as_text(draft.body[name], name)
            return


def add_rest(draft: Draft) -> None:
    """Refuse or report what cannot be carried; pass everything else on under its own name."""
    body = draft.body
    if body.get("modalities") not in (None, ["text"]):
        raise refuse("modalities", "Moonshot's models answer in text only")
    for name, (neutral, why) in CANNOT.items():
        value = body.get(name)
        if value is not None and value not in neutral:
            draft.report(name, why)
    for key, value in body.items():
        if key not in HANDLED and key not in CANNOT and value is not None:
            draft.out[key] = value
