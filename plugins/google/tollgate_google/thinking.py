"""`reasoning_effort` to Gemini's thinkingConfig.

Source: Google's page on thinking: thinkingBudget (Gemini 2.5) and thinkingLevel (Gemini 3) exclude each other; thoughts
count into maxOutputTokens; summaries of them come with includeThoughts.
"""

from __future__ import annotations

from typing import Any

from gateway.api import EFFORTS, nearest_effort

from .draft import Draft, refuse
from .quirks import BUDGETS


def add_thinking(draft: Draft, always_show: bool) -> None:
    """Write `thinkingConfig`. Call it when the caller's own `thinkingConfig` and the output limit are in place.

    always_show: ask for thought summaries even if the caller names no effort.
    """
    effort = draft.body.get("reasoning_effort")
    if effort is not None and effort not in EFFORTS:
        raise refuse("reasoning_effort", f"must be one of {', '.join(EFFORTS)}")
    own = draft.config.get("thinkingConfig")
    config: dict[str, Any] = dict(own) if isinstance(own, dict) else {}
    chosen = any(key in config for key in ("thinkingBudget", "thinking_budget", "thinkingLevel", "thinking_level"))
    if effort is not None:
        if chosen:
            draft.report("reasoning_effort", "thinkingConfig was given, too, and counts")
        elif draft.quirks.thinking == "none":
            if effort != "none":
                draft.report("reasoning_effort", "this model's thinking cannot be set")
        elif draft.quirks.thinking == "budget":
            _add_budget(draft, config, effort)
        else:
            _add_level(draft, config, effort)
    shows = effort not in (None, "none") or (effort is None and always_show)
    if shows and draft.quirks.thinking != "none" and "include_thoughts" not in config:
        config.setdefault("includeThoughts", True)
    if config:
        draft.config["thinkingConfig"] = config


def _add_budget(draft: Draft, config: dict[str, Any], effort: str) -> None:
    quirks = draft.quirks
    if effort == "none":
        if not quirks.can_disable:
            draft.report("reasoning_effort", f"this model always thinks; {quirks.least_budget} tokens is the least")
        config["thinkingBudget"] = 0 if quirks.can_disable else quirks.least_budget
        return
    room = draft.config.get("maxOutputTokens")
    budget = BUDGETS[effort]
    if type(room) is int:
        # A fifth of the room is kept for the answer itself: the limit covers both.
        budget = min(budget, room * 4 // 5)
    config["thinkingBudget"] = min(max(budget, quirks.least_budget), quirks.most_budget)


def _add_level(draft: Draft, config: dict[str, Any], effort: str) -> None:
    levels = draft.quirks.levels
    if not levels:
        draft.report("reasoning_effort", "this model's thinking cannot be set")
        return
    if effort == "none" and "minimal" not in levels:
        draft.report("reasoning_effort", f"this model always thinks; {levels[0]} is the least")
    config["thinkingLevel"] = nearest_effort(effort, levels).upper()
