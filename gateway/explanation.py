"""What is noted of a call that is only explained, on its way through the chain; see `gateway.call.Call.explanation`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class ExplainedStep:
    """What one plugin did for a call that is explained. figures: numbers and names that it went by (JSON values).
    refused: it said no."""

    phase: str
    plugin: str
    figures: dict[str, Any] = field(default_factory=dict)
    refused: bool = False


@dataclass(slots=True)
class Explanation:
    """Of a call that is only explained (`Call.explanation`): it passes through the chain like any other, but nothing
    is sent, and nothing may be reserved, counted or written down for it. steps: in the order they were taken.
    in_batch: it is a request of a batch, which is paid for and counted as one: what a policy says of the moment (a
    window, a balance) does not concern it. What it can cost at most, in credits, is then noted as `wanted`."""

    in_batch: bool = False
    steps: list[ExplainedStep] = field(default_factory=list)

    def note(self, **figures: Any) -> None:
        """Say which figures the plugin that runs now goes by; JSON values."""
        if self.steps:
            self.steps[-1].figures.update(figures)
