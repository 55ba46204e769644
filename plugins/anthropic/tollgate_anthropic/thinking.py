"""`reasoning_effort` to Anthropic's thinking, and what thinking rules out beside it.

Sources: Anthropic's pages on extended thinking ("Feature compatibility": temperature must be 1, no forced tool use,
budget_tokens >= 1,024 and < max_tokens, the last assistant turn of a tool loop begins with thinking), on adaptive
thinking, and on effort.
"""

from __future__ import annotations

from typing import Any

from gateway.api import EFFORTS, nearest_effort

from .draft import Draft, refuse
from .quirks import BUDGETS

LEAST_BUDGET = 1024
_FORCED = ("any", "tool")


def add_thinking(draft: Draft) -> None:
    """Write `thinking` and `output_config.effort`. Call it when messages, tools and max_tokens are in place.

    Where thinking cannot go together with something the caller also asked for, thinking gives way and is reported:
    a forced tool call is a contract, an effort a wish.
    """
    own = draft.body.get("thinking")
    effort = draft.body.get("reasoning_effort")
    if effort is not None and effort not in EFFORTS:
        raise refuse("reasoning_effort", f"must be one of {', '.join(EFFORTS)}")
    if own is not None:
        _keep_own(draft, own)
        if effort is not None:
            _set_effort(draft, effort)
        return
    if effort is None:
        return
    if effort == "none":
        _switch_off(draft)
        return
    kind = draft.quirks.thinking
    if kind == "none":
        draft.report("reasoning_effort", "this model cannot think; leave it out")
    elif kind == "budget":
        _add_budget(draft, effort)
    else:
        thinking: dict[str, Any] = {"type": "adaptive"}
        if draft.quirks.hides_thinking:
            thinking["display"] = "summarized"
        draft.out["thinking"] = thinking
        _set_effort(draft, effort)


def thinks(draft: Draft) -> bool:
    """Whether the upstream body asks for thinking in so many words."""
    thinking = draft.out.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive", "between_tools")


def wants_budget(draft: Draft) -> bool:
    """Whether the caller's own `thinking` asks for a budget, which on some models rules out a forced tool."""
    own = draft.body.get("thinking")
    return isinstance(own, dict) and own.get("type") == "enabled"


def _keep_own(draft: Draft, own: Any) -> None:
    """Anthropic's own `thinking` as it is, but for a budget that no longer fits: the gateway may have lowered
    max_tokens to what the caller's credits pay for."""
    room = draft.out["max_tokens"]
    budget = own.get("budget_tokens") if wants_budget(draft) else None
    if isinstance(budget, int) and budget >= room:
        if room <= LEAST_BUDGET:
            draft.report("thinking", f"needs max_tokens above {LEAST_BUDGET}")
            return
        own = {**own, "budget_tokens": max(LEAST_BUDGET, room * 4 // 5)}
    draft.out["thinking"] = own


def _switch_off(draft: Draft) -> None:
    if draft.quirks.thinking == "always":
        draft.report("reasoning_effort", "this model always thinks; low is the least")
        _set_effort(draft, "low")
    elif draft.quirks.thinks_unasked:
        draft.out["thinking"] = {"type": "disabled"}


def _set_effort(draft: Draft, effort: str) -> None:
    if effort == "none" or not draft.quirks.effort:
        draft.report("reasoning_effort", "this model takes no level of effort beside its own `thinking` setting")
        return
    level = nearest_effort(effort, draft.quirks.effort)
    given = draft.out.get("output_config")
    draft.out["output_config"] = {"effort": level, **(given if isinstance(given, dict) else {})}


def _add_budget(draft: Draft, effort: str) -> None:
    choice = draft.out.get("tool_choice")
    forced = isinstance(choice, dict) and choice.get("type") in _FORCED
    room = draft.out["max_tokens"]
    if forced and draft.quirks.forced_tool == "without_thinking":
        draft.report("reasoning_effort", "this model cannot think when a tool call or a JSON answer is forced")
    elif room <= LEAST_BUDGET:
        draft.report("reasoning_effort", f"thinking needs max_tokens above {LEAST_BUDGET}")
    elif _resumes_without_thinking(draft.out["messages"]):
        draft.report("reasoning_effort", "the last assistant message lacks its reasoning_details; send them back")
    else:
        # A fifth of the room is kept for the answer itself: max_tokens covers both.
        budget = max(LEAST_BUDGET, min(BUDGETS[effort], room * 4 // 5))
        draft.out["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _resumes_without_thinking(messages: list[dict[str, Any]]) -> bool:
    """Whether the conversation goes on from tool calls that were made without thinking (or lost it on the way)."""
    if len(messages) < 2 or not any(block.get("type") == "tool_result" for block in messages[-1]["content"]):
        return False
    first = messages[-2]["content"][0] if messages[-2]["content"] else {}
    return first.get("type") not in ("thinking", "redacted_thinking")
