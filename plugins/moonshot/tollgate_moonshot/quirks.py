"""What each model tolerates, as data. A row in this table, never an `if` on a model's name elsewhere.

Sources: Moonshot's API reference (platform.kimi.ai: chat, models overview) and its guides on migrating from OpenAI,
thinking models, reasoning effort, vision and Partial Mode; its errors, as users quote them: "invalid temperature:
only 1 is allowed for this model", "tool_choice 'required' is incompatible with thinking enabled", "thinking is enabled
but reasoning_content is missing in assistant tool call message". Moonshot ignores members that it does not know
without a word, so what a model does not take must be told here.
The configuration may override any member, for an instance or for one model, so a new model needs no release.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from gateway.api import ModelQuirks, QuirkTable, longest_match

Thinking = Literal["never", "switch", "always"]
Forced = Literal["never", "without_thinking", "required", "yes"]
LimitKey = Literal["max_tokens", "max_completion_tokens"]


@dataclass(slots=True, frozen=True)
class Quirks(ModelQuirks):
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

ROWS: tuple[tuple[str, Quirks], ...] = (
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


def _row_of(model: str) -> Quirks:
    name = model.lower().rsplit("/", 1)[-1]
    unknown = UNKNOWN_KIMI if name.startswith("kimi") else UNKNOWN_OTHER
    return longest_match(ROWS, name, whole_words=True) or unknown


TABLE = QuirkTable(Quirks, _row_of)
