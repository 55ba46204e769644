"""What each model tolerates, as data. A row in this table, never an `if` on a model's name elsewhere.

Sources: Moonshot's API reference (platform.kimi.ai: chat, models overview) and its guides on migrating from OpenAI,
thinking models, reasoning effort, vision and Partial Mode; its errors, as users quote them: "invalid temperature:
only 1 is allowed for this model", "tool_choice 'required' is incompatible with thinking enabled", "thinking is enabled
but reasoning_content is missing in assistant tool call message". Moonshot ignores members that it does not know
without a word, so what a model does not take must be told here.
The configuration may override any member, for an instance or for one model, so a new model needs no release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter

Thinking = Literal["never", "switch", "always"]
Forced = Literal["never", "without_thinking", "required", "yes"]
LimitKey = Literal["max_tokens", "max_completion_tokens"]

LADDER = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Reasoning efforts from least to most."""


@dataclass(slots=True, frozen=True)
class Quirks:
    """What one model tolerates.

    thinking: `never`; `switch`, on unless `{"type": "disabled"}` is sent; `always`.
    thinking_object: the parameter `thinking` is known. efforts: known values of `reasoning_effort`; () none at all.
    sampling: temperature (0 to 1), top_p and the penalties may be set; otherwise they are fixed.
    forced_tool: whether a tool call can be forced: `never`; only `without_thinking`; `required` but no named tool;
        `yes`. limit: the key of the output limit. image_tokens: the most tokens one picture makes.
    """

    thinking: Thinking = "never"
    thinking_object: bool = False
    efforts: tuple[str, ...] = ()
    sampling: bool = True
    forced_tool: Forced = "never"
    limit: LimitKey = "max_tokens"
    image_tokens: int = 4_608

    # Read by pydantic, when overrides from the configuration are laid over a row.
    __pydantic_config__ = ConfigDict(extra="forbid")


_PLAIN = Quirks()
_K2_THINKING = Quirks(thinking="always")
_K25 = Quirks(
    thinking="switch",
    thinking_object=True,
    sampling=False,
    forced_tool="without_thinking",
    limit="max_completion_tokens",
)
_K27_CODE = replace(_K25, thinking="always", forced_tool="never")
_K3 = replace(_K25, thinking="always", thinking_object=False, efforts=("low", "high", "max"), forced_tool="required")

TABLE: tuple[tuple[str, Quirks], ...] = (
    ("moonshot-v1", _PLAIN),
    ("kimi-latest", _PLAIN),
    ("kimi-k2", _PLAIN),
    ("kimi-k2-thinking", _K2_THINKING),
    ("kimi-thinking-preview", _K2_THINKING),
    ("kimi-k2.5", _K25),
    ("kimi-k2.6", _K25),
    ("kimi-k2.7-code", _K27_CODE),
    ("kimi-for-coding", _K27_CODE),
    ("kimi-k3", _K3),
)
"""Beginning of a model's name -> quirks. The longest that fits wins."""

UNKNOWN_KIMI = _K3
"""A Kimi newer than this table: newer models fix more, and what is left out is always accepted."""

UNKNOWN_OTHER = Quirks(forced_tool="yes")
"""Another model behind a server that speaks this dialect: nothing is known against it."""

_READER = TypeAdapter(Quirks)


def resolve(model: str, *overrides: Mapping[str, Any] | None) -> Quirks:
    """The quirks of an upstream model name, with the operator's overrides laid over them, the last one on top.

    Raises ValueError (pydantic's) when an override names an unknown member or a value of the wrong kind.
    """
    name = model.lower().rsplit("/", 1)[-1]
    fitting = [row for row in TABLE if _fits(name, row[0])]
    if fitting:
        found = max(fitting, key=lambda row: len(row[0]))[1]
    else:
        found = UNKNOWN_KIMI if name.startswith("kimi") else UNKNOWN_OTHER
    for changes in overrides:
        if changes:
            found = _READER.validate_python({**asdict(found), **changes})
    return found


def _fits(name: str, row: str) -> bool:
    """`kimi-k2` begins `kimi-k2-0905-preview`, but neither `kimi-k2.9` nor `kimi-k25`, which are others."""
    return name.startswith(row) and (len(name) == len(row) or name[len(row)] == "-" or row == "kimi-k3")


def nearest_effort(wanted: str, known: tuple[str, ...]) -> str:
    """The known effort that stands in for `wanted`: the next higher one, else the highest.

    wanted: one of LADDER; known: a non-empty subset of it, from least to most.
    """
    above = [name for name in LADDER[LADDER.index(wanted) :] if name in known]
    return above[0] if above else known[-1]
