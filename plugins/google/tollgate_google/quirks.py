"""What each model tolerates, as data. A row in this table, never an `if` on a model's name elsewhere.

Sources: Google's pages on thinking (budgets and levels by model), thought signatures, structured output, tool
combination, "What's new in Gemini 3.5 / 3.6 / 3.7 / 3.8"; the error answers "Penalty is not enabled for ...",
"Logprobs is not enabled for ...", "Multiple candidates is not enabled for this model", "Requests ending with a model
turn are not supported", "Developer instruction is not enabled for ...", "it has a topK value of 64 but the supported
range is from 1 (inclusive) to 41 (exclusive)"; and what the recorded exchanges in `transcripts/` show
a model accepting. The configuration may override any member, for an instance or for one model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from gateway.api import ModelQuirks, QuirkTable

Thinking = Literal["none", "budget", "level"]
SchemaKind = Literal["json", "openapi"]

BUDGETS: Mapping[str, int] = {
    "minimal": 1_024,
    "low": 1_024,
    "medium": 8_192,
    "high": 24_576,
    "xhigh": 32_768,
    "max": 32_768,
}
"""Thinking tokens by effort, up to `high` as in Google's own OpenAI-compatible endpoint; cut to the model's range."""


@dataclass(slots=True, frozen=True)
class Quirks(ModelQuirks):
    """What one model tolerates.

    thinking: `none` cannot be asked to think, `budget` takes thinkingBudget, `level` takes thinkingLevel.
    least_budget, most_budget: the range of thinkingBudget in tokens. can_disable: a budget of 0 switches it off.
    levels: the values of thinkingLevel, in lower case.
    signatures: a function call in the history must have a thought signature.
    sampling: temperature, topP and topK have an effect. most_top_k: the greatest topK, None for any.
    penalties, logprobs: these parameters are enabled.
    candidates: the most choices of one request. prefill: the conversation may end with a model turn.
    schema: `json` takes JSON Schema (parametersJsonSchema, responseJsonSchema), `openapi` only the older Schema.
    json_with_tools: JSON output and tools may be asked for together. mixed_tools: Google's own tools and the caller's
    functions may be offered together. validated: the function calling mode VALIDATED exists.
    media_in_results: functionResponse takes images and PDF. system: systemInstruction is allowed.
    searches: whether Google bills `each` search query or `once` per answer.
    image_tokens, page_tokens: the most tokens of one image, and of one page of PDF.
    """

    thinking: Thinking = "level"
    least_budget: int = 0
    most_budget: int = 0
    can_disable: bool = False
    levels: tuple[str, ...] = ("low", "medium", "high")
    signatures: bool = True
    sampling: bool = True
    most_top_k: int | None = None
    penalties: bool = False
    logprobs: bool = False
    candidates: int = 1
    prefill: bool = True
    schema: SchemaKind = "json"
    json_with_tools: bool = True
    mixed_tools: bool = True
    validated: bool = True
    media_in_results: bool = True
    system: bool = True
    searches: Literal["each", "once"] = "each"
    image_tokens: int = 2_240
    page_tokens: int = 1_120


_TILES = 258 * 25
"""Before Gemini 3 a picture beyond 384 pixels is cut into tiles of 258 tokens; 24 and a rest for the most extreme
shape of the largest size (3,072 pixels; page "Image understanding")."""

_ALL = ("minimal", "low", "medium", "high")
_GEMINI_2 = Quirks(
    thinking="none",
    levels=(),
    signatures=False,
    penalties=True,
    logprobs=True,
    candidates=8,
    schema="openapi",
    json_with_tools=False,
    mixed_tools=False,
    validated=False,
    media_in_results=False,
    searches="once",
    most_top_k=40,
    image_tokens=_TILES,
    page_tokens=258,
)
_GEMINI_25 = replace(_GEMINI_2, schema="json", validated=True, most_top_k=None)
_FLASH_25 = replace(_GEMINI_25, thinking="budget", least_budget=1, most_budget=24_576, can_disable=True)
_LITE_25 = replace(_FLASH_25, least_budget=512)
_PRO_25 = replace(_FLASH_25, least_budget=128, most_budget=32_768, can_disable=False)
_GEMINI_3 = Quirks()
_NEWEST = replace(_GEMINI_3, sampling=False, prefill=False)
_MEDIA_OUT = replace(_GEMINI_3, thinking="none", levels=(), signatures=False)
_GEMMA = replace(
    _GEMINI_2, most_top_k=None, system=False, penalties=False, logprobs=False, candidates=1, image_tokens=1_120
)

ROWS: tuple[tuple[str, Quirks], ...] = (
    (r"gemini-(1\.|2\.0|exp|pro$|pro-vision)|learnlm", _GEMINI_2),
    (r"gemini-2\.5-.*(image|tts|live|audio|computer)", replace(_GEMINI_25, penalties=False, logprobs=False)),
    (r"gemini-2\.5-flash-lite-preview", replace(_LITE_25, penalties=False)),
    (r"gemini-2\.5-flash-lite", _LITE_25),
    (r"gemini-2\.5-flash-preview", replace(_FLASH_25, penalties=False)),
    (r"gemini-2\.5-flash", _FLASH_25),
    (r"gemini-2\.5-pro-preview", replace(_PRO_25, penalties=False)),
    (r"gemini-2\.5", _PRO_25),
    (r"gemini-.*(image|tts|live|audio|omni|banana)", _MEDIA_OUT),
    (r"gemini-3-pro", replace(_GEMINI_3, levels=("low", "high"))),
    (r"gemini-3\.1-pro", _GEMINI_3),
    (r"gemini-3(\.1)?-flash", replace(_GEMINI_3, levels=_ALL)),
    (r"gemini-3\.5-flash-lite", replace(_NEWEST, levels=_ALL)),
    (r"gemini-3\.5-flash", replace(_GEMINI_3, levels=_ALL)),
    (r"gemini-3\.6-flash", replace(_NEWEST, levels=_ALL)),
    (r"gemini-flash-lite-latest", replace(_NEWEST, levels=_ALL)),
    (r"gemini-", _NEWEST),
    (r"gemma-[1-3]", _GEMMA),
    (r"gemma-", replace(_GEMMA, system=True)),
)
"""Pattern at the beginning of a model's name -> quirks; the first match wins."""

UNKNOWN = replace(_GEMINI_25, penalties=True, candidates=1)
"""Any other name (a tuned model, another server): everything is passed on but thinking, whose form is not known."""

_COMPILED = tuple((re.compile(pattern), quirks) for pattern, quirks in ROWS)


def _row_of(model: str) -> Quirks:
    """The row of a name with or without `models/`."""
    name = model.lower().rpartition("/")[2]
    return next((quirks for pattern, quirks in _COMPILED if pattern.match(name)), UNKNOWN)


TABLE = QuirkTable(Quirks, _row_of)
