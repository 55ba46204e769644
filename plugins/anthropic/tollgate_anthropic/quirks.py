"""What each model tolerates, as data. A row in this table, never an `if` on a model's name elsewhere.

Sources: Anthropic's model overview, its migration guides for Claude 4, 4.6, 4.7 and 5, the pages on thinking,
effort and structured outputs, and what the recorded exchanges in `transcripts/` show a model accepting.
The configuration may override any member, for an instance or for one model, so a new model needs no release.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from gateway.api import ModelQuirks, QuirkTable, longest_match

Thinking = Literal["none", "budget", "adaptive", "always"]
Sampling = Literal["both", "one", "none"]
Forced = Literal["yes", "without_thinking", "never"]

BUDGETS: Mapping[str, int] = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 32768,
    "max": 49152,
}
"""Thinking tokens by level, for models that take a budget. Anthropic's least budget is 1,024 tokens."""


@dataclass(slots=True, frozen=True)
class Quirks(ModelQuirks):
    """What one model tolerates.

    thinking: `none` cannot think; `budget` takes `{"type": "enabled", "budget_tokens"}`; `adaptive` takes
        `{"type": "adaptive"}`; `always` is adaptive and cannot be switched off.
    thinks_unasked: an omitted `thinking` means thinking is on, so `reasoning_effort: none` must say `disabled`.
    hides_thinking: thinking text is only returned when `display: summarized` asks for it.
    effort: the levels `output_config.effort` accepts; empty when the model refuses the key.
    sampling: `both` temperature and top_p, only `one` of them, or `none` (nor top_k).
    prefill: a final assistant message may be continued.
    structured: native JSON schema output and strict tools.
    forced_tool: whether `tool_choice` may be `any` or `tool`.
    inline_system: `role: system` is allowed inside `messages`.
    max_output: the model's own limit in tokens; 0 when unknown.
    web_search: the version of the server-side search tool.
    """

    thinking: Thinking = "budget"
    thinks_unasked: bool = False
    hides_thinking: bool = False
    effort: tuple[str, ...] = ()
    sampling: Sampling = "both"
    prefill: bool = True
    structured: bool = False
    forced_tool: Forced = "without_thinking"
    inline_system: bool = False
    max_output: int = 0
    web_search: str = "web_search_20250305"


_OLD = Quirks(thinking="none", max_output=8_192)
_CLAUDE_4 = Quirks(max_output=64_000)
_CLAUDE_45 = Quirks(sampling="one", structured=True, max_output=64_000)
_CLAUDE_46 = Quirks(
    thinking="adaptive",
    effort=("low", "medium", "high", "max"),
    sampling="one",
    prefill=False,
    structured=True,
    forced_tool="yes",
    max_output=128_000,
)
_CLAUDE_47 = replace(_CLAUDE_46, effort=("low", "medium", "high", "xhigh", "max"), sampling="none", hides_thinking=True)
_CLAUDE_5 = replace(_CLAUDE_47, thinks_unasked=True)
_ALWAYS = replace(_CLAUDE_5, thinking="always")
_UNFORCED = replace(_ALWAYS, forced_tool="never")

ROWS: tuple[tuple[str, Quirks], ...] = (
    ("claude-3-haiku", replace(_OLD, max_output=4_096)),
    ("claude-3-sonnet", replace(_OLD, max_output=4_096)),
    ("claude-3-opus", replace(_OLD, max_output=4_096)),
    ("claude-3-5-haiku", _OLD),
    ("claude-3-5-sonnet", _OLD),
    ("claude-3-7-sonnet", _CLAUDE_4),
    ("claude-sonnet-4", _CLAUDE_4),
    ("claude-opus-4", replace(_CLAUDE_4, max_output=32_000)),
    ("claude-opus-4-1", replace(_CLAUDE_4, sampling="one", max_output=32_000)),
    ("claude-sonnet-4-5", _CLAUDE_45),
    ("claude-haiku-4-5", _CLAUDE_45),
    ("claude-opus-4-5", replace(_CLAUDE_45, effort=("low", "medium", "high"))),
    ("claude-sonnet-4-6", replace(_CLAUDE_46, max_output=64_000)),
    ("claude-opus-4-6", _CLAUDE_46),
    ("claude-opus-4-7", _CLAUDE_47),
    ("claude-opus-4-8", replace(_CLAUDE_47, inline_system=True)),
    ("claude-mythos-preview", _UNFORCED),
    ("claude-sonnet-5", _CLAUDE_5),
    ("claude-opus-5", _CLAUDE_5),
    ("claude-fable-5", _ALWAYS),
    ("claude-mythos-5", _ALWAYS),
    ("claude-fable-5-1", _UNFORCED),
    ("claude-mythos-5-1", _UNFORCED),
    ("claude-fable-5-2", _UNFORCED),
    ("claude-mythos-5-2", _UNFORCED),
    ("claude-haiku-5-5", _CLAUDE_5),
    ("claude-sonnet-5-5", _CLAUDE_5),
    ("claude-opus-5-5", _CLAUDE_5),
)
"""Model name (without date) -> quirks. The longest name that begins the model's own name wins."""

UNKNOWN_CLAUDE = replace(_CLAUDE_47, max_output=0)
"""A Claude newer than this table: newer models refuse more, and what is left out is always accepted."""

UNKNOWN_OTHER = Quirks()
"""Another maker's model behind a server that speaks this dialect: the oldest, widest form of the API."""


def _plain(model: str) -> str:
    """`anthropic.Claude-Opus-4.5@20251101` -> `claude-opus-4-5-20251101`: one spelling for every platform's ids."""
    name = re.sub(r"[.@:/]", "-", model.lower())
    start = name.find("claude-")
    return name[start:] if start >= 0 else name


def _row_of(model: str) -> Quirks:
    name = _plain(model)
    unknown = UNKNOWN_CLAUDE if name.partition("-")[0] == "claude" else UNKNOWN_OTHER
    return longest_match(ROWS, name, whole_words=True) or unknown


TABLE = QuirkTable(Quirks, _row_of)
