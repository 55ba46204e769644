"""Token counts in what providers send: where they stand, and what of them can be believed.

Names: OpenAI's CompletionUsage and ResponseUsage, and the spellings of compatible servers. Money depends on these
numbers, so nonsense is treated as absent and reported by `UsageNumbers.sane`, never passed on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MOST_TOKENS = 2**40
"""Counts above this are nonsense: it is a million times the largest context there is."""

Path = tuple[str, ...]


# Not frozen, like other values that each request makes: to make a frozen one costs four times as much.
@dataclass(slots=True)
class UsageNumbers:
    """Counts in OpenAI's sense, all 0 <= n <= 2**40: prompt_tokens includes cached, cache-write, audio and image
    tokens, completion_tokens includes reasoning, audio and image tokens.

    sane: both main counts were there (or followed from the total), nothing was nonsense, and no part exceeded its
    whole. When it is False the numbers are the best reading, but should not be trusted for money alone.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    web_searches: int = 0
    cache_write_1h_tokens: int = 0
    sane: bool = True


_PROMPT_DETAILS = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_COMPLETION_DETAILS = ("completion_tokens_details", "output_tokens_details")


def _within(parents: tuple[str, ...], *names: str) -> tuple[Path, ...]:
    return tuple((parent, name) for parent in parents for name in names)


# Where each count may stand; the first that is present counts.
_PROMPT: tuple[Path, ...] = (("prompt_tokens",), ("input_tokens",))
_COMPLETION: tuple[Path, ...] = (("completion_tokens",), ("output_tokens",))
_TOTAL: tuple[Path, ...] = (("total_tokens",),)
_CACHED: tuple[Path, ...] = (
    *_within(_PROMPT_DETAILS, "cached_tokens"),
    ("cached_tokens",),  # some servers report it beside the main counts
    ("prompt_cache_hit_tokens",),
)
_CACHE_WRITE: tuple[Path, ...] = _within(_PROMPT_DETAILS, "cache_write_tokens", "cache_creation_tokens")
# Anthropic's name for those of the tokens written to the cache that stay for an hour.
_CACHE_1H: tuple[Path, ...] = (("cache_creation", "ephemeral_1h_input_tokens"),)
_REASONING: tuple[Path, ...] = (*_within(_COMPLETION_DETAILS, "reasoning_tokens"), ("reasoning_tokens",))
_AUDIO_IN: tuple[Path, ...] = _within(_PROMPT_DETAILS, "audio_tokens")
_AUDIO_OUT: tuple[Path, ...] = _within(_COMPLETION_DETAILS, "audio_tokens")
_IMAGE_IN: tuple[Path, ...] = _within(_PROMPT_DETAILS, "image_tokens")
_IMAGE_OUT: tuple[Path, ...] = _within(_COMPLETION_DETAILS, "image_tokens")
# OpenRouter's and Anthropic's names for what the provider's own tools did.
_SEARCHES: tuple[Path, ...] = _within(("server_tool_use_details", "server_tool_use"), "web_search_requests")


def find_usage(obj: Any) -> dict[str, Any] | None:
    """The usage object of a chat chunk or completion, or None.

    It stands at the top, or within a choice (one provider streams it there, sometimes again at the top of a final
    chunk; the top counts), or in a member of the server's own (`x_...`) of a last
    chunk. `usage: null` and `usage: {}` are none. Never raises,
    whatever `obj` is.
    """
    if not isinstance(obj, dict):
        return None
    usage = obj.get("usage")
    if isinstance(usage, dict) and usage:
        return usage
    choices = obj.get("choices")
    if isinstance(choices, list):
        for choice in choices:
            if isinstance(choice, dict):
                usage = choice.get("usage")
                if isinstance(usage, dict) and usage:
                    return usage
    for name, value in obj.items():
        usage = value.get("usage") if isinstance(value, dict) and str(name).startswith("x_") else None
        if isinstance(usage, dict) and usage:
            return usage
    return None


def in_chat_names(usage: dict[str, Any]) -> dict[str, Any]:
    """A usage object (see `find_usage`) with the counts under the names that SDKs of chat read. Itself where they are
    there, and where it holds no counts that could be believed."""
    if "prompt_tokens" in usage and "completion_tokens" in usage:
        return usage
    numbers = read_usage(usage)
    if not numbers.sane:
        return usage
    main = {"prompt_tokens": numbers.prompt_tokens, "completion_tokens": numbers.completion_tokens}
    return {**usage, **main, "total_tokens": usage.get("total_tokens", sum(main.values()))}


class _Reading:
    """Reads counts out of one usage object and remembers whether all of them made sense."""

    __slots__ = ("raw", "sane")

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        self.sane = True

    def count(self, paths: tuple[Path, ...]) -> int | None:
        """The first present count; None when there is none or when it is nonsense."""
        for path in paths:
            value: Any = self.raw
            for name in path:
                # Nearly always a plain dict: asking the abstract class costs more than all the rest of a reading.
                value = value.get(name) if type(value) is dict or isinstance(value, Mapping) else None
                if value is None:
                    break
            if value is None:
                continue
            if type(value) is float and value.is_integer():
                value = int(value)  # infinity and NaN are not integers
            if type(value) is int and 0 <= value <= MOST_TOKENS:
                return value
            self.sane = False
        return None

    def part(self, paths: tuple[Path, ...], whole: int) -> int:
        """A count that is included in `whole`, at most as large."""
        value = self.count(paths)
        if value is None:
            return 0
        if value > whole:
            self.sane = False
            return whole
        return value


def read_usage(raw: Mapping[str, Any]) -> UsageNumbers:
    """Normalise one usage object (see `find_usage`). Never raises.

    Negative, fractional, boolean, textual and huge counts are treated as absent. A missing main count is taken from
    the total. Some servers count reasoning beside completion_tokens, or audio beside prompt_tokens, and only the total
    shows it; they are added to their whole, because OpenAI counts them within.
    """
    prompt, completion = raw.get("prompt_tokens"), raw.get("completion_tokens")
    if type(prompt) is int and type(completion) is int and _says_no_more(raw, prompt, completion):
        return UsageNumbers(prompt, completion)
    return _read_all(raw)


_MAIN = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})


def _says_no_more(raw: Mapping[str, Any], prompt: int, completion: int) -> bool:
    """Whether a usage object is as plain as most: two sound counts, at most their sum, and nothing but zeros beside."""
    if not (0 <= prompt <= MOST_TOKENS and 0 <= completion <= MOST_TOKENS):
        return False
    for name, value in raw.items():
        if name in _MAIN or value is None:
            continue
        if type(value) is not dict or not name.endswith("_details"):
            return False
        for count in value.values():
            if count is not None and (count or type(count) is not int):
                return False
    total = raw.get("total_tokens")
    return total is None or (type(total) is int and total == prompt + completion)


def _read_all(raw: Mapping[str, Any]) -> UsageNumbers:
    read = _Reading(raw)
    prompt, completion, total = read.count(_PROMPT), read.count(_COMPLETION), read.count(_TOTAL)
    reasoning = read.count(_REASONING) or 0
    if total is not None:
        if prompt is None and completion is not None and total >= completion:
            prompt = total - completion
        elif completion is None and prompt is not None and total >= prompt:
            completion = total - prompt
    if prompt is None or completion is None:
        read.sane = False
        prompt, completion = prompt or 0, completion or 0
    if total is not None and total > prompt + completion:
        beside = total - prompt - completion
        audio = read.count(_AUDIO_IN) or 0
        if beside == reasoning:
            completion += reasoning
        elif beside == audio:
            prompt += audio
        elif beside == reasoning + audio:
            completion, prompt = completion + reasoning, prompt + audio
    if reasoning > completion:
        read.sane = False
        reasoning = completion
    cached = read.part(_CACHED, prompt)
    written = read.part(_CACHE_WRITE, prompt - cached)
    return UsageNumbers(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=min(read.count(_CACHE_1H) or 0, written),
        reasoning_tokens=reasoning,
        audio_input_tokens=read.part(_AUDIO_IN, prompt),
        audio_output_tokens=read.part(_AUDIO_OUT, completion),
        image_input_tokens=read.part(_IMAGE_IN, prompt),
        image_output_tokens=read.part(_IMAGE_OUT, completion),
        web_searches=read.count(_SEARCHES) or 0,
        sane=read.sane,
    )


def add_usage(usages: Iterable[Any]) -> dict[str, Any] | None:
    """The sum of usage objects, member by member, nested ones included; None when one of them is missing, because a
    sum without it would be too small."""
    total: dict[str, Any] = {}
    for usage in usages:
        if not isinstance(usage, dict):
            return None
        _add(total, usage)
    return total


def _add(total: dict[str, Any], usage: Mapping[str, Any]) -> None:
    for name, value in usage.items():
        if isinstance(value, Mapping):
            inner = total.setdefault(name, {})
            if isinstance(inner, dict):
                _add(inner, value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            before = total.get(name)
            total[name] = value + (before if isinstance(before, int | float) else 0)
        else:
            total.setdefault(name, value)
