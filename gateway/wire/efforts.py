"""How hard a model shall think, in OpenAI's words, and what other dialects say in tokens."""

from __future__ import annotations

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Reasoning efforts from least to most: OpenAI's words, and `max`, which other providers have above them."""

_LEVELS = ((1, "none"), (4_096, "low"), (16_384, "medium"))
"""Budgets of thoughts below these many tokens, and the effort they stand for; what is above is `high`."""


def effort_of_budget(tokens: int) -> str:
    """The effort that a budget of so many tokens, 0 or more, stands for."""
    return next((level for most, level in _LEVELS if tokens < most), "high")
