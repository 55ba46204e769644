"""What each model tolerates of the Chat Completions dialect, as data.

OpenAI's reasoning models refuse parameters that its other models take, and servers that copy the dialect know
its older spelling only. `RULES` lists the deviations, first match wins; everything not listed is `OPENAI`
(OpenAI's own default) or `COMPATIBLE` (any other server). An operator overrides single members in YAML, per
instance (`quirks:` of the provider) and per model (`quirks:` in the model's `options`).

Sources: OpenAI's API reference (create chat completion: `max_tokens`, `stop`, `reasoning_effort`) and its guides
"Reasoning models" and "Using the latest model" (sampling parameters only while reasoning is off); the error
answers in `transcripts/`; for `stop`, `system` with o1-mini and the supported efforts, which the reference leaves
open, the matrices that users measured (community.openai.com topics 1110750 and 1371738).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from gateway.api import ModelQuirks, QuirkTable
from tollgate_openai.thoughts import Thoughts

LimitKey = Literal["max_tokens", "max_completion_tokens", "either"]
Reasons = Literal["never", "on_request", "by_default", "always"]
Efforts = tuple[str, ...] | None

SAMPLING = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
)
"""What a model refuses while it reasons."""

NEUTRAL: Mapping[str, Any] = {
    "temperature": 1,
    "top_p": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "top_logprobs": 0,
    "stop": [],
    "n": 1,
}
"""Values that ask for what happens anyway: left out without a word where the parameter is not tolerated."""


def _pairs(roles: object) -> object:
    """As the YAML says it: an object."""
    return tuple(sorted(roles.items())) if isinstance(roles, dict) else roles


@dataclass(slots=True, frozen=True)
class Quirks(ModelQuirks):
    """One model's deviations.

    limit: the key for the output limit; `either` keeps the caller's own and prefers `max_completion_tokens`.
    unsupported: parameters never tolerated. reasons: when the model reasons, which is when it refuses the
    parameters in `while_reasoning`: never; on_request (an effort other than none is given); by_default (unless
    the effort is none); always.
    efforts: supported values of `reasoning_effort`; () none at all, None: whatever the caller sends.
    roles: message roles that must be renamed. stream_usage: `stream_options.include_usage` is understood.
    image_tokens: the most tokens one picture makes, None for the table in `tokens.py`.
    thoughts: how thoughts of earlier turns are given back, see `thoughts.py`; OpenAI itself always refuses them.
    top_k: that member is understood, which other dialects have; the chat door's own always travels on.
    longest_call_id: most characters of a tool call's id, None for any; longer ones are sent by their hash.
    """

    limit: LimitKey = "either"
    unsupported: tuple[str, ...] = ()
    reasons: Reasons = "never"
    while_reasoning: tuple[str, ...] = SAMPLING
    efforts: Efforts = None
    roles: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_pairs)] = ()
    stream_usage: bool = True
    image_tokens: int | None = None
    thoughts: Thoughts = "as_given"
    top_k: bool = False
    longest_call_id: int | None = 40


OPENAI = Quirks(efforts=())
"""OpenAI's models that do not reason."""

COMPATIBLE = Quirks(limit="max_tokens", roles=(("developer", "system"),), image_tokens=16_384, longest_call_id=None)
"""Servers that copied the dialect: `max_tokens`, no `developer` role, anything else as it comes.
An image of Qwen-VL makes up to 16,384 tokens by default, the most among the models commonly served."""

_LOW_HIGH = ("low", "medium", "high")
_LOW_XHIGH = ("low", "medium", "high", "xhigh")
_O = Quirks(limit="max_completion_tokens", reasons="always", efforts=_LOW_HIGH)
_O_NO_STOP = replace(_O, unsupported=("stop",))
_GPT5 = replace(_O_NO_STOP, efforts=("minimal", *_LOW_HIGH))

RULES: tuple[tuple[str, Quirks], ...] = (
    (r"o1-(mini|preview)", replace(_O, efforts=(), roles=(("developer", "user"), ("system", "user")))),
    (r"o1|o3-mini", _O),
    (r"o\d", _O_NO_STOP),
    (r"gpt-5-chat", replace(OPENAI, limit="max_completion_tokens")),
    (r"gpt-5-search", replace(OPENAI, limit="max_completion_tokens", unsupported=SAMPLING)),
    (r"gpt-5-pro", replace(_GPT5, efforts=("high",))),
    (r"gpt-5-codex", replace(_GPT5, efforts=_LOW_HIGH)),
    (r"gpt-5(-|$)", _GPT5),
    (r"gpt-5\.\d+-chat", replace(_GPT5, efforts=("medium",))),
    (r"gpt-5\.1-codex-max", replace(_GPT5, efforts=_LOW_XHIGH)),
    (r"gpt-5\.1-codex", replace(_GPT5, efforts=_LOW_HIGH)),
    (r"gpt-5\.2-codex", replace(_GPT5, efforts=_LOW_XHIGH)),
    (r"gpt-5\.\d+-pro", replace(_GPT5, efforts=("medium", "high", "xhigh"))),
    (r"gpt-5\.1", replace(_GPT5, reasons="on_request", efforts=("none", *_LOW_HIGH))),
    (r"gpt-5\.[234]", replace(_GPT5, reasons="on_request", efforts=("none", *_LOW_XHIGH))),
    # Newer than what was measured: reasoning by default, efforts unknown, so they pass as they are.
    (r"gpt-5\.\d+", replace(_GPT5, reasons="by_default", efforts=None)),
    (r"gpt-([6-9]|\d\d)", replace(_GPT5, reasons="always", efforts=None)),
    (r"gpt-4o(-mini)?-search", replace(OPENAI, unsupported=("temperature",))),
)
_OPENAIS = re.compile(r"gpt-\d|chatgpt-|o\d")
_THINKS_ALOUD = re.compile(r"deepseek-(v([4-9]|\d\d)|reasoner)", re.IGNORECASE)
_COMPILED = tuple((re.compile(pattern), quirks) for pattern, quirks in RULES)


def openai_quirks(model: str) -> Quirks:
    """What OpenAI's model of this name tolerates. A fine-tuned model (`ft:base:...`) counts as its base."""
    name = model.removeprefix("ft:")
    for pattern, quirks in _COMPILED:
        if pattern.match(name):
            return quirks
    return OPENAI


def compatible_quirks(model: str) -> Quirks:
    """What a model tolerates at a server that is not OpenAI's. Its own models stand there too (behind another gateway,
    in a cloud), under a name that may bear a prefix, and refuse `max_tokens` and long ids as they do at home."""
    name = model.rpartition("/")[2]
    if _THINKS_ALOUD.match(name):
        return replace(COMPATIBLE, thoughts="required")
    if not _OPENAIS.match(name):
        return COMPATIBLE
    found = openai_quirks(name)
    limit = "max_completion_tokens" if found.limit == "max_completion_tokens" else COMPATIBLE.limit
    return replace(COMPATIBLE, limit=limit, longest_call_id=found.longest_call_id)


AT_OPENAI = QuirkTable(Quirks, openai_quirks)
ELSEWHERE = QuirkTable(Quirks, compatible_quirks)


def reasoning_is_on(quirks: Quirks, effort: object) -> bool:
    """Whether a request with this `reasoning_effort` (None when absent) makes the model reason."""
    if quirks.reasons in ("never", "always"):
        return quirks.reasons == "always"
    if effort is None:
        return quirks.reasons == "by_default"
    return effort != "none"
