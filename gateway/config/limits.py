"""How a request's body is bounded, by the configuration or by the route."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class BodyLimits:
    """max_body: bytes. setting: what sets that, an entry of the configuration or the route. grace: seconds before the
    rate counts, and that a body may be behind it at any time. min_rate: bytes per second that must arrive; what came
    sooner is no credit for a pause. most_time: seconds in all."""

    max_body: int
    grace: float
    min_rate: int
    most_time: float = 600.0
    setting: str = "the most that this route takes"
