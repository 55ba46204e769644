"""What each model tolerates, as data. A row in this table, never an `if` on a model's name elsewhere.

Sources: Mistral's pages on adjustable and native reasoning and its API reference; the recorded exchanges in
`transcripts/`; and what users measured of `reasoning_effort` (models without reasoning answer 400, code 3051, and
name the values that a model knows: github.com/withceleste/celeste-python pull 311, anomalyco/models.dev pull 1986).
The configuration may override any member, for an instance or for one model, so a new model needs no release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter

Replay = Literal["all", "own", "none"]

LADDER = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Reasoning efforts from least to most."""


@dataclass(slots=True, frozen=True)
class Quirks:
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

    # Read by pydantic, when overrides from the configuration are laid over a row.
    __pydantic_config__ = ConfigDict(extra="forbid")


_PLAIN = Quirks(efforts=(), replay="none")
_ON_OR_OFF = Quirks(efforts=("none", "high"), replay="all")

TABLE: tuple[tuple[str, Quirks], ...] = (
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

_READER = TypeAdapter(Quirks)


def resolve(model: str, *overrides: Mapping[str, Any] | None) -> Quirks:
    """The quirks of an upstream model name, with the operator's overrides laid over them, the last one on top.

    Raises ValueError (pydantic's) when an override names an unknown member or a value of the wrong kind.
    """
    name = model.lower().rsplit("/", 1)[-1]
    fitting = [row for row in TABLE if name.startswith(row[0])]
    found = max(fitting, key=lambda row: len(row[0]))[1] if fitting else UNKNOWN
    for changes in overrides:
        if changes:
            found = _READER.validate_python({**asdict(found), **changes})
    return found


def nearest_effort(wanted: str, known: tuple[str, ...]) -> str:
    """The known effort that stands in for `wanted`: the next higher one, else the highest.

    wanted: one of LADDER; known: a non-empty subset of it. `minimal` is Mistral's `none`, with which a model "thinks
    minimally"; any greater effort never becomes `none`.
    """
    if wanted in ("none", "minimal"):
        return known[0]
    above = [name for name in LADDER[LADDER.index(wanted) :] if name in known]
    return above[0] if above else known[-1]
