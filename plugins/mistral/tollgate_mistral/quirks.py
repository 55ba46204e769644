"""What each model tolerates, as data. A row in this table, never an `if` on a model's name elsewhere.

Sources: Mistral's pages on adjustable and native reasoning and its API reference; the recorded exchanges in
`transcripts/`; and what users measured of `reasoning_effort` (models without reasoning answer 400, code 3051, and
name the values that a model knows: github.com/withceleste/celeste-python pull 311, anomalyco/models.dev pull 1986).
The configuration may override any member, for an instance or for one model, so a new model needs no release.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.api import ModelQuirks, QuirkTable, longest_match

Replay = Literal["all", "own", "none"]


@dataclass(slots=True, frozen=True)
class Quirks(ModelQuirks):
    """What one model tolerates.

    efforts: known values of `reasoning_effort`; () none at all, None: whatever the caller sends.
    replay: which thoughts of earlier turns are given back as thinking chunks: `all`, only those that came from
        Mistral (`own`), or `none`, because a model that never thinks refuses such chunks.
    short_ids: tool call ids must be nine letters or digits.
    most_temperature: the end of the scale. image_tokens: the most tokens one picture makes.
    """

    efforts: tuple[str, ...] | None = None
    replay: Replay = "own"
    short_ids: bool = True
    most_temperature: float = 1.5
    image_tokens: int = 4_352


_PLAIN = Quirks(efforts=(), replay="none")
_ON_OR_OFF = Quirks(efforts=("none", "high"), replay="all")

ROWS: tuple[tuple[str, Quirks], ...] = (
    # Retired in July 2026; requests are answered by the two models below, which take the parameter.
    ("magistral", _ON_OR_OFF),
    ("mistral-small-latest", _ON_OR_OFF),
    ("mistral-small-26", _ON_OR_OFF),
    ("mistral-small-4", _ON_OR_OFF),
    ("mistral-medium", _ON_OR_OFF),
    ("mistral-large-4", Quirks(efforts=("none", "low", "medium", "high"), replay="all")),
    ("mistral-medium-2505", _PLAIN),
    ("mistral-medium-2508", _PLAIN),
    ("mistral-medium-3-1", _PLAIN),
    ("mistral-small-24", _PLAIN),
    ("mistral-small-25", _PLAIN),
    ("mistral-large-24", _PLAIN),
    ("mistral-large-25", _PLAIN),
    ("mistral-large-latest", _PLAIN),
    ("mistral-tiny", _PLAIN),
    ("ministral", _PLAIN),
    ("open-mistral", _PLAIN),
    ("open-mixtral", _PLAIN),
    ("codestral", _PLAIN),
    ("devstral", _PLAIN),
    ("pixtral", _PLAIN),
    ("voxtral", _PLAIN),
)
"""Beginning of a model's name -> quirks. The longest that fits wins."""

UNKNOWN = Quirks()
"""A model this table does not know: efforts pass as they are, and it gets its own thoughts back, which it made."""


def _row_of(model: str) -> Quirks:
    return longest_match(ROWS, model.lower().rsplit("/", 1)[-1]) or UNKNOWN


TABLE = QuirkTable(Quirks, _row_of)
