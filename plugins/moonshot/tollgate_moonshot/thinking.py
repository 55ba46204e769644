"""Whether the model thinks: `reasoning_effort` and Moonshot's own `thinking`, together with forced tools.

Sources: Moonshot's guides on thinking models and reasoning effort. Kimi K2.5 and K2.6 think unless told not to and know
no levels; K2.7-code, K2-thinking and K3 always think; K3 knows levels. Moonshot refuses both parameters at once, and
most models refuse to be forced to a tool call while they think.
"""

from __future__ import annotations

from gateway.api import EFFORTS, as_dict, nearest_effort

from .draft import Draft, refuse


def add_thinking(draft: Draft) -> None:
    """Write `thinking` or `reasoning_effort`, and note in the draft whether the model will think."""
    quirks = draft.quirks
    draft.thinks = quirks.thinking != "never"
    given = draft.body.get("thinking")
    if given is not None:
        _take_thinking(draft, as_dict(given, "thinking"))
    elif draft.body.get("reasoning_effort") is not None:
        _take_effort(draft, draft.body["reasoning_effort"])


def stop_thinking(draft: Draft) -> None:
    """Thinking gives way to a forced tool; reported when the caller had asked for it by name."""
    if draft.out.get("thinking") is not None or draft.body.get("reasoning_effort") is not None:
        draft.report("reasoning_effort" if "thinking" not in draft.body else "thinking", "a tool call is forced")
    draft.out["thinking"] = {"type": "disabled"}
    draft.thinks = False


def _take_thinking(draft: Draft, given: dict[str, object]) -> None:
    """Moonshot's own parameter: passed on where it is known; elsewhere it can only say what happens anyway."""
    disabled = given.get("type") == "disabled"
    quirks = draft.quirks
    if quirks.thinking_object and not (disabled and quirks.thinking == "always"):
        draft.out["thinking"] = given
        draft.thinks = not disabled
    elif disabled and quirks.thinking == "always":
        draft.report("thinking", "this model always thinks")
    elif not disabled and quirks.thinking == "never":
        draft.report("thinking", "this model does not think")


def _take_effort(draft: Draft, effort: object) -> None:
    if not isinstance(effort, str):
        raise refuse("reasoning_effort", "must be a string")
    quirks = draft.quirks
    off = effort in ("none", "minimal")
    if quirks.thinking == "never":
        if effort != "none":
            draft.report("reasoning_effort", "this model does not think")
    elif quirks.efforts:
        known = effort if effort in EFFORTS else quirks.efforts[-1]
        stand_in = nearest_effort(known, quirks.efforts)
        if stand_in != effort:
            draft.report("reasoning_effort", f"this model knows {', '.join(quirks.efforts)}")
        draft.out["reasoning_effort"] = stand_in
    elif quirks.thinking == "always":
        if off:
            draft.report("reasoning_effort", "this model always thinks")
    else:
        draft.out["thinking"] = {"type": "disabled" if off else "enabled"}
        draft.thinks = not off
