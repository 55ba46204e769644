"""What the scripted upstream says: answers in no provider's words, and the plans that string them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Failure = Literal["overloaded", "busy", "limited", "context"]
"""529 or the provider's word for it, 503, 429 with retry-after, a prompt beyond the context window."""


@dataclass(frozen=True, slots=True)
class Use:
    """One tool call of the model. name: as the agent knows the tool, without a server's prefix."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the model.

    text: what it says; with `endless` it says it again and again until the caller leaves. uses: the tools it calls.
    tokens_in, tokens_out: the usage that it reports. failure: it fails in this way instead.
    """

    text: str = ""
    uses: Sequence[Use] = ()
    tokens_in: int = 1000
    tokens_out: int = 50
    failure: Failure | None = None
    endless: bool = False


@dataclass(slots=True)
class Plan:
    """The answers to the requests of one run, in order; the last one stays. Requests that offer no tools (titles,
    summaries, probes) get `aside`, requests that offer nothing but a web search get `found`."""

    answers: Sequence[Answer]
    aside: Answer = field(default_factory=lambda: Answer("Noted.", tokens_in=200, tokens_out=10))
    found: Answer = field(default_factory=lambda: Answer("The tower is 330 metres high.", tokens_in=300, tokens_out=20))
    given: int = 0

    def next(self, tools: Sequence[str], searches: bool) -> Answer:
        """The answer to a request that offers these function tools."""
        if not tools:
            return self.found if searches else self.aside
        answer = self.answers[min(self.given, len(self.answers) - 1)]
        self.given += 1
        return answer
